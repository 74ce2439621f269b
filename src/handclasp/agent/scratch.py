"""Throw-away directories outside the state directory, and those that a killed process left (edge).

They may hold keys (`check` stages a whole state directory), so none is to stay. Each is locked while
it is in use; one that is not locked has lost its owner, whatever the pids say: pids mean nothing
across containers that share a /tmp.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "handclasp-passing-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def scratch_directory(purpose: str) -> Iterator[Path]:
    """A directory (0700) that is gone afterwards; abandoned ones of this user go first."""
    sweep_scratch()
    folder, lock = _locked(purpose)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep_scratch() -> tuple[Path, ...]:
    """Removes what processes of this user that were killed left; returns what went."""
    removed: list[Path] = []
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # in use, not ours, or another process sweeps too
            lock = os.open(path, _DIRECTORY)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path)
                    removed.append(path)
            finally:
                os.close(lock)
    return tuple(removed)


def _locked(purpose: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{purpose}-"))
        # Until it is locked it looks abandoned: one that a sweep takes away is made again.
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder, _DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                folder.stat()
            except BaseException:
                os.close(lock)
                raise
            return folder, lock
