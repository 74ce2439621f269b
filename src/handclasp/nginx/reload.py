"""Whether a reload took, judged from worker processes and log lines. Pure.

SIGHUP says nothing back: `nginx -s reload` exits 0 even when the master then refuses the
configuration and goes on with the old one. What shows that it took: every worker that is not
shutting down is a process that was not there before, and there are as many as configured.
ngx_master_process_cycle starts the new workers first and tells the old ones 100 ms later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.nginx.log_tail import parsed
from handclasp.nginx.start_failure import is_about_bind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.nginx.log_tail import LogMark


@dataclass(frozen=True, slots=True)
class ReloadRequest:
    """What was there when the reload was asked for; ``asked_at`` on the loop's clock."""

    old_workers: frozenset[int]
    mark: LogMark
    asked_at: float


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """``ok``, or ``reason`` and the emerg lines nginx logged (texts without time and pid)."""

    ok: bool
    seconds: float
    workers: tuple[int, ...] = ()
    lines: tuple[str, ...] = ()
    reason: str = ""


def refusal(lines: Sequence[str], master_pid: int) -> tuple[str, ...]:
    """Texts by which the master refused a configuration; empty while it may still take it.

    A failed bind alone is no refusal: nginx tries five times, half a second apart, and only then
    says "still could not bind()".
    """
    texts = tuple(
        line.text for line in parsed(lines) if line.level == "emerg" and line.pid == master_pid
    )
    final = any(not is_about_bind(text) for text in texts)
    return tuple(dict.fromkeys(texts)) if final else ()


def judge(
    request: ReloadRequest,
    workers: Sequence[tuple[int, bool]],
    lines: Sequence[str],
    *,
    master_pid: int,
    expected_workers: int | None,
    ended: str | None,
    elapsed: float,
    last_look: bool,
) -> ReloadOutcome | None:
    """The outcome, None while it is open. ``workers``: (pid, shutting down)."""
    serving = tuple(pid for pid, shutting_down in workers if not shutting_down)
    emergencies = refusal(lines, master_pid)
    if ended is not None:
        return ReloadOutcome(False, elapsed, serving, emergencies, ended)
    if emergencies:
        return ReloadOutcome(False, elapsed, serving, emergencies, "nginx refused it")
    old = [pid for pid in serving if pid in request.old_workers]
    enough = len(serving) == expected_workers if expected_workers else bool(serving)
    if enough and not old:
        return ReloadOutcome(True, elapsed, serving)
    if last_look:
        reason = (
            f"{len(old)} of the old workers go on serving"
            if old
            else f"{len(serving)} workers are there, not {expected_workers or 'any'}"
        )
        return ReloadOutcome(False, elapsed, serving, (), f"not done in {elapsed:.1f} s: {reason}")
    return None
