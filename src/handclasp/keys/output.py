"""New files with certificates and keys, all of them or none (edge: the file system)."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handclasp.errors import EnvironmentFault, UsageError
from handclasp.keys.files import sync_directory, write_beside, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

PRIVATE, PUBLIC = 0o600, 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A file to be written; `private`: a key is in it, so it is its owner's alone (0600)."""

    path: Path
    data: bytes = field(repr=False)
    private: bool

    @property
    def mode(self) -> int:
        """Permission bits."""
        return PRIVATE if self.private else PUBLIC


_NOT_OVER = "Name another one, or give --force to have it replaced."

_NO_LINKS = frozenset([errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
"""What file systems without hard links answer (FAT, some network and FUSE ones)."""


def write_new(outputs: Iterable[Output], *, hint: str = _NOT_OVER) -> tuple[Path, ...]:
    """Writes files that must not exist yet; when one cannot be written, none is left.

    Each is whole before it has its name, so a killed process leaves no half-written one; what it may
    leave is a part of several, or a file with a passing name (`.NAME.…`, of the same mode).
    `hint` is what to do about a file that exists. Raises UsageError when one of them does,
    EnvironmentFault when one cannot be written.
    """
    return _put(outputs, lambda staged, output: _name(staged, output, hint))


def write_over(outputs: Iterable[Output]) -> tuple[Path, ...]:
    """Writes files in the place of what may be there, each in a single step.

    All are on the disk before the first is moved into place, so a full one replaces nothing. Raises
    UsageError when one of the names is that of a directory, a device, a pipe or a socket,
    EnvironmentFault when a file cannot be written.
    """
    wanted = list(outputs)
    for output in wanted:
        if output.path.is_dir():
            raise UsageError(f"{output.path} is a directory", hint="Name the file to write.")
        if output.path.exists() and not output.path.is_file():
            raise UsageError(
                f"{output.path} is no regular file, and is not replaced",
                hint="Name a file; `-o -` writes to standard output.",
            )
    return _put(wanted, lambda staged, output: staged.replace(output.path), replacing=True)


def _put(
    outputs: Iterable[Output],
    into_place: Callable[[Path, Output], object],
    *,
    replacing: bool = False,
) -> tuple[Path, ...]:
    staged: list[tuple[Path, Output]] = []
    placed: list[Path] = []
    try:
        for output in outputs:
            with _told(output):
                staged.append((write_beside(output.path, output.data, output.mode), output))
        for temporary, output in staged:
            with _told(output):
                into_place(temporary, output)
            placed.append(output.path)
        for folder in dict.fromkeys(path.parent for path in placed):
            with _told(folder):
                sync_directory(folder)
    except BaseException:
        if not replacing:  # what was replaced cannot be had back by taking the new one away
            remove(placed)
        raise
    finally:
        remove([temporary for temporary, _ in staged])
    return tuple(placed)


def _name(staged: Path, output: Output, hint: str) -> None:
    """Gives a staged file its name unless something has it: a link, unlike a rename, never replaces."""
    try:
        try:
            output.path.hardlink_to(staged)
        except OSError as problem:
            if problem.errno not in _NO_LINKS:
                raise
            write_private(output.path, output.data, output.mode)
    except FileExistsError:
        kind = ", as a link" if output.path.is_symlink() else ""
        raise UsageError(f"{output.path} exists already{kind}", hint=hint) from None


@contextlib.contextmanager
def _told(what: Output | Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        path = what.path if isinstance(what, Output) else what
        raise cannot_write(problem, path) from None


def cannot_write(problem: OSError, path: Path | None = None) -> EnvironmentFault:
    """The error for the user."""
    return EnvironmentFault(
        f"{path or problem.filename} cannot be written: {problem.strerror}",
        hint="Name a place that exists and that this user may write.",
    )


def remove(paths: Sequence[Path]) -> None:
    """Takes back what was written. Never raises."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
