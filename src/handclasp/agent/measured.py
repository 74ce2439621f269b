"""A moment of the agent as the values that /metrics tells."""

from __future__ import annotations

import platform
from collections import Counter
from typing import TYPE_CHECKING

import handclasp
from handclasp.agent.overlapping import callers_ending
from handclasp.agent.warning_watch import limits_of
from handclasp.monitor.callers import soonest
from handclasp.monitor.metrics import CallersReading, LinkReading, Readings
from handclasp.monitor.warnings import near
from handclasp.nginx.lifecycle import State

if TYPE_CHECKING:
    from handclasp.agent.counts import Counts
    from handclasp.agent.in_use import InUse
    from handclasp.agent.status import Snapshot


def measured(moment: Snapshot, counts: Counts, in_use: InUse) -> Readings:
    """Everything that is told; `in_use` is kept from one time to the next."""
    plan, facts = moment.applied.plan, moment.applied.prepared.facts
    outage, restarts = moment.token_news
    return Readings(
        version=handclasp.__version__,
        python=platform.python_version(),
        nginx_version=facts.version_text,
        tls_library=f"{facts.tls_library.name} {facts.tls_library.running}",
        started=moment.started,
        ready=moment.ready,
        serving=moment.lifecycle.state in (State.SERVING, State.RELOADING),
        workers=len(moment.worker_pids),
        generation=moment.applied.generation,
        refused_change=moment.refused_change is not None,
        links=_links(moment),
        identities=[name for name, _ in plan.identities],
        expiring=in_use.of(moment),
        limits=limits_of(moment.applied),
        not_taken=len(moment.not_taken),
        renewals={
            (name, one["issuer"] or ""): one["last_error"] is not None
            for name, one in moment.renewals.items()
        },
        lists_problem=moment.lists is not None,
        denied=moment.denied,
        callers=_callers(moment),
        answers=moment.answers,
        rotations=counts.rotations,
        handshake_failures=counts.handshake_failures,
        token_outage=None if plan.tokens is None else outage is not None,
        token_restarts=restarts,
        unread_log_bytes=counts.unread_log_bytes,
        hook_failures=counts.hook_failures,
    )


def _callers(moment: Snapshot) -> dict[str, CallersReading] | None:
    if moment.callers_seen is None:
        return None
    current = moment.callers_seen.current()
    soon = near(callers_ending(current), limits_of(moment.applied), moment.now)
    in_use, ending = Counter(one.link for one in current), Counter(one.about.name for one in soon)
    ends = soonest(current)
    links = (one.link for one in moment.applied.plan.ingress)
    return {link: CallersReading(in_use[link], ending[link], ends.get(link)) for link in links}


def _links(moment: Snapshot) -> list[LinkReading]:
    served = moment.served
    return [
        LinkReading(link["name"], link["kind"], up=served and not link["down"])
        for link in moment.links()
    ]
