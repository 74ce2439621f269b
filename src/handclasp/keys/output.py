"""New files with certificates and keys, all of them or none (edge: the file system)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handclasp.errors import EnvironmentFault, UsageError
from handclasp.keys.files import replace_file, write_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
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


def write_new(outputs: Iterable[Output], *, hint: str = _NOT_OVER) -> tuple[Path, ...]:
    """Writes files that must not exist yet; when one cannot be written, none is left.

    `hint` is what to do about a file that exists. Raises UsageError when one of them does,
    EnvironmentFault when one cannot be written.
    """
    written: list[Path] = []
    try:
        for output in outputs:
            write_private(output.path, output.data, output.mode)
            written.append(output.path)
    except BaseException as problem:
        remove(written)
        if isinstance(problem, FileExistsError):
            raise UsageError(f"{problem.filename} exists already", hint=hint) from None
        if isinstance(problem, OSError):
            raise cannot_write(problem) from None
        raise
    return tuple(written)


def write_over(output: Output) -> None:
    """Writes one file in a single step, in the place of what may be there.

    Raises EnvironmentFault when it cannot be written; then what was there still is.
    """
    try:
        replace_file(output.path, output.data, output.mode)
    except OSError as problem:
        raise cannot_write(problem, output.path) from None


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
