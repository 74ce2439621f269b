"""Certificates and keys made here, as files (edge: the file system)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from handclasp.errors import EnvironmentFault, UsageError
from handclasp.keys.files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from handclasp.ca.development import Issued


def write_new_pairs(
    folder: Path, pairs: Mapping[str, Issued], *, without_key: frozenset[str] = frozenset()
) -> tuple[Path, ...]:
    """NAME.pem (0644) and NAME.key (0600) for each pair, all of them or none; returns the paths.

    The folder is made (0700) when there is none. `without_key` names pairs whose key is not
    written, as that of a CA which shall sign nothing more.

    Raises UsageError when one of the files exists already, EnvironmentFault when they cannot be
    written.
    """
    written: list[Path] = []
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, data, mode in _files(folder, pairs, without_key):
            write_private(path, data, mode)
            written.append(path)
    except BaseException as problem:
        remove(written)
        if isinstance(problem, FileExistsError):
            raise UsageError(
                f"{problem.filename or folder} exists already",
                hint="Name a new directory; keys and certificates are never written over.",
            ) from None
        if isinstance(problem, OSError):
            raise EnvironmentFault(
                f"{problem.filename or folder} cannot be written: {problem.strerror}",
                hint="Name a directory that this user may write.",
            ) from None
        raise
    return tuple(written)


def remove(paths: list[Path] | tuple[Path, ...]) -> None:
    """Takes back what was written. Never raises."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


def _files(
    folder: Path, pairs: Mapping[str, Issued], without_key: frozenset[str]
) -> Iterator[tuple[Path, bytes, int]]:
    for name, pair in pairs.items():
        yield folder / f"{name}.pem", pair.certificate_pem(), 0o644
        if name not in without_key:
            yield folder / f"{name}.key", pair.key_pem().reveal(), 0o600
