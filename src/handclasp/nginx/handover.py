"""From one master to the next: workers that finish their requests while their master is stopped (edge).

A master that is told to quit closes its sockets at once, removes the paths of its unix sockets, and at
its end the pid file, which by then is another's (ngx_close_listening_sockets, ngx_delete_pidfile). And
while its workers take connections nobody can say whose answer a proof was. So the master is stopped
(SIGSTOP), which keeps it from replacing workers, and its workers are told to finish (SIGQUIT). Continued,
it starts other ones as it does after any that ended (ngx_reap_children); killed, it leaves paths and
files as they are.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.nginx import orphans, proc
from handclasp.nginx.workers import workers_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from handclasp.nginx.master_record import MasterRecord

_POLL_SECONDS = 0.01
_LEISURE_SECONDS = 0.5
_STOP_SECONDS = 2.0
_DRAIN_SECONDS = 2.0
"""A worker that hangs, in a token say, takes no connections either: it is not waited for any longer."""


async def until_stopped(pid: int) -> None:
    """Until a process that was sent SIGSTOP stands still, or has ended; 2 s at most."""
    await _until(lambda: _state(pid) in "TtZX", _STOP_SECONDS)


async def until_draining(master: int) -> None:
    """Tells every worker of a stopped master to finish, until none takes connections; 2 s at most."""
    for worker in workers_of(master):
        if (stat := proc.read_stat(worker.pid)) is not None:
            orphans.send(stat, signal.SIGQUIT)
    await _until(lambda: all(worker.shutting_down for worker in workers_of(master)), _DRAIN_SECONDS)


async def until_finished(record: MasterRecord, within: float) -> bool:
    """Whether the workers of a master that is gone end by themselves before `within` seconds are over."""
    deadline = asyncio.get_running_loop().time() + within
    while left := orphans.members(record):
        orphans.reap(left)
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(_LEISURE_SECONDS)
    return True


async def _until(condition: Callable[[], bool], within: float) -> None:
    deadline = asyncio.get_running_loop().time() + within
    while True:
        if condition() or asyncio.get_running_loop().time() >= deadline:
            return
        await asyncio.sleep(_POLL_SECONDS)


def _state(pid: int) -> str:
    """The letter of proc_pid_stat(5); X for a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return "X"
    return text[text.rindex(")") + 2]
