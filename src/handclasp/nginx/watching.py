"""Waiting for a master to come up, or to take a configuration: what /proc and its logs show of that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from handclasp.errors import ExitCode
from handclasp.findings import FindingsError
from handclasp.nginx.log_tail import grave
from handclasp.nginx.master_record import written_pid
from handclasp.nginx.reload import ReloadOutcome, ReloadRequest, judge
from handclasp.nginx.start_failure import start_findings
from handclasp.nginx.workers import workers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from handclasp.nginx.log_tail import LogMark
    from handclasp.nginx.master_exit import MasterExit

_POLL_SECONDS = 0.02
_HOPELESS = "cannot be respawned"
"""ngx_reap_children: a worker that exits with code 2 is not started again, the master stays."""


def hopeless(lines: Iterable[str]) -> bool:
    """Whether a worker that ended will have no successor."""
    return any(_HOPELESS in line for line in lines)


async def until_ready(
    pid: int,
    prefix: Path,
    marks: Sequence[LogMark],
    ended: Callable[[], MasterExit | None],
    *,
    within: float,
    workers: int,
) -> None:
    """Returns when the pid file is written and so many workers are there. Raises FindingsError."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        if (how := ended()) is not None:
            raise start_failure(marks, how.how)
        if written_pid(prefix) == pid and len(workers_of(pid)) >= workers:
            return
        if hopeless(line for mark in marks for line in mark.lines()):
            raise start_failure(marks, "its workers exit at once")
        if loop.time() >= deadline:
            raise start_failure(marks, f"not ready within {within:g} s")
        await asyncio.sleep(_POLL_SECONDS)


async def until_reloaded(
    pid: int,
    request: ReloadRequest,
    ended: Callable[[], MasterExit | None],
    *,
    within: float,
    expected_workers: int | None,
) -> ReloadOutcome:
    """Returns when every worker is a new one, nginx has refused, or ``within`` seconds are over."""
    loop = asyncio.get_running_loop()
    while True:
        elapsed = loop.time() - request.asked_at
        workers, lines = workers_of(pid), request.mark.lines()
        how = ended()
        outcome = judge(
            request,
            [(worker.pid, worker.shutting_down) for worker in workers],
            lines,
            master_pid=pid,
            expected_workers=expected_workers,
            ended=str(how) if how else None,
            elapsed=elapsed,
            last_look=elapsed >= within,
        )
        if outcome is not None:
            return outcome
        if all(worker.shutting_down for worker in workers) and hopeless(lines):
            # No refusal, which would have left the old workers serving: it has to be undone.
            reason = f"its new workers exit at once: {'; '.join(grave(lines)[-3:])}"
            return ReloadOutcome(False, elapsed, reason=reason)
        await asyncio.sleep(_POLL_SECONDS)


def start_failure(marks: Sequence[LogMark], ending: str) -> FindingsError:
    """What the logs say since the marks; ``ending`` as in `start_findings`."""
    lines = [line for mark in marks for line in mark.lines()]
    return FindingsError(start_findings(lines, ending), exit_code=ExitCode.ENVIRONMENT)
