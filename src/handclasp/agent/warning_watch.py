"""Says in time that something will expire, and what else a person should know: in the log, to hooks and in
systemd's status line (edge).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.in_use import InUse
from handclasp.agent.notify import notify
from handclasp.agent.overlapping import first_to_end
from handclasp.monitor.events import Event
from handclasp.monitor.limits import Limits
from handclasp.monitor.warnings import Level, Said, due, near

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handclasp.agent.carrier import Applied
    from handclasp.agent.hooks import Hooks
    from handclasp.agent.status import Snapshot
    from handclasp.monitor.expiring import Expiring
    from handclasp.monitor.warnings import Ending

LOOK_SECONDS = 2.0
_LONGEST_STATUS = 250


class WarningWatch:
    """Looks every two seconds at what is in effect. `near` is what will end soon, the gravest first."""

    def __init__(self, hooks: Hooks, every_seconds: float = LOOK_SECONDS) -> None:
        """Nothing has been said yet."""
        self.near: tuple[Ending, ...] = ()
        self._hooks = hooks
        self._every_seconds = every_seconds
        self._said = Said()
        self._in_use = InUse()
        self._refused: str | None = None
        self._lists: str | None = None
        self._token: str | None = None
        self._told_systemd = False

    async def watch(self, snapshot: Callable[[], Snapshot | None]) -> None:
        """Does not end."""
        while True:
            if (moment := snapshot()) is not None:
                self.look(moment)
            await asyncio.sleep(self._every_seconds)

    def look(self, moment: Snapshot) -> None:
        """One look: says what has to be said."""
        self._expiry(moment)
        self._troubles(moment)
        self._systemd(moment)

    def _expiry(self, moment: Snapshot) -> None:
        applied = moment.applied
        ends = (*self._in_use.of(moment), *_of_callers(moment), *moment.issuer_tokens)
        self.near = near(ends, limits_of(applied), moment.now)
        told, self._said = due(self.near, self._said, moment.now)
        for one in told:
            say = journal.warning if one.level is Level.WARNING else journal.error
            say(one.sentence, kind=one.about.kind, name=one.about.name)
            self._hooks.tell(Event(one.event, one.sentence, moment.now, _details(one)))

    def _troubles(self, moment: Snapshot) -> None:
        """Those who found them have put them into the log."""
        refused = moment.refused_change
        if refused is not None and refused != self._refused:
            self._hooks.tell(Event("change-refused", refused, moment.now))
        self._refused = refused
        if moment.lists is not None and moment.lists != self._lists:
            self._hooks.tell(Event("lists-problem", moment.lists, moment.now))
        self._lists = moment.lists
        outage = moment.token_news[0]
        token = None if outage is None else outage.seen
        if outage is not None and self._token is None:
            details = {"identities": list(outage.identities), "since": outage.since.isoformat()}
            self._hooks.tell(Event("token-away", outage.seen, moment.now, details))
        self._token = token

    def _systemd(self, moment: Snapshot) -> None:
        """Said again at each look while there is something to say, since other news take its place."""
        troubles = _in_short(moment, self.near)
        if not troubles and not self._told_systemd:
            return
        plan = moment.applied.plan
        serving = f"serving {len(plan.egress) + len(plan.ingress)} links"
        notify("STATUS=" + "; ".join([serving, *troubles])[:_LONGEST_STATUS])
        self._told_systemd = bool(troubles)


def _of_callers(moment: Snapshot) -> tuple[Expiring, ...]:
    """Certificates that callers presented of late."""
    return () if moment.callers_seen is None else first_to_end(moment.callers_seen.current())


def limits_of(applied: Applied) -> Limits:
    """Those of the spec in effect."""
    wanted = applied.prepared.spec.expiry
    return Limits(wanted.warn, wanted.critical)


def _in_short(moment: Snapshot, endings: Sequence[Ending]) -> list[str]:
    troubles = []
    if moment.refused_change is not None:
        troubles.append(f"change refused: {moment.refused_change}"[:150])
    if endings:
        more = f" (and {len(endings) - 1} more)" if len(endings) > 1 else ""
        troubles.append(endings[0].sentence + more)
    if moment.lists is not None:
        troubles.append(f"revocation lists: {moment.lists}")
    return troubles


def _details(one: Ending) -> dict[str, object]:
    return {
        "level": one.level.value,
        "kind": one.about.kind,
        "name": one.about.name,
        "subject": one.about.subject,
        "not_after": one.about.not_after.isoformat(),
        "seconds_left": int((one.about.not_after - one.now).total_seconds()),
    }
