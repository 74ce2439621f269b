"""What the parts of an agent know at one moment, put together (edge: looks for workers)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from handclasp.agent.status import Snapshot

if TYPE_CHECKING:
    from datetime import datetime

    from handclasp.agent.carrier import Carrier
    from handclasp.agent.rotations import Rotations
    from handclasp.agent.watches import Watches
    from handclasp.nginx.lifecycle import Lifecycle


def moment(
    carrier: Carrier,
    lifecycle: Lifecycle,
    watches: Watches,
    *,
    started: datetime,
    now: datetime,
    refused_change: str | None,
    rotations: Rotations,
) -> Snapshot | None:
    """None before anything is in effect."""
    applied = carrier.applied
    if applied is None:
        return None
    master = carrier.master or carrier.outgoing
    serving = master is not None and master.running
    workers = master.workers() if master is not None and serving else ()
    return Snapshot(
        applied=applied,
        lifecycle=lifecycle,
        master_pid=master.pid if master is not None and serving else None,
        worker_pids=tuple(worker.pid for worker in workers),
        agent_pid=os.getpid(),
        started=started,
        now=now,
        refused_change=refused_change,
        not_taken={**applied.prepared.kept, **rotations.refused},
        awaited=rotations.awaited,
        unresolved=watches.names.unresolved(applied.prepared),
        token_news=watches.tokens.news,
        renewals=watches.renewals.news(),
        bundles=watches.bundles.problems,
        issuer_tokens=watches.issuer_tokens.ending,
        tokens_not_kept=watches.issuer_tokens.problems,
    )
