"""Looks at files: what each is now, and through which links and directories it is reached (edge).

Nothing here raises for what files do, and nothing waits for them: only regular files are opened, without
blocking, so that a FIFO put where a key should be stops nobody. A file system that hangs does block, so
whoever has an event loop calls this in a thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.rotate.gather import Stamp, State

if TYPE_CHECKING:
    from collections.abc import Iterable

DIGESTED_BYTES = 1 << 20
"""Larger files are told apart by their dates and sizes alone."""
_UNSURE_SECONDS = 2.0
"""A change within the same tick of a file system's clock as the one before leaves no trace in dates. Ticks
are 4 to 10 ms on ext4, xfs and tmpfs, a second on ext3, two on FAT: so long content is read again."""
_SURE_SECONDS = 60.0
"""After this the content is read again whatever the dates say: clocks jump, and mmap writes late."""
_LINKS = 40  # as Linux itself: path_resolution(7)
_OURS = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOMEM])
_ABSENT = frozenset([errno.ENOENT, errno.ENOTDIR])
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trail:
    """How a path is reached.

    `steps` are directories without links, each with the name in it that matters: every link on the way, and
    the file itself; where a directory is missing, its name in the one that is there. `directories` are the
    same directories, with device and inode: another one may take the place of one.
    """

    steps: frozenset[tuple[str, str]] = frozenset()
    directories: frozenset[tuple[str, int, int]] = frozenset()
    real: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One file at one look."""

    stamp: Stamp
    trail: Trail


@dataclass(frozen=True, slots=True)
class _Known:
    look: Look
    key: _Key
    first_seen: float
    read_at: float

    def is_sure(self, at: float) -> bool:
        return (
            self.read_at - self.first_seen >= _UNSURE_SECONDS and at - self.read_at < _SURE_SECONDS
        )


class Looker:
    """Looks at files, and reads again only what may have changed. For one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[Path, _Known] = {}

    def look(self, files: Iterable[Path], at: float, fresh: bool = False) -> dict[Path, Look]:
        """Every file as it is at `at` (monotonic seconds). `fresh` ones are read whatever their dates say."""
        return {file: self._look(file, at, fresh) for file in files}

    def forget_all_but(self, files: Iterable[Path]) -> None:
        """Keeps what is known of `files` only."""
        kept = set(files)
        self._known = {file: known for file, known in self._known.items() if file in kept}

    def _look(self, file: Path, at: float, fresh: bool) -> Look:
        key, known = _key(file), self._known.get(file)
        if known is not None and known.key == key and not fresh and known.is_sure(at):
            return known.look
        trail = trail_of(file)
        try:
            look = Look(_stamp(file, trail.real), trail)
        except OSError as error:  # what we lack says nothing about the file
            if known is not None:
                return known.look
            return Look(Stamp(file, State.UNREADABLE, _in_words(error)), trail)
        first_seen = known.first_seen if known is not None and known.key == key else at
        self._known[file] = _Known(look, key, first_seen, at)
        return look


def mark(files: Iterable[Path]) -> dict[Path, Stamp]:
    """The files as they are now: taken before they are read, it tells later what changed since."""
    return {file: look.stamp for file, look in Looker().look(files, 0.0).items()}


def trail_of(file: Path) -> Trail:
    """The links and directories on the way to a file, as far as there are any."""
    left = str(file).split("/")[::-1]
    here = "/" if file.is_absolute() else os.path.realpath(Path.cwd())
    steps: set[tuple[str, str]] = set()
    real, links = "", 0
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            here = os.path.dirname(here)  # noqa: PTH120  a thousand of these per look
            continue
        entry = f"{here.rstrip('/')}/{name}"
        try:
            mode = os.lstat(entry).st_mode
            target = os.readlink(entry) if stat.S_ISLNK(mode) else None  # noqa: PTH115
        except (OSError, ValueError):  # ValueError: a NUL in a name
            steps.add((here, name))
            break
        if target is None and left and stat.S_ISDIR(mode):
            here = entry
            continue
        steps.add((here, name))
        if target is None:
            real = "" if left else entry
            break
        if (links := links + 1) > _LINKS:
            break
        left += target.split("/")[::-1]
        here = "/" if target.startswith("/") else here
    return Trail(frozenset(steps), _directories(steps), real)


def _directories(steps: Iterable[tuple[str, str]]) -> frozenset[tuple[str, int, int]]:
    found = set()
    for directory in {step[0] for step in steps}:
        try:
            status = os.stat(directory)  # noqa: PTH116
        except OSError:
            continue
        found.add((directory, status.st_dev, status.st_ino))
    return frozenset(found)


def _key(file: Path) -> _Key:
    """What is had for one system call, and differs when the file does but for ticks of clocks."""
    try:
        return _of_status(file.stat())
    except OSError as error:
        return (error.errno or 0,)
    except ValueError:
        return (-1,)


def _of_status(status: os.stat_result) -> _Key:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _stamp(file: Path, real: str) -> Stamp:
    """Raises OSError only where we lack descriptors or memory."""
    descriptor = -1
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            return _no_file(file, real, status)
        # Without waiting, should it have become a FIFO since.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return _no_file(file, real, status)
        content = _content(descriptor) if status.st_size <= DIGESTED_BYTES else None
    except OSError as error:
        if error.errno in _OURS:
            raise
        state = State.ABSENT if error.errno in _ABSENT else State.UNREADABLE
        return Stamp(file, state, _in_words(error), real)
    except ValueError as error:
        return Stamp(file, State.UNREADABLE, str(error), real)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    device, inode, size, mode, user, group, modified, changed = _of_status(status)
    digest = None if content is None else hashlib.sha256(content).hexdigest()
    size = size if content is None else len(content)
    return Stamp(
        *(file, State.FILE, "", real, device, inode, size),
        *(stat.S_IMODE(mode), user, group, modified, changed, digest),
    )


def _content(descriptor: int) -> bytes | None:
    """All of it; None when it grew beyond what is read."""
    parts, size = [], 0
    while part := os.read(descriptor, DIGESTED_BYTES + 1 - size):
        parts.append(part)
        if (size := size + len(part)) > DIGESTED_BYTES:
            return None
    return b"".join(parts)


def _no_file(file: Path, real: str, status: os.stat_result) -> Stamp:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
    return Stamp(file, State.NOT_A_FILE, kind, real, status.st_dev, status.st_ino)


def _in_words(error: OSError) -> str:
    return error.strerror or type(error).__name__
