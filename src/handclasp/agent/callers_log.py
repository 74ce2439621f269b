"""The log of callers: read as it grows, and emptied once what it holds is kept elsewhere (edge).

nginx opens logs with O_APPEND (ngx_open_file, NGX_FILE_APPEND), so what it writes after the file was emptied
begins at its new end. What is written between the last look at the size and the emptying, some microseconds
at most once a minute, is lost.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 2 * 1024 * 1024
"""Read at one look: some 6,000 connections."""
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class CallersLog:
    """What is added to the file, from its beginning: a line read twice does no harm."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        """The file need not exist yet."""
        self._path = path
        self._most_bytes = most_bytes
        self._inode, self._offset = 0, 0
        self.unread_bytes = 0

    @property
    def offset(self) -> int:
        """How far the file was read."""
        return self._offset

    def added(self) -> tuple[list[str], int]:
        """The whole lines beyond `offset`, and how far they go, to be told to `taken`. Where there is more
        than is read at one look, the newest of it, and `unread_bytes` counts the rest. Raises OSError."""
        with self._opened(os.O_RDONLY) as file:
            if file is None:
                return [], self._offset
            if self._offset and os.pread(file, 1, self._offset - 1) != b"\n":
                self._offset = 0  # somebody emptied it, and as much has come since
            size = os.fstat(file).st_size
            if (too_much := size - self._offset - self._most_bytes) > 0:
                self.unread_bytes += too_much
                self._offset += too_much
            added = os.pread(file, size - self._offset, self._offset)
        whole = added[: added.rfind(b"\n") + 1]
        if not whole and len(added) >= self._most_bytes:
            whole = added  # no line of ours is as long
        return whole.decode(errors="replace").splitlines(), self._offset + len(whole)

    def taken(self, offset: int) -> None:
        """What was read up to there is known elsewhere, and need not be read again."""
        self._offset = offset

    def empty(self) -> bool:
        """Empties the file, unless it holds what was not read yet. Raises OSError."""
        with self._opened(os.O_WRONLY) as file:
            if file is None or os.fstat(file).st_size != self._offset:
                return False
            os.ftruncate(file, 0)
            self._offset = 0
            return True

    @contextlib.contextmanager
    def _opened(self, how: int) -> Iterator[int | None]:
        """None when it is not there. Another file of this name, or a shorter one, is begun with anew."""
        try:
            file = os.open(self._path, how | _FLAGS)
        except FileNotFoundError:
            yield None
            return
        try:
            seen = os.fstat(file)
            if seen.st_ino != self._inode or seen.st_size < self._offset:
                self._inode, self._offset = seen.st_ino, 0
            yield file
        finally:
            os.close(file)
