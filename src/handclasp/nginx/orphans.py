"""Ending what a dead master left behind.

Workers outlive a master that was killed, and keep its listening sockets: a new master could not
bind, or worse, both would answer. They are known by their session: nginx is started in one of its
own, its workers inherit it, and the kernel does not reuse a pid while a session has that number.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
from typing import TYPE_CHECKING

from handclasp.nginx import proc
from handclasp.nginx.master_record import MasterRecord

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_POLL_SECONDS = 0.02


def members(record: MasterRecord) -> tuple[proc.ProcessStat, ...]:
    """Live nginx processes of this master's session, itself included."""
    leader = proc.read_stat(record.pid)
    if record.boot_id != proc.boot_id() or (leader and leader.start_time != record.start_time):
        return ()  # all of that session is gone, or its number could not have been given again
    if leader and not _may_be(record, proc.title(record.pid)):
        return ()  # a master, but on another prefix
    return tuple(
        stat
        for stat in proc.session_members(record.pid)
        if stat.start_time >= record.start_time
        and (stat.pid == record.pid or _is_nginx(proc.title(stat.pid)))
    )


def _may_be(record: MasterRecord, title: str) -> bool:
    # A dying process has no title any more.
    return not title or record.is_title(title)


def _is_nginx(title: str) -> bool:
    # A dying process loses its title first (exit_mm) and its sockets later (exit_files).
    return title.startswith("nginx: ") or not title


async def end_orphans(prefix: Path, *, patience: float = 1.0) -> tuple[int, ...]:
    """Ends workers whose master is dead; returns their pids. Nothing happens while it lives.

    SIGQUIT first: a worker closes its listening sockets at once and finishes its requests, for
    ``patience`` seconds; then SIGKILL.
    """
    record = MasterRecord.read(prefix)
    if record is None or record.is_alive():
        return ()
    return await end_session(record, patience=patience)


async def end_session(record: MasterRecord, *, patience: float) -> tuple[int, ...]:
    """Ends all nginx processes of the session: SIGQUIT, after ``patience`` seconds SIGKILL.

    Without patience SIGKILL is sent before anything is awaited, so being cancelled does not matter.
    """
    left = members(record)
    ended = tuple(stat.pid for stat in left)
    gentle = ((signal.SIGQUIT, patience),) if patience > 0 else ()
    for number, seconds in (*gentle, (signal.SIGKILL, 5.0)):
        for stat in left:
            send(stat, number)
        with contextlib.suppress(TimeoutError):
            # Not asyncio.timeout: that of Python 3.11.0 cannot time out in a task cancelled before.
            await asyncio.wait_for(_all_gone(record), seconds)
        left = members(record)
        if not left:
            break
    return ended


async def _all_gone(record: MasterRecord) -> None:
    while left := members(record):
        reap(stat for stat in left if stat.pid != record.pid)
        await asyncio.sleep(_POLL_SECONDS)


def send(stat: proc.ProcessStat, number: signal.Signals) -> None:
    """Signals exactly this process: never another that got its pid meanwhile."""
    try:
        descriptor = os.pidfd_open(stat.pid)
    except ProcessLookupError:
        return
    try:
        # The descriptor holds the process now; whether it is the right one is still to be seen.
        if _same(stat):
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def _same(stat: proc.ProcessStat) -> bool:
    # Its parent changes when that dies.
    seen = proc.read_stat(stat.pid)
    return seen is not None and seen.start_time == stat.start_time


def reap(stats: Iterable[proc.ProcessStat]) -> None:
    """Takes note of those that have ended, if they became our children; never to be given a master."""
    # Where we are process 1 of a container, orphans become our children. A master is reaped by
    # whoever started it, who wants its exit code.
    for stat in stats:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(stat.pid, os.WNOHANG)


def remove_stale_sockets(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Removes unix sockets nobody listens on any more; nginx does not, and could not bind.

    Returns what was removed. A socket that answers stays: nginx will say that it is in use.
    """
    removed = []
    for path in paths:
        if path.is_socket() and _refuses(path):
            path.unlink(missing_ok=True)
            removed.append(path)
    return tuple(removed)


def _refuses(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(str(path)) == errno.ECONNREFUSED
