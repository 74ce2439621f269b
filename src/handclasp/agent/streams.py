"""Connections that outlive what was verified when they were opened: WebSockets, streams, long answers (edge).

nginx looks at a caller again with each request, and these have none. So they are ended, everybody's of this
nginx, for it cannot single one caller out: at once where a link says so, else after `max_stream_age`. When
that is due is written down until it is done: an nginx that its agent left behind keeps them open meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.nginx.durable import Access, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from handclasp.ports import Clock
    from handclasp.spec.links import IngressLink

_FILE = Access(0o600)


class Streams:
    """When they are ended. `cut` does it, where that is `possible`; `written` is when it is due."""

    def __init__(
        self, cut: Callable[[], None], possible: Callable[[], bool], written: Written, clock: Clock
    ) -> None:
        self._cut, self._possible = cut, possible
        self._written, self._clock = written, clock
        self._due: asyncio.TimerHandle | None = None

    def revoked(self, links: Iterable[IngressLink]) -> float | None:
        """A caller of these links is not to come in any more; in how many seconds open connections end at
        most. None: when they like, or when nginx is not ours to end them."""
        ages = [age for link in links if (age := age_of(link)) is not None]
        if not ages or not self._possible():
            return None
        after = min(ages).total_seconds()
        if after == 0:
            self._written.note(self._clock, 0)
            self._cut()
        elif self._due is None or self._due.when() > asyncio.get_running_loop().time() + after:
            self._written.note(self._clock, after)
            self._end_in(after)
            because = "a caller was refused"
            journal.info("open connections end", in_seconds=round(after), because=because)
        return after

    def resume(self) -> None:
        """What was due when the agent before ended, is."""
        left = self._written.left(self._clock.now())
        if left is None:
            return
        if not self._possible():
            self._written.forget()
            return
        because = "a caller was refused before the agent was started again"
        journal.info("open connections end", in_seconds=round(left), because=because)
        self._end_in(left)

    def stop(self, *, ended: bool = False) -> None:
        """Forgets what would be due; for good where all connections have `ended`."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if ended:
            self._written.forget()

    def _end_in(self, seconds: float) -> None:
        self.stop()
        self._due = asyncio.get_running_loop().call_later(seconds, self._end)

    def _end(self) -> None:
        self._due = None
        self._cut()


class Written:
    """The file that says when they end: STATE/streams.json, gone when none has to."""

    def __init__(self, state: Path) -> None:
        """Of this state directory."""
        self._file = state / "streams.json"

    def note(self, clock: Clock, seconds: float) -> None:
        """Due in so many seconds. What cannot be written is said, and holds while this agent lives."""
        ends = clock.now() + timedelta(seconds=seconds)
        # The moment tells two apart that are due in the same second.
        told = {"ends": ends.isoformat(), "seconds": seconds, "noted": clock.monotonic()}
        try:
            replace_file(self._file, json.dumps(told).encode() + b"\n", _FILE)
        except OSError as error:
            journal.warning(
                "when open connections end is not written down",
                file=self._file,
                because=error.strerror,
            )

    def left(self, now: datetime) -> float | None:
        """Seconds until it is due, 0 where that is over; None where nothing is. A clock that was set back
        makes it no longer than it was in the beginning."""
        if (content := self.content()) is None:
            return None
        try:
            told = json.loads(content)
            ends, seconds = datetime.fromisoformat(told["ends"]), float(told["seconds"])
            left = (ends - now).total_seconds()
        except (ValueError, KeyError, TypeError):
            return 0.0  # something was due
        return min(max(left, 0.0), max(seconds, 0.0))

    def content(self) -> bytes | None:
        """The file's; None where there is none."""
        try:
            return self._file.read_bytes()
        except OSError:
            return None

    def forget(self, content: bytes | None = None) -> None:
        """It is done; what was noted since `content` was read is not, and stays."""
        if content is not None and self.content() != content:
            return
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            journal.warning("a file is left behind", file=self._file, because=error.strerror)


def age_of(link: IngressLink) -> timedelta | None:
    """How long a connection may outlive a revocation; None: as long as it likes."""
    clients = link.clients
    return timedelta() if clients.cut else clients.max_stream_age
