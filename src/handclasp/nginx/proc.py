"""What /proc says of processes (proc(5)). A process that is gone, or a zombie, is None or empty."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """A live process; ``start_time``, in clock ticks since boot, makes the pid unique."""

    pid: int
    parent: int
    session: int
    start_time: int


def read_stat(pid: int) -> ProcessStat | None:
    """The process with this pid; None when there is none or it is a zombie."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the name in brackets and may hold spaces and brackets itself.
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return ProcessStat(pid, int(fields[1]), int(fields[3]), int(fields[19]))


def title(pid: int) -> str:
    """The command line, arguments separated by spaces: nginx writes its role there."""
    try:
        raw = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ""
    return os.fsdecode(raw.rstrip(b"\0").replace(b"\0", b" "))


def executable(pid: int) -> str | None:
    """The file it runs, with " (deleted)" behind when that was replaced on disk."""
    try:
        return os.fsdecode((_PROC / str(pid) / "exe").readlink())
    except OSError:
        return None


def effective_uid(pid: int) -> int | None:
    """The effective user id."""
    try:
        status = (_PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[2])
    return None


def children(pid: int) -> tuple[int, ...]:
    """Pids of its children, ascending."""
    try:
        text = (_PROC / str(pid) / "task" / str(pid) / "children").read_text()
    except OSError:
        # Needs CONFIG_PROC_CHILDREN.
        return tuple(stat.pid for stat in _all() if stat.parent == pid)
    return tuple(sorted(int(child) for child in text.split()))


def session_members(session: int) -> tuple[ProcessStat, ...]:
    """All processes of a session, its leader included, by pid."""
    return tuple(stat for stat in _all() if stat.session == session)


def boot_id() -> str:
    """Changes with every boot, so that ticks of different boots are not compared."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _all() -> list[ProcessStat]:
    pids = sorted(int(name.name) for name in _PROC.iterdir() if name.name.isdecimal())
    stats = (read_stat(pid) for pid in pids)
    return [stat for stat in stats if stat is not None]
