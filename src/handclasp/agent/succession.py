"""Whether an nginx that somebody else runs has taken a reload: its workers are other ones then (edge).

`nginx -s reload` and its like return before the master has read anything, and say nothing when it refuses
what it read. Until the old workers have stopped listening they answer as before, a proof included.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from handclasp.nginx import proc
from handclasp.nginx.workers import workers_of

if TYPE_CHECKING:
    from pathlib import Path

_POLL_SECONDS = 0.05


def listening_workers(pid_file: Path | None) -> frozenset[int] | None:
    """Pids of the workers that take connections; None when the master is not to be found, as when it runs
    in another container."""
    if pid_file is None:
        return None
    try:
        master = int(pid_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    if not proc.title(master).startswith("nginx: master process"):
        return None
    return frozenset(worker.pid for worker in workers_of(master) if not worker.shutting_down)


async def succeeded(pid_file: Path, before: frozenset[int], *, within: float) -> bool:
    """Whether there are workers, and none of `before` among them, before `within` seconds are over."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        now = listening_workers(pid_file)
        if now and not now & before:
            return True
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
