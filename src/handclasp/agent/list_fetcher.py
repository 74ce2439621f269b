"""Revocation lists from URLs, kept fresh while the agent runs, and had before nginx starts (edge).

What is taken is written where lists of files are looked for, so that everything else follows: the agent's own
answers, the denied files, and nginx when it reads its lists again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.clock import SystemClock
from handclasp.agent.list_fetch import NotFetchedError, fetch
from handclasp.agent.list_store import (
    Kept,
    accept,
    kept,
    open_store,
    server_authorities,
    sources,
)
from handclasp.errors import EnvironmentFault, ExitCode
from handclasp.findings import FindingsError, found
from handclasp.rotate.list_schedule import next_fetch

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import PurePath

    from handclasp.agent.list_store import Source
    from handclasp.agent.prepare import Prepared
    from handclasp.ports import Clock
    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.model import Spec

FIRST_SECONDS = 30.0
REFRESH_SECONDS = 10.0
_AT_ONCE = 8


@dataclass(slots=True)
class _Progress:
    """Of one URL. It is due when either clock says so: the one stands still while a machine sleeps, the
    other can be set."""

    kept: Kept
    due_monotonic: float
    due: datetime
    failures: int = 0
    problem: str | None = None


@dataclass(slots=True)
class ListFetcher:
    """The schedule of all URLs. `draw` gives numbers from 0 to 1."""

    clock: Clock
    draw: Callable[[], float] = random.random
    _known: dict[tuple[PurePath, Source], _Progress] = field(default_factory=dict)

    @property
    def problem(self) -> str | None:
        """What could not be had at the last try; None when nothing is."""
        told = [
            f"{source.trust}: {source.url}: {one.problem}"
            for (_, source), one in self._known.items()
            if one.problem
        ]
        return "; ".join(sorted(told)) or None

    async def run(self, in_effect: Callable[[], Prepared | None], look_seconds: float) -> None:
        """Fetches what is due. Does not end."""
        while True:
            if (prepared := in_effect()) is not None:
                await self.look(prepared.spec, Path(prepared.layout.root))
            await asyncio.sleep(look_seconds)

    async def look(self, spec: Spec, state: Path) -> None:
        """Fetches what is due at this moment."""
        wanted = [(state, source) for source in sources(spec)]
        for known in self._known.keys() - set(wanted):
            del self._known[known]
        for one in wanted:
            if one not in self._known:
                self._known[one] = self._begun(spec, kept(*one), one[1])
        now, monotonic = self.clock.now(), self.clock.monotonic()
        due = [
            one
            for one in wanted
            if monotonic >= self._known[one].due_monotonic or now >= self._known[one].due
        ]
        slots = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(self._try(spec, *one, slots) for one in due))

    def _begun(self, spec: Spec, had: Kept, source: Source) -> _Progress:
        now = self.clock.now()
        progress = _Progress(had, self.clock.monotonic(), now)
        if had.fetched is not None and had.fetched <= now:
            self._plan(spec, source, progress, last=had.fetched)
        return progress

    async def _try(self, spec: Spec, state: Path, source: Source, slots: asyncio.Semaphore) -> None:
        progress = self._known[state, source]
        try:
            async with slots:
                progress.kept = await refreshed(spec, state, source, progress.kept, self.clock)
        except (NotFetchedError, EnvironmentFault) as error:
            why = error.message if isinstance(error, EnvironmentFault) else str(error)
            if progress.problem != why:
                journal.error(
                    "revocation list not had", trust=source.trust, url=source.url, why=why
                )
            progress.problem, progress.failures = why, progress.failures + 1
            # A list that ran out may have been taken all the same, where that before had too.
            progress.kept = await asyncio.to_thread(kept, state, source)
        else:
            if progress.failures:
                journal.info("revocation list had again", trust=source.trust, url=source.url)
            progress.problem, progress.failures = None, 0
        self._plan(spec, source, progress, last=self.clock.now())

    def _plan(self, spec: Spec, source: Source, progress: _Progress, *, last: datetime) -> None:
        due = next_fetch(
            last=last,
            failures=progress.failures,
            every=_pace(spec, source),
            life=progress.kept.life,
            draw=self.draw(),
        )
        wait = max(timedelta(), due - self.clock.now())
        progress.due = due
        progress.due_monotonic = self.clock.monotonic() + wait.total_seconds()


async def refreshed(spec: Spec, state: Path, source: Source, had: Kept, clock: Clock) -> Kept:
    """One fetch, and what is known after it. Raises NotFetchedError and EnvironmentFault."""
    authorities = None
    if source.url.lower().startswith("https:"):
        authorities = await asyncio.to_thread(server_authorities, spec, source)
    fetched = await fetch(source.url, known=had.validators, authorities=authorities)
    now = clock.now()
    if fetched.body is None:
        return Kept(had.life, had.validators, now)
    taken = await asyncio.to_thread(
        accept, state, spec, source, fetched.body, fetched.validators, now
    )
    if taken.life != had.life:
        journal.info("revocation list fetched", trust=source.trust, url=source.url)
    return taken


async def fetch_first(
    loaded: LoadedSpec,
    state: Path,
    *,
    passable: bool,
    clock: Clock | None = None,
    seconds: float = FIRST_SECONDS,
) -> None:
    """Has every list that was never had, and tries to renew those in their last third.

    `passable`: others are to pass through the state directory. Raises FindingsError (exit code 3) when one
    was never had and cannot be had now: without it revocation would not be checked.
    """
    clock = clock or SystemClock()
    wanted = [(source, kept(state, source)) for source in sources(loaded.spec)]
    missing = [source for source, had in wanted if had.life is None]
    due = [(source, had) for source, had in wanted if _is_late(had, clock.now())]
    if not due:
        return
    await asyncio.to_thread(open_store, state, passable=passable)
    reasons: dict[Source, str] = {}

    async def attempt(source: Source, had: Kept) -> None:
        reasons[source] = f"no answer in {seconds:g} s"
        try:
            await refreshed(loaded.spec, state, source, had, clock)
        except NotFetchedError as error:
            reasons[source] = str(error)
        else:
            del reasons[source]

    bound = seconds if missing else min(seconds, REFRESH_SECONDS)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(bound):
            await asyncio.gather(*(attempt(*one) for one in due))
    lacking = [one for one in missing if one in reasons and kept(state, one).life is None]
    if lacking:
        raise FindingsError(
            [
                found(
                    "crl-not-fetched",
                    f"the revocation list of trust '{one.trust}' at {one.url} cannot be had:"
                    f" {reasons[one]}",
                    where=loaded.where(*one.place),
                )
                for one in lacking
            ],
            exit_code=ExitCode.ENVIRONMENT,
        )


def _is_late(had: Kept, now: datetime) -> bool:
    if had.life is None:
        return True
    return had.life.late is not None and now >= had.life.late


def _pace(spec: Spec, source: Source) -> timedelta | None:
    every = [one.every for one in spec.trust[source.trust].crl if one.url == source.url]
    return every[0] if every else None
