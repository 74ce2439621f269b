"""Files that change while nginx serves: certificates, keys, trust and lists (edge).

`MaterialWatch` tells of a unit once its files keep still (`rotate.gather`). It looks when the kernel gives
notice, every five seconds without any, and every second at what no notice can be had of: file systems of
other machines, directories that may not be read, or all when inotify's limits are reached.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.material_notices import Notices, by_inotify, read_remote_devices
from handclasp.agent.material_stamps import Looker, Trail
from handclasp.certs.private_keys import UNREADABLE
from handclasp.errors import HandclaspError
from handclasp.rotate.gather import (
    Gathering,
    Judge,
    Rules,
    Settled,
    Unchanged,
    Wait,
    matter,
    stamps_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from handclasp.agent.material_stamps import Look
    from handclasp.ports import Clock
    from handclasp.rotate.gather import Stamp, Told, Unit

_RULES = Rules()


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between looks: without a notice, where no notice can be had, and after notices of other files;
    and until inotify is tried again, each time twice as long up to the longest."""

    usual_seconds: float = 5.0
    unnoticed_seconds: float = 1.0
    noise_seconds: float = 1.0
    retry_seconds: float = 1.0
    longest_retry_seconds: float = 30.0


_PACE = Pace()
_SAID_AT = 2
"""A directory that vanishes while it is being watched is no failure worth a word; the next one is."""


@dataclass(slots=True)
class _Watched:
    unit: Unit
    gathering: Gathering
    trails: tuple[Trail, ...] = ()
    unnoticed: bool = False
    touched: bool = True
    not_whole: str = ""


class MaterialWatch:
    """Watches the files of the units that it was told to follow."""

    def __init__(
        self,
        clock: Clock,
        *,
        why_not_whole: Callable[[Unit], str | None] = lambda _: None,
        rules: Rules = _RULES,
        pace: Pace = _PACE,
        source: Callable[[Collection[str], asyncio.Event], AsyncIterator[set[str]]] = by_inotify,
        remote: Callable[[], frozenset[int]] = read_remote_devices,
    ) -> None:
        """`why_not_whole` reads the files of a unit and says what is wrong with them together, None when
        nothing is. It is called in a thread; HandclaspError, OSError and what `cryptography` raises for what
        it cannot read are taken as its answer. `source` and `remote` are the kernel, as far as it is asked.
        """
        self._clock = clock
        self._why_not_whole = why_not_whole
        self._rules = rules
        self._pace = pace
        self._remote = remote
        self._looker = Looker()
        self._units: dict[str, _Watched] = {}
        self._problems: dict[str, str] = {}
        self._notices = Notices(self._noticed, source)
        self._wake = asyncio.Event()
        self._moved = False
        self._by_path: Mapping[str, set[str]] = {}
        self._directories: frozenset[tuple[str, int, int]] = frozenset()
        self._listened: frozenset[tuple[str, int, int]] = frozenset()
        self._next_full = self._last_full = self._next_unnoticed = 0.0
        self._listening_since = self._next_try = 0.0
        self._failures = 0

    @property
    def problems(self) -> Mapping[str, str]:
        """Unit → why its files, as they lie there, were not told as settled."""
        return dict(self._problems)

    @property
    def awaited(self) -> Mapping[str, tuple[float, str]]:
        """Unit → since when (monotonic seconds) it changes without holding together yet, and why not."""
        at = self._clock.monotonic()
        return {
            name: (one.gathering.first_change, one.not_whole)
            for name, one in self._units.items()
            if one.gathering.refused is not None
            and not isinstance(one.gathering.step(at), Unchanged)
        }

    @property
    def unnoticed(self) -> str | None:
        """Why the kernel gives no notice of anything; None when it does."""
        return self._notices.failure

    def follow(self, units: Iterable[Unit], since: Mapping[Path, Stamp] | None = None) -> None:
        """Watches these units from now on, and no others. Called where the loop of `watch` runs.

        `since` is what `material_stamps.mark` gave before the reader read the files: a unit that has changed
        since is told. Without it, and for files that it lacks, what is followed already goes on, and a unit
        that is new is told as soon as it has settled, since nobody knows what its reader has seen.
        """
        before, self._units = self._units, {}
        for unit in units:
            read = stamps_of(unit, since or {})
            watched = before.get(unit.name)
            if watched is None or watched.unit != unit:
                watched = _Watched(unit, Gathering(unit.name, self._rules, told=read))
                self._problems.pop(unit.name, None)
            elif read is not None:
                watched.gathering, watched.touched = watched.gathering.read(read), True
                self._problems.pop(unit.name, None)
            self._units[unit.name] = watched
        for name in before.keys() - self._units.keys():
            self._problems.pop(name, None)
        self._moved = True
        self._next_full = 0.0
        self._wake.set()

    async def watch(self, changed: Callable[[Told], None]) -> None:
        """Calls `changed` with each unit that settled, or did not within the patience. Does not end, except
        by what `changed` raises."""
        try:
            while True:
                await self._turn(changed)
                await self._rest()
        finally:
            await self._notices.close()

    async def _turn(self, changed: Callable[[Told], None]) -> None:
        self._wake.clear()
        at = self._clock.monotonic()
        due = self._due(at)
        if due:
            await self._look(due, at)
        if self._moved:
            self._heed()
        await self._listen()
        for watched in due:
            await self._judge(watched, changed)

    def _due(self, at: float) -> list[_Watched]:
        """The units to look at now."""
        full, unnoticed = at >= self._next_full, at >= self._next_unnoticed
        if full:
            self._last_full, self._next_full = at, at + self._pace.usual_seconds
        if full or unnoticed:
            self._next_unnoticed = at + self._pace.unnoticed_seconds
        deaf = self._notices.failure is not None
        return [
            one
            for one in self._units.values()
            if full
            or one.touched
            or (unnoticed and (deaf or one.unnoticed))
            or isinstance(one.gathering.step(at), Judge)
        ]

    async def _rest(self) -> None:
        """Until something is due."""
        deaf = self._notices.failure is not None
        moments = [self._next_full, *([self._next_try] if deaf else [])]
        if deaf or any(one.unnoticed for one in self._units.values()):
            moments.append(self._next_unnoticed)
        at = self._clock.monotonic()
        for one in self._units.values():
            match one.gathering.step(at):
                case Wait(until):
                    moments.append(until)
                case Judge():
                    moments.append(at)
        try:
            async with asyncio.timeout(max(0.0, min(moments) - at)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _look(self, due: Sequence[_Watched], at: float) -> None:
        """Looks at their files, in a thread: a file system may take its time.

        The dates of another machine's files come late, those of a full look are not believed.
        """
        full = at == self._last_full
        asked = [(one.unit, one.touched or (one.unnoticed and full)) for one in due]
        for one in due:
            one.touched = False
        known = {file for one in self._units.values() for file in one.unit.files}

        def looks() -> list[dict[Path, Look]]:
            self._looker.forget_all_but(known)
            return [self._looker.look(unit.files, at, fresh) for unit, fresh in asked]

        for one, found in zip(due, await asyncio.to_thread(looks), strict=True):
            stamps = tuple(found[file].stamp for file in one.unit.files)
            trails = tuple(found[file].trail for file in one.unit.files)
            if trails != one.trails:
                one.trails, self._moved = trails, True
            # What was seen is as of the end of the look: it keeps still from then on.
            one.gathering = one.gathering.seen(stamps, self._clock.monotonic())

    def _heed(self) -> None:
        """Works out which notices matter to whom."""
        self._moved = False
        by_path: dict[str, set[str]] = defaultdict(set)
        directories: set[tuple[str, int, int]] = set()
        for name, one in self._units.items():
            for trail in one.trails:
                directories |= trail.directories
                for directory, entry in trail.steps:
                    by_path[f"{directory.rstrip('/')}/{entry}"].add(name)
                    by_path[directory].add(name)
        self._by_path, self._directories = by_path, frozenset(directories)

    def _noticed(self, paths: set[str]) -> None:
        """Paths that changed; none when no more notices come."""
        if not paths:
            self._failures += 1
            pause = self._pace.retry_seconds * 2 ** min(self._failures - 1, 20)
            self._next_try = self._clock.monotonic() + min(pause, self._pace.longest_retry_seconds)
            if self._failures == _SAID_AT:
                why = self._notices.failure
                journal.warning("changes of files are looked for every second", why=why)
        if paths & {directory for directory, _, _ in self._listened}:
            # It was moved or removed, and what has its name now may have its inode too.
            self._listened = frozenset()
        names = set().union(*(self._by_path.get(path, ()) for path in paths))
        for name in names & self._units.keys():
            self._units[name].touched = True
        # Other files: looked at all the same, but seldom. The notice of ours may have been lost among them.
        sooner = min(self._next_full, self._last_full + self._pace.noise_seconds)
        if names or not paths or sooner < self._next_full:
            self._next_full = sooner
            self._wake.set()

    async def _listen(self) -> None:
        """Has the notices come from where the files are now."""
        at, failure = self._clock.monotonic(), self._notices.failure
        if failure is None:
            if self._failures and at >= self._listening_since + self._pace.longest_retry_seconds:
                self._failures = 0
            if self._directories == self._listened:
                return
        elif at < self._next_try:
            return
        wanted = self._directories
        listenable = await asyncio.to_thread(_listenable, wanted, self._remote)
        for one in self._units.values():
            places = {place for trail in one.trails for place in trail.directories}
            one.unnoticed = not places <= listenable
        await self._notices.listen({directory for directory, _, _ in listenable})
        self._listened, self._listening_since = wanted, at
        # What changed before the first notice could come is seen by looking once more.
        self._next_full = 0.0

    async def _judge(self, watched: _Watched, changed: Callable[[Told], None]) -> None:
        """Says whether what keeps still holds together, if it still is what was judged."""
        before, name = watched.gathering, watched.unit.name
        step = before.step(self._clock.monotonic())
        if not isinstance(step, Judge):
            return
        why_not = before.trouble() or await asyncio.to_thread(self._why_not, watched.unit)
        at = self._clock.monotonic()
        files = watched.unit.files
        found = await asyncio.to_thread(self._looker.look, files, at, True)
        if self._units.get(name) is not watched or watched.gathering is not before:
            return
        again = tuple(found[file].stamp for file in files)
        at = self._clock.monotonic()
        if matter(again) != matter(before.now) and not step.restless:
            watched.gathering = before.seen(again, at)
            return
        after, told = before.judged(why_not, at)
        watched.gathering = after.seen(again, at)
        if told is None:
            watched.not_whole = why_not or ""
            return
        if isinstance(told, Settled):
            self._problems.pop(name, None)
        else:
            self._problems[name] = told.why
        changed(told)

    def _why_not(self, unit: Unit) -> str | None:
        try:
            return self._why_not_whole(unit)
        except HandclaspError as error:
            return error.message
        except (OSError, *UNREADABLE) as error:
            return str(error) or type(error).__name__


def _listenable(
    places: frozenset[tuple[str, int, int]], remote: Callable[[], frozenset[int]]
) -> frozenset[tuple[str, int, int]]:
    """Those directories that the kernel gives notice of to us."""
    away = remote()
    return frozenset(
        place
        for place in places
        if place[1] not in away and os.access(place[0], os.R_OK, effective_ids=True)
    )
