"""Who calls, with which certificates: read from nginx's log of callers and kept across restarts (edge)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.callers_log import CallersLog
from handclasp.monitor.callers import Callers, read_line
from handclasp.nginx.durable import Access, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from handclasp.agent.prepare import Prepared
    from handclasp.monitor.callers import Caller
    from handclasp.ports import Clock

LOOK_SECONDS = 2.0
SAVE_SECONDS = 60.0
_MOST_WAITING = 8 * 1024 * 1024
"""When the log has become so long it is not waited for the minute."""
_KEPT = timedelta(days=30)
_MOST_SAVED = 64 * 1024 * 1024


class CallersSeen:
    """The table, and the file it is kept in."""

    def __init__(
        self, log: Path, file: Path, clock: Clock, ours: Callable[[Caller], bool] = lambda _: False
    ) -> None:
        """`log` is nginx's, `file` the table's. Who is `ours` is no caller."""
        self._ours = ours
        self._log, self._file, self._clock = CallersLog(log), file, clock
        self.callers = Callers(clock.now())
        self.problem: str | None = None
        self._loaded = False
        self._looking = asyncio.Lock()
        self._saved = clock.monotonic()
        self._current: tuple[float, tuple[Caller, ...]] | None = None

    async def watch(self, in_effect: Callable[[], Prepared | None]) -> None:
        """Looks every two seconds, while nginx writes such a log. Does not end."""
        while True:
            prepared = in_effect()
            if prepared is not None and follows(prepared):
                await self.look(prepared.spec.rotation.overlap)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, overlap: timedelta) -> None:
        """Takes what was added to the log, and writes it down at most once a minute. Callers that were not
        seen for 30 days, or `overlap` where that is longer, are forgotten then."""
        async with self._looking:
            await self._look(overlap)

    async def _look(self, overlap: timedelta) -> None:
        if not self._loaded:
            self._loaded = True
            text = await asyncio.to_thread(_read, self._file)
            if text is not None:
                self.callers = Callers.from_json(text, self._clock.now())
        try:
            seen, offset = await asyncio.to_thread(self._read_log)
        except OSError as error:
            self._trouble(f"{error.filename or 'the log of callers'}: {error.strerror}")
            return
        now = self._clock.now()
        self.callers.watching(now)
        for one in seen:
            if not self._ours(one):
                self.callers.see(one, now)
        self._log.taken(offset)
        if (
            self._clock.monotonic() - self._saved >= SAVE_SECONDS
            or self._log.offset > _MOST_WAITING
        ):
            self.callers.forget_before(now - max(overlap, _KEPT))
            await self._save()

    async def save(self) -> None:
        """Writes the table down, and empties the log, which is not needed any more then."""
        async with self._looking:
            if self._loaded:
                await self._save()

    async def _save(self) -> None:
        self._saved = self._clock.monotonic()
        try:
            await asyncio.to_thread(self._write, self.callers.as_json())
        except OSError as error:
            self._trouble(f"{self._file} cannot be written: {error.strerror}")
        else:
            self.problem = None

    def current(self) -> tuple[Caller, ...]:
        """Certificates in use, as of some seconds ago at most: whoever asks often does not have 10,000
        looked through each time."""
        moment = self._clock.monotonic()
        if self._current is None or abs(moment - self._current[0]) >= LOOK_SECONDS:
            self._current = moment, self.callers.current(self._clock.now())
        return self._current[1]

    def _read_log(self) -> tuple[list[Caller], int]:
        lines, offset = self._log.added()
        return [one for line in lines if (one := read_line(line)) is not None], offset

    def _write(self, text: str) -> None:
        replace_file(self._file, text.encode(), Access(0o600))
        self._log.empty()

    def _trouble(self, problem: str) -> None:
        if problem != self.problem:
            journal.error("callers are not followed", why=problem)
        self.problem = problem


def follows(prepared: Prepared) -> bool:
    """Whether nginx writes the log of callers."""
    plan = prepared.plan
    return plan is not None and plan.callers_log and bool(plan.ingress)


def _read(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST_SAVED).decode(errors="replace")
    except OSError:
        return None
