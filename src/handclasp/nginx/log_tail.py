"""Reading what nginx logged since a moment, and telling its lines apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MOST_BYTES = 256 * 1024
"""A reload logs a few lines; more than this in between is traffic."""

# ngx_log_error_core: "2026/11/24 06:11:12 [emerg] 95#95: *1 text", on stderr "nginx: [emerg] text"
_LINE = re.compile(
    r"(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d|nginx:) \[(?P<level>\w+)\] "
    r"(?:(?P<pid>\d+)#\d+: )?(?P<text>.*)"
)
GRAVE = frozenset({"emerg", "alert", "crit"})


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of an error log. ``pid`` is None on stderr, before the log is open."""

    level: str
    pid: int | None
    text: str


@dataclass(frozen=True, slots=True)
class LogMark:
    """A place in a log file; survives the file being rotated away, made or truncated meanwhile."""

    path: Path
    inode: int
    offset: int

    @classmethod
    def at_end(cls, path: Path) -> LogMark:
        """The present end of the file, which need not exist."""
        try:
            seen = path.stat()
        except OSError:
            return cls(path, 0, 0)
        return cls(path, seen.st_ino, seen.st_size)

    def lines(self) -> tuple[str, ...]:
        """Lines written since, the newest 256 KiB of them; none when it cannot be read."""
        try:
            with self.path.open("rb") as log:
                end = log.seek(0, 2)
                seen = self.path.stat()
                same = seen.st_ino == self.inode and end >= self.offset
                log.seek(max(self.offset if same else 0, end - _MOST_BYTES))
                return tuple(log.read(_MOST_BYTES).decode(errors="replace").splitlines())
        except OSError:
            return ()


def parsed(lines: Iterable[str]) -> list[LogLine]:
    """The lines that are log lines."""
    matches = (_LINE.match(line) for line in lines)
    return [
        LogLine(match["level"], int(match["pid"]) if match["pid"] else None, match["text"])
        for match in matches
        if match
    ]


def grave(lines: Iterable[str]) -> tuple[str, ...]:
    """Texts of emerg, alert and crit lines, each once: nginx says them on stderr and in the log."""
    texts = {f"[{line.level}] {line.text}": None for line in parsed(lines) if line.level in GRAVE}
    return tuple(texts)
