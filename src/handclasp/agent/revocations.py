"""Revocation lists that change on disk while nginx serves (edge).

nginx reads its own lists when it loads its configuration; the agent reads them when they change, and what
they name is refused from the next request on. A list that cannot be read changes nothing, and is said. What
is in force is kept, so that the next start goes back to nothing older.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.clock import SystemClock
from handclasp.agent.list_fetcher import ListFetcher
from handclasp.agent.listed_trust import list_authorities, list_files, load_listed_trust
from handclasp.agent.lists_in_force import copy_of, remember
from handclasp.agent.newer_lists import Found, Newer, joined, news, take
from handclasp.agent.own_ledger import ledgers
from handclasp.certs.private_keys import UNREADABLE
from handclasp.errors import EnvironmentFault, HandclaspError
from handclasp.findings import errors_in
from handclasp.rotate.list_schedule import running_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from cryptography import x509

    from handclasp.agent.prepare import Prepared
    from handclasp.certs.material import Material, TrustMaterial
    from handclasp.ports import Clock
    from handclasp.spec.load import LoadedSpec

LOOK_SECONDS = 0.5
"""A list that is written in one go is in force within two looks and the time to read it."""
_ENDS_SECONDS = 10.0
_Seen = tuple[tuple[str, int, int, int] | None, ...]


class RevocationWatch:
    """Looks at the files twice a second, and reads them when they stayed as they are for one look; has
    lists of URLs fetched, and says when one runs out."""

    def __init__(self, every_seconds: float = LOOK_SECONDS, clock: Clock | None = None) -> None:
        self._every_seconds = every_seconds
        self._clock = clock or SystemClock()
        self._fetcher = ListFetcher(self._clock)
        self._ends: tuple[str, ...] = ()
        self._ends_due = 0.0
        self._material: Material | None = None
        self._before: dict[str, _Seen] = {}
        self._done: dict[str, _Seen] = {}
        self._read: dict[str, tuple[_Seen, Found]] = {}
        self._in_force: dict[str, TrustMaterial] = {}
        self._kept: dict[str, TrustMaterial] = {}
        self._again: dict[str, datetime] = {}
        self._owed: dict[str, Newer] = {}
        self._loaded: LoadedSpec | None = None
        self._failure: str | None = None
        self._not_kept: str | None = None

    @property
    def problem(self) -> str | None:
        """What is wrong with lists as they lie there, or with putting them in force; None when nothing is."""
        told = [
            f"{name}: {problem}"
            for name, (_, found) in sorted(self._read.items())
            for problem in found.problems
        ]
        told += [one for one in (self._failure, self._not_kept, self._fetcher.problem) if one]
        return "; ".join([*told, *self._ends]) or None

    async def watch(
        self,
        in_effect: Callable[[], Prepared | None],
        changed: Callable[[Mapping[str, Newer]], None],
    ) -> None:
        """Calls `changed` with the trusts whose lists are others now, again at each look while it fails.
        Does not end."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._fetcher.run(in_effect, self._every_seconds))
            while True:
                if (prepared := in_effect()) is not None:
                    await self.look(prepared, changed)
                    self._look_at_ends(prepared)
                await asyncio.sleep(self._every_seconds)

    async def look(
        self, prepared: Prepared, changed: Callable[[Mapping[str, Newer]], None]
    ) -> None:
        """One look."""
        if prepared.material is not self._material:
            self._owed, self._failure = self._read_along(prepared), None
        found = self._owed | await self._changes(prepared)
        if found:
            self._put(found, changed)
        await self._keep(prepared)

    def _put(
        self, found: Mapping[str, Newer], changed: Callable[[Mapping[str, Newer]], None]
    ) -> None:
        try:
            changed(found)
        except (HandclaspError, OSError, *UNREADABLE) as error:
            why = error.message if isinstance(error, HandclaspError) else str(error)
            if self._failure is None:
                journal.error("revocation lists are not in force", why=why)
            self._owed, self._failure = dict(found), f"not in force: {why}"
            return
        self._owed, self._failure, self._ends_due = {}, None, 0.0
        for name, newer in found.items():
            self._in_force[name] = newer.trust
            if name in self._read:
                self._done[name] = self._read[name][0]
            journal.info("revocation lists read", trust=name, lists=len(newer.trust.crls))

    async def _keep(self, prepared: Prepared) -> None:
        """Keeps what is in force, again at each look while that fails."""
        failed = None
        for name, trust in self._in_force.items():
            if name in self._owed or self._kept.get(name) is trust:
                continue
            try:
                await asyncio.to_thread(remember, prepared.layout.root, trust)
            except EnvironmentFault as error:
                failed = f"{name}: {error.message}"
                continue
            self._kept[name] = trust
        if failed is not None and self._not_kept is None:
            journal.error("revocation lists are not kept", why=failed)
        self._not_kept = failed

    def _look_at_ends(self, prepared: Prepared) -> None:
        """Says once of each list that it runs out, or ran out. Now and then: the days are long."""
        if self._clock.monotonic() < self._ends_due:
            return
        self._ends_due = self._clock.monotonic() + _ENDS_SECONDS
        now = self._clock.now()
        ends = tuple(
            f"{name}: {told}"
            for name, trust in sorted(self._in_force.items())
            for told in (
                *running_out(trust, now),
                *_left_behind(prepared.material.trust[name], trust, now),
            )
        )
        for told in ends:
            if told not in self._ends:
                journal.warning("revocation list runs out", what=told)
        self._ends = ends

    def _read_along(self, prepared: Prepared) -> dict[str, Newer]:
        """Of the lists that came with a plan and those put in force before the newest count, but for an order
        to take older ones. The files are read once more, since they may have changed meanwhile."""
        before, self._in_force, self._ends_due = self._in_force, {}, 0.0
        self._material, self._before, self._done, self._read = prepared.material, {}, {}, {}
        ordered = prepared.older_lists and prepared.loaded is not self._loaded
        self._loaded, self._again = prepared.loaded, {}
        found: dict[str, Newer] = {}
        for name in _watched(prepared):
            self._in_force[name] = trust = prepared.material.trust[name]
            if name not in before or not trust.crls:
                continue
            if ordered:
                found[name] = Newer(trust, names_more=True)
                continue
            authorities = _authorities(prepared, name)
            both = joined(trust, before[name], authorities, now=self._clock.now())
            self._in_force[name] = both
            if (newer := news(before[name], both, authorities)) is not None:
                found[name] = newer
        return found

    async def _changes(self, prepared: Prepared) -> dict[str, Newer]:
        changes: dict[str, Newer] = {}
        for name, files in _watched(prepared).items():
            now = _seen(files)
            settled = self._before.get(name) == now
            self._before[name] = now
            if self._has_begun(name):
                self._done.pop(name, None)
                self._read.pop(name, None)
            if now == self._done.get(name) or not settled:
                continue
            found = await self._found(prepared, name, now)
            if found.newer is None:
                self._done[name] = now
            else:
                changes[name] = found.newer
        return changes

    def _has_begun(self, name: str) -> bool:
        """Whether a list that was too early is so no longer."""
        due = self._again.get(name)
        if due is None or self._clock.now() < due:
            return False
        del self._again[name]
        return True

    async def _found(self, prepared: Prepared, name: str, now: _Seen) -> Found:
        known = self._read.get(name)
        if known is not None and known[0] == now:
            return known[1]  # what could not be put in force before
        before = self._in_force.get(name, prepared.material.trust[name])
        found = await asyncio.to_thread(_load, prepared, name, before, self._clock.now())
        self._read[name] = now, found
        if found.again is not None:
            self._again[name] = found.again
        if found.problems:
            why = "; ".join(found.problems)
            journal.error("revocation lists not taken", trust=name, why=why)
        return found


def _watched(prepared: Prepared) -> dict[str, tuple[Path, ...]]:
    """Trust → files that may hold its lists, of those in use."""
    wanted = {name for name, _ in prepared.plan.trust} if prepared.plan else set()
    files = {name: _files(prepared, name) for name in sorted(wanted)}
    return {name: tuple(paths) for name, paths in files.items() if paths}


def _left_behind(loaded: TrustMaterial, trust: TrustMaterial, now: datetime) -> Iterator[str]:
    """nginx refuses by the lists it has loaded, however new those are that callers are held to."""
    if loaded is not trust and loaded.lists_kept is None and not any(running_out(trust, now)):
        for told in running_out(loaded, now):
            yield f"nginx has not read the newer list yet, and of the one it has: {told}"


def _files(prepared: Prepared, name: str) -> list[Path]:
    """Those named as lists, certificate files that had one, and ledgers of CAs of ours beside them."""
    named = list_files(name, prepared.spec.trust[name], prepared.layout.root)
    copy = copy_of(prepared.layout.root, name)
    had = [Path(path) for path in prepared.material.trust[name].crl_files if Path(path) != copy]
    return list(dict.fromkeys((*named, *had, *ledgers(named))))


def _authorities(prepared: Prepared, name: str) -> tuple[x509.Certificate, ...]:
    """The CAs whose lists count: as nginx and the policies know them, not as they lie there now."""
    servers = prepared.plan.ingress if prepared.plan else ()
    links = [server.link for server in servers if server.trust == name]
    return list_authorities(prepared.material, name, links)


def _load(prepared: Prepared, name: str, before: TrustMaterial, now: datetime) -> Found:
    fresh = load_listed_trust(name, prepared.spec.trust[name], prepared.layout.root)
    unreadable = tuple(one.seen for one in errors_in(fresh.findings))
    try:
        found = take(before, fresh, _authorities(prepared, name), now=now)
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
