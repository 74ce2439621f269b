"""Claiming a directory as the state directory: it is made or checked, then locked."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from handclasp.errors import EnvironmentFault
from handclasp.findings import ENTRIES
from handclasp.nginx import durable, switch
from handclasp.nginx.layout import ANSWERING, CHALLENGES

if TYPE_CHECKING:
    from pathlib import Path

_OURS = frozenset(
    {
        *("lock", "layout_version", "generation", "identities", "trust", "nginx", "run", "ca"),
        *("issued", "failing", "lists", "bundles", "acme", CHALLENGES, ANSWERING),
        *(switch.PENDING, switch.LAST),
    }
)


def make_directory(path: Path, *, passable: bool) -> None:
    """Missing directories above, and the state directory itself still closed to everybody else."""
    with durable.reported("make the state directory", path):
        for parent in reversed(path.parents):
            if not parent.exists():
                durable.ensure_directory(parent, durable.Access(0o755 if passable else 0o700))
        try:
            path.mkdir(0o700)
        except FileExistsError:
            if not path.is_dir():
                raise EnvironmentFault(
                    f"the state directory {path} is not a directory",
                    hint="Give the path of a directory, existing or not, with --state-dir.",
                ) from None


def check_ours(path: Path) -> None:
    """Refuses a directory of something else before a single mode in it is changed."""
    owner = path.stat().st_uid
    if owner != os.geteuid():
        raise EnvironmentFault(
            f"the state directory {path} belongs to uid {owner}, not to uid {os.geteuid()}",
            hint="Run as its owner, or give another --state-dir.",
        )
    names = {entry.name for entry in path.iterdir() if not durable.is_temporary(entry.name)}
    strangers = names - _OURS - {"lost+found"}
    if strangers and not (path / "layout_version").exists():
        raise EnvironmentFault(
            f"{path} is not a state directory of handclasp: it holds {min(strangers)!r}",
            hint="Give an empty or new directory with --state-dir.",
        )


def take_lock(path: Path) -> int:
    """Takes the exclusive lock and writes our pid into it; it is held while the descriptor is open.

    flock, as the kernel lets go of it however the holder dies. Python opens descriptors
    close-on-exec, so an nginx we start does not hold it on after us. Raises EnvironmentFault.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            raise EnvironmentFault(
                f"{path.parent} is in use by another handclasp"
                + (f" (pid {holder})" if holder else ""),
                hint=ENTRIES["state-dir-locked"].fix,
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
