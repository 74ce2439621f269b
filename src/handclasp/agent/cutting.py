"""Ending connections that were open when a certificate was denied: WebSockets, streams, long answers (edge).

nginx cannot end one caller's connections, so all of the old workers' go: a reload lets the new workers
take over, requests under way have some seconds, then the old workers are ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.streams import Written

if TYPE_CHECKING:
    from handclasp.agent.carrier import Carrier

_RELOAD_SECONDS = 30.0
GRACE_SECONDS = 5.0
_NO_GRACE = 0.0
_POLL_SECONDS = 0.1


async def cut_open_connections(carrier: Carrier) -> None:
    """Returns when they have ended. Without an nginx of ours there is nothing to be done."""
    master = carrier.master
    if master is None or not master.running:
        return
    written = Written(carrier.state.path)
    due = written.content()
    before = {worker.pid for worker in master.workers()}
    outcome = await master.reloaded(master.reload(), _RELOAD_SECONDS)
    if not outcome.ok:
        journal.error("open connections were not cut: no reload", why=outcome.reason)
        return
    for _ in range(round(GRACE_SECONDS / _POLL_SECONDS)):
        if not before & {one.pid for one in master.workers()}:
            break
        await asyncio.sleep(_POLL_SECONDS)
    left = before & {one.pid for one in master.workers()}
    # Workers of an nginx that was replaced still finish what they had.
    await carrier.retirees.end(_NO_GRACE)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    if due is not None:
        written.forget(due)
    journal.warning("open connections were cut", workers=len(left))
