"""Workers of a master, told by the titles nginx gives its processes (ngx_setproctitle)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from handclasp.nginx import proc

_WORKER = "nginx: worker process"
_SHUTTING_DOWN = "nginx: worker process is shutting down"
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process; ``uid`` is what it dropped its privileges to."""

    pid: int
    shutting_down: bool
    uid: int


def workers_of(master: int) -> tuple[Worker, ...]:
    """Workers by pid, those on their way out included; cache processes are none."""
    found = []
    for pid in proc.children(master):
        title, uid = proc.title(pid), proc.effective_uid(pid)
        if title.startswith(_WORKER) and uid is not None:
            found.append(Worker(pid, title.startswith(_SHUTTING_DOWN), uid))
    return tuple(found)


async def any_serves(master: int, *, within: float) -> bool:
    """Whether some worker takes connections now, or some does before ``within`` seconds are over.

    A master starts another worker at once for one that died, except when that exited with code 2
    (ngx_reap_children); and one that is quitting has only workers that are shutting down.
    """
    deadline = asyncio.get_running_loop().time() + within
    while True:
        if any(not worker.shutting_down for worker in workers_of(master)):
            return True
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
