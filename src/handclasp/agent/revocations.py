"""Revocation lists that change on disk while nginx serves, for links where the agent decides (edge).

nginx reads its own lists when it loads its configuration; the agent reads them when they change, and what
they name is refused from the next request on. A list that cannot be read changes nothing, and is said.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.policies import genuine_lists
from handclasp.findings import errors_in
from handclasp.keys.load import load_trust

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handclasp.agent.prepare import Prepared
    from handclasp.certs.material import Material, TrustMaterial

LOOK_SECONDS = 2.0
_Seen = tuple[tuple[str, int, int, int] | None, ...]


class RevocationWatch:
    """Looks at the files every two seconds, and reads them when they stayed as they are for one look."""

    def __init__(self, every_seconds: float = LOOK_SECONDS) -> None:
        self._every_seconds = every_seconds
        self._read: dict[str, _Seen] = {}
        self._before: dict[str, _Seen] = {}
        self._material: Material | None = None

    async def watch(
        self,
        in_effect: Callable[[], Prepared | None],
        changed: Callable[[Mapping[str, TrustMaterial]], None],
    ) -> None:
        """Calls `changed` with the trusts whose lists are others now. Does not end."""
        while True:
            prepared = in_effect()
            if prepared is not None and (found := await self.look(prepared)):
                changed(found)
            await asyncio.sleep(self._every_seconds)

    async def look(self, prepared: Prepared) -> dict[str, TrustMaterial]:
        """The trusts whose lists have changed since they were last read."""
        if prepared.material is not self._material:
            # Read along with the spec.
            self._material, self._before = prepared.material, {}
            self._read = {name: _seen(files) for name, files in _watched(prepared).items()}
            return {}
        found: dict[str, TrustMaterial] = {}
        for name, files in _watched(prepared).items():
            now = _seen(files)
            settled = self._before.get(name) == now
            self._before[name] = now
            if now == self._read.get(name) or not settled:
                continue
            self._read[name] = now
            trust = await asyncio.to_thread(_load, prepared, name)
            if errors := errors_in(trust.findings):
                journal.error("revocation lists not taken", trust=name, why=errors[0].seen)
            elif not genuine_lists(trust):
                journal.error(
                    "revocation lists not taken", trust=name, why="no CA of it signed them"
                )
            else:
                found[name] = trust
                journal.info("revocation lists read", trust=name, lists=len(trust.crls))
        return found


def _watched(prepared: Prepared) -> dict[str, tuple[Path, ...]]:
    """Trust → files that may hold its lists, where the agent decides."""
    plan = prepared.plan
    asking = {server.trust for server in plan.ingress if server.authorizer} if plan else set()
    return {
        name: tuple(_files(prepared, name))
        for name in sorted(asking)
        if prepared.spec.trust[name].crl
    }


def _files(prepared: Prepared, name: str) -> list[Path]:
    return [Path(path) for path in prepared.spec.trust[name].crl]


def _load(prepared: Prepared, name: str) -> TrustMaterial:
    trust = prepared.spec.trust[name]
    return load_trust(
        name,
        certificates=[Path(path) for path in trust.certificates],
        crls=[Path(path) for path in trust.crl],
        public=trust.public,
    )


def _seen(files: tuple[Path, ...]) -> _Seen:
    return tuple(_stamp(file) for file in files)


def _stamp(file: Path) -> tuple[str, int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return str(file), status.st_ino, status.st_size, status.st_mtime_ns
