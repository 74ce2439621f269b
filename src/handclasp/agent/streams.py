"""Connections that outlive what was verified when they were opened: WebSockets, streams, long answers (edge).

nginx looks at a caller again with each request, and these have none. So they are ended, everybody's of this
nginx, for it cannot single one caller out: at once where a link says so, else after `max_stream_age`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from handclasp.agent import journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from handclasp.spec.links import IngressLink


class Streams:
    """When they are ended. `cut` does it, where that is `possible`."""

    def __init__(self, cut: Callable[[], None], possible: Callable[[], bool]) -> None:
        self._cut, self._possible = cut, possible
        self._due: asyncio.TimerHandle | None = None

    def revoked(self, links: Iterable[IngressLink]) -> float | None:
        """A caller of these links is not to come in any more; in how many seconds open connections end at
        most. None: when they like, or when nginx is not ours to end them."""
        ages = [age for link in links if (age := age_of(link)) is not None]
        if not ages or not self._possible():
            return None
        after = min(ages).total_seconds()
        loop = asyncio.get_running_loop()
        if after == 0:
            self._cut()
        elif self._due is None or self._due.when() > loop.time() + after:
            self.stop()
            self._due = loop.call_later(after, self._end)
            because = "a caller was refused"
            journal.info("open connections end", in_seconds=round(after), because=because)
        return after

    def stop(self) -> None:
        """Forgets what would be due."""
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _end(self) -> None:
        self._due = None
        self._cut()


def age_of(link: IngressLink) -> timedelta | None:
    """How long a connection may outlive a revocation; None: as long as it likes."""
    clients = link.clients
    return timedelta() if clients.cut else clients.max_stream_age
