"""Workers of a master, told by the titles nginx gives its processes (ngx_setproctitle)."""

from __future__ import annotations

from dataclasses import dataclass

from handclasp.nginx import proc

_WORKER = "nginx: worker process"
_SHUTTING_DOWN = "nginx: worker process is shutting down"


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
