"""Revocation lists that change on disk while nginx serves (edge).

nginx reads its own lists when it loads its configuration; the agent reads them when they change, and what
they name is refused from the next request on. A list that cannot be read changes nothing, and is said.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.newer_lists import Found, Newer, names_more, take
from handclasp.certs.private_keys import UNREADABLE
from handclasp.errors import HandclaspError
from handclasp.findings import errors_in
from handclasp.keys.load import load_trust

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography import x509

    from handclasp.agent.prepare import Prepared
    from handclasp.certs.material import Material, TrustMaterial

LOOK_SECONDS = 2.0
_Seen = tuple[tuple[str, int, int, int] | None, ...]


class RevocationWatch:
    """Looks at the files every two seconds, and reads them when they stayed as they are for one look."""

    def __init__(self, every_seconds: float = LOOK_SECONDS) -> None:
        self._every_seconds = every_seconds
        self._material: Material | None = None
        self._before: dict[str, _Seen] = {}
        self._done: dict[str, _Seen] = {}
        self._read: dict[str, tuple[_Seen, Found]] = {}
        self._in_force: dict[str, TrustMaterial] = {}
        self._owed: dict[str, Newer] = {}
        self._failure: str | None = None

    @property
    def problem(self) -> str | None:
        """What is wrong with lists as they lie there, or with putting them in force; None when nothing is."""
        told = [
            f"{name}: {problem}"
            for name, (_, found) in sorted(self._read.items())
            for problem in found.problems
        ]
        return "; ".join([*told, *([self._failure] if self._failure else [])]) or None

    async def watch(
        self,
        in_effect: Callable[[], Prepared | None],
        changed: Callable[[Mapping[str, Newer]], None],
    ) -> None:
        """Calls `changed` with the trusts whose lists are others now, again at each look while it fails.
        Does not end."""
        while True:
            if (prepared := in_effect()) is not None:
                await self.look(prepared, changed)
            await asyncio.sleep(self._every_seconds)

    async def look(
        self, prepared: Prepared, changed: Callable[[Mapping[str, Newer]], None]
    ) -> None:
        """One look."""
        if prepared.material is not self._material:
            self._owed, self._failure = self._read_along(prepared), None
        found = self._owed | await self._changes(prepared)
        if not found:
            return
        try:
            changed(found)
        except (HandclaspError, OSError, *UNREADABLE) as error:
            why = error.message if isinstance(error, HandclaspError) else str(error)
            if self._failure is None:
                journal.error("revocation lists are not in force", why=why)
            self._owed, self._failure = found, f"not in force: {why}"
            return
        self._owed, self._failure = {}, None
        for name, newer in found.items():
            self._in_force[name] = newer.trust
            if name in self._read:
                self._done[name] = self._read[name][0]
            journal.info("revocation lists read", trust=name, lists=len(newer.trust.crls))

    def _read_along(self, prepared: Prepared) -> dict[str, Newer]:
        """Lists that were read with the spec are in force already, and may name more than those before.
        The files are read once more, since they may have changed meanwhile."""
        before, self._in_force = self._in_force, {}
        self._material, self._before, self._done, self._read = prepared.material, {}, {}, {}
        found: dict[str, Newer] = {}
        for name in _watched(prepared):
            trust = self._in_force[name] = prepared.material.trust[name]
            if name in before and names_more(before[name], trust, _authorities(prepared, name)):
                found[name] = Newer(trust, names_more=True)
        return found

    async def _changes(self, prepared: Prepared) -> dict[str, Newer]:
        changes: dict[str, Newer] = {}
        for name, files in _watched(prepared).items():
            now = _seen(files)
            settled = self._before.get(name) == now
            self._before[name] = now
            if now == self._done.get(name) or not settled:
                continue
            found = await self._found(prepared, name, now)
            if found.newer is None:
                self._done[name] = now
            else:
                changes[name] = found.newer
        return changes

    async def _found(self, prepared: Prepared, name: str, now: _Seen) -> Found:
        known = self._read.get(name)
        if known is not None and known[0] == now:
            return known[1]  # what could not be put in force before
        before = self._in_force.get(name, prepared.material.trust[name])
        found = await asyncio.to_thread(_load, prepared, name, before)
        self._read[name] = now, found
        if found.problems:
            why = "; ".join(found.problems)
            journal.error("revocation lists not taken", trust=name, why=why)
        return found


def _watched(prepared: Prepared) -> dict[str, tuple[Path, ...]]:
    """Trust → files that may hold its lists, for those of callers."""
    plan = prepared.plan
    wanted = {server.trust for server in plan.ingress} if plan else set()
    files = {name: _files(prepared, name) for name in sorted(wanted)}
    return {name: tuple(paths) for name, paths in files.items() if paths}


def _files(prepared: Prepared, name: str) -> list[Path]:
    """Those named as lists, and certificate files that had one."""
    named = [Path(path) for path in prepared.spec.trust[name].crl]
    had = [Path(path) for path in prepared.material.trust[name].crl_files]
    return list(dict.fromkeys((*named, *had)))


def _authorities(prepared: Prepared, name: str) -> tuple[x509.Certificate, ...]:
    """The CAs whose lists count: as nginx and the policies know them, not as they lie there now."""
    plan, material = prepared.plan, prepared.material
    between = [
        one
        for server in (plan.ingress if plan else ())
        if server.trust == name and server.link in material.intermediates
        for one in material.intermediates[server.link].anchors
    ]
    return tuple(dict.fromkeys((*material.trust[name].all_anchors(), *between)))


def _load(prepared: Prepared, name: str, before: TrustMaterial) -> Found:
    trust = prepared.spec.trust[name]
    fresh = load_trust(
        name,
        certificates=[Path(path) for path in trust.certificates],
        crls=[Path(path) for path in trust.crl],
        public=trust.public,
    )
    unreadable = tuple(one.seen for one in errors_in(fresh.findings))
    try:
        found = take(before, fresh, _authorities(prepared, name))
    except UNREADABLE as error:
        return Found(None, (*unreadable, f"a list cannot be read: {error}"))
    return replace(found, problems=(*unreadable, *found.problems))


def _seen(files: tuple[Path, ...]) -> _Seen:
    return tuple(_stamp(file) for file in files)


def _stamp(file: Path) -> tuple[str, int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return str(file), status.st_ino, status.st_size, status.st_mtime_ns
