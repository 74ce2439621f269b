"""Follows nginx's error log and counts the handshakes that failed (edge).

The file is kept open, so that what was written until it is rotated away is read too. Reading is bounded:
whoever makes nginx log faster than that is not counted in full, and how much was left out is counted.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from handclasp.monitor.log_causes import LinkIndex, handshake_failure, may_tell
from handclasp.nginx.errorlog import parse_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from handclasp.agent.counts import Counts
    from handclasp.nginx.parts import Plan

LOOK_SECONDS = 2.0
MOST_BYTES = 1024 * 1024
"""Read at one look: some 4,000 lines."""


class LogFollower:
    """Lines that are added to a file, each given once."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        """What stands in the file now is old; a file that does not exist yet is read from its beginning."""
        self._path = path
        self._most_bytes = most_bytes
        self._file: int | None = None
        self._offset = 0
        self._begun = b""  # a line that is not finished yet
        self._is_replaced = False  # another file has its name since the last look
        self.unread_bytes = 0
        if self._open():
            self._offset = self._size()

    def lines(self) -> Iterator[str]:
        """What was added since the last time."""
        yield from self._added()
        before, self._is_replaced = self._is_replaced, self._replaced()
        # nginx writes to the old file until it is told to reopen, so that is left one look later.
        if self._is_replaced and (before or self._file is None):
            self.close()
            self._is_replaced = False
            self._open()
            yield from self._added()

    def close(self) -> None:
        """Lets go of the file."""
        if self._file is not None:
            os.close(self._file)
        self._file, self._offset, self._begun = None, 0, b""

    def _open(self) -> bool:
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return False
        return True

    def _size(self) -> int:
        return 0 if self._file is None else os.fstat(self._file).st_size

    def _replaced(self) -> bool:
        try:
            now = self._path.stat()
        except OSError:
            return False
        if self._file is None:
            return True
        known = os.fstat(self._file)
        return (known.st_dev, known.st_ino) != (now.st_dev, now.st_ino)

    def _added(self) -> Iterator[str]:
        if self._file is None:
            return
        size = self._size()
        if size < self._offset:  # emptied in place
            self._offset, self._begun = 0, b""
        if (too_much := size - self._offset - self._most_bytes) > 0:
            self.unread_bytes += too_much
            self._offset += too_much
            self._begun = b""
        try:
            added = os.pread(self._file, self._most_bytes, self._offset)
        except OSError:
            return
        self._offset += len(added)
        *whole, self._begun = (self._begun + added).split(b"\n")
        for line in whole:
            yield line.decode(errors="backslashreplace")


class FailureCounts:
    """Counts them into `counts`."""

    def __init__(self, log: Path, counts: Counts, every_seconds: float = LOOK_SECONDS) -> None:
        """From the present end of the log on."""
        self._follower = LogFollower(log)
        self._counts = counts
        self._every_seconds = every_seconds
        self._plan: Plan | None = None
        self._links: LinkIndex | None = None

    async def watch(self, in_effect: Callable[[], Plan | None]) -> None:
        """Looks every two seconds. Does not end."""
        try:
            while True:
                await asyncio.sleep(self._every_seconds)
                if (plan := in_effect()) is not None:
                    self.look(plan)
        finally:
            self._follower.close()

    def look(self, plan: Plan) -> None:
        """One look; lines are taken for the links of this plan."""
        if plan is not self._plan or self._links is None:
            self._plan, self._links = plan, LinkIndex(plan)
        for line in self._follower.lines():
            if not may_tell(line) or (parsed := parse_line(line)) is None:
                continue
            if (cause := handshake_failure(parsed)) is not None:
                self._counts.handshake_failure(self._links.link(parsed), cause)
        self._counts.unread_log_bytes = self._follower.unread_bytes
