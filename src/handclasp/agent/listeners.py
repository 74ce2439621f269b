"""The agent's own listeners: control socket, status, and the socket on which nginx asks; and what is watched
and told beside them (edge)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.authorizer import Authorizer
from handclasp.agent.callers_seen import CallersSeen, follows
from handclasp.agent.control import CONTROL_SOCKET, StatusServers
from handclasp.agent.counts import Counts
from handclasp.agent.failure_counts import FailureCounts
from handclasp.agent.hooks import Hooks
from handclasp.agent.orders import Orders
from handclasp.agent.overlapping import as_before, dropping
from handclasp.agent.rereading import no_objections, older_identities, strange_servers
from handclasp.agent.revocations import RevocationWatch
from handclasp.agent.rotations import Basis
from handclasp.agent.streams import Streams, Written
from handclasp.agent.warning_watch import WarningWatch
from handclasp.errors import ExitCode
from handclasp.findings import FindingsError
from handclasp.monitor.events import Event
from handclasp.nginx.layout import Layout
from handclasp.nginx.process import ERROR_LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from handclasp.agent.carrier import Applied, Carrier
    from handclasp.agent.newer_lists import Newer
    from handclasp.agent.prepare import Prepared
    from handclasp.agent.rereading import Objections
    from handclasp.agent.rotations import Outcome
    from handclasp.agent.status import Snapshot
    from handclasp.agent.takes import Takes
    from handclasp.certs.material import Material
    from handclasp.findings import Finding
    from handclasp.nginx.parts import Plan
    from handclasp.ports import Clock
    from handclasp.spec.events import EventName
    from handclasp.spec.model import Spec


class Listeners:
    """All of them; `snapshot` and `in_effect` give None until something is."""

    def __init__(
        self,
        carrier: Carrier,
        clock: Clock,
        *,
        snapshot: Callable[[], Snapshot | None],
        in_effect: Callable[[], Applied | None],
        cut: Callable[[], None],
        may_cut: Callable[[], bool],
        takes: Takes,
    ) -> None:
        state = carrier.state
        self._state, self._in_effect, self._clock = state, in_effect, clock
        self.authorizer = Authorizer(state, clock)
        self._lists = RevocationWatch()
        self._streams = Streams(cut, may_cut, Written(state.path), clock)
        orders = Orders(self.authorizer, in_effect, self._streams.revoked)
        self._snapshot = snapshot
        self.counts = Counts()
        self.hooks = Hooks(self.counts)
        self._warnings = WarningWatch(self.hooks)
        layout = Layout(PurePosixPath(state.path))
        logs = Path(layout.callers_log), Path(layout.callers)
        self._callers = CallersSeen(*logs, clock, carrier.own_calls.made)
        self._failures = FailureCounts(state.nginx_prefix / ERROR_LOG, self.counts)
        routes = [*orders.routes(), *takes.routes()]
        self._status = StatusServers(self._with_callers, self.counts, routes)

    async def start(self, prepared: Prepared) -> None:
        """Raises EnvironmentFault."""
        await self._status.start(self._state.run / CONTROL_SOCKET)
        await self.authorizer.start()
        await self.follow(prepared)
        await self._warn_of_dropped(prepared)

    async def follow(self, prepared: Prepared) -> None:
        """To be called before nginx is told of a change: if a listener cannot be had, nothing else has
        changed yet, and nginx's new workers may ask at once. Raises EnvironmentFault."""
        await self._status.listen(prepared.spec.status.listen if prepared.spec.status else None)
        self.authorizer.take(prepared)
        self.hooks.follow(prepared.loaded)

    def nginx_ended(self, how: str) -> None:
        """Tells that nginx ended, and nobody wanted it to."""
        told = Event("nginx-ended", f"nginx ended: {how}", self._clock.now(), {"how": how})
        self.hooks.tell(told)

    def rotated(self, outcome: Outcome) -> None:
        """Counts a rotation and tells of it."""
        self.counts.rotation(outcome.identities, ok=outcome.why is None)
        what = ", ".join(outcome.units)
        told: tuple[EventName, str] = ("rotation-committed", f"new material is served: {what}")
        if outcome.why is not None:
            told = "rotation-rolled-back", f"the old one serves on: {what}: {outcome.why}"
        details = {"what": list(outcome.units), "why": outcome.why}
        self.hooks.tell(Event(*told, self._clock.now(), details))

    def in_force(self, prepared: Prepared) -> Material:
        """The material of a plan, with the revocation lists that callers are held to by now."""
        return self.authorizer.in_force(prepared)

    async def basis(self, prepared: Prepared, *, force: bool = False) -> Basis:
        """What new files are judged by, where this plan is in effect."""
        if force:
            return Basis(self.in_force(prepared), no_objections)
        dropped = await self._dropping(prepared)

        def against(spec: Spec, material: Material) -> Iterator[Finding]:
            yield from older_identities(prepared.material, material)
            servers = {one.identity for one in prepared.plan.ingress} if prepared.plan else ()
            yield from strange_servers(prepared.material, material, servers, self._clock.now())
            yield from dropped(spec, material)

        return Basis(self.in_force(prepared), against)

    async def refuse_dropping(self, before: Prepared, after: Prepared) -> None:
        """Raises FindingsError where the one believed CAs that callers come under, and the other does not."""
        against = await self._dropping(before, whole=True)
        if findings := list(against(after.spec, after.material)):
            raise FindingsError(findings, exit_code=ExitCode.FINDINGS)

    async def _warn_of_dropped(self, prepared: Prepared) -> None:
        """A start takes what lies there: a service that does not come up helps no caller."""
        try:
            against = await self._dropping(as_before(prepared, self._state))
        except OSError:
            return
        for finding in against(prepared.spec, prepared.material):
            journal.warning("a CA that callers come under has gone", why=finding.seen)

    async def _dropping(self, prepared: Prepared, *, whole: bool = False) -> Objections:
        if follows(prepared):
            await self._callers.look(prepared.spec.rotation.overlap)
        return dropping(prepared, self._callers.callers, self._clock.now(), whole=whole)

    def _with_callers(self) -> Snapshot | None:
        seen, authorizer = self._snapshot(), self.authorizer
        if seen is None:
            return None
        return replace(
            seen,
            answers=authorizer.answers,
            denied=len(authorizer.denials.entries),
            lists=self._lists.problem,
            denials=self.authorizer.problem,
            callers_seen=self._callers if follows(seen.applied.prepared) else None,
            in_force=self.in_force(seen.applied.prepared).trust,
        )

    async def watch(self) -> None:
        """Follows revocation lists on disk, nginx's error log, and the ends that come near. Does not end."""

        def prepared() -> Prepared | None:
            applied = self._in_effect()
            return applied.prepared if applied else None

        def plan() -> Plan | None:
            applied = self._in_effect()
            return applied.plan if applied else None

        self._streams.resume()
        await asyncio.gather(
            self._lists.watch(prepared, self._relist),
            self._failures.watch(plan),
            self._warnings.watch(self._with_callers),
            self._callers.watch(prepared),
        )

    def _relist(self, newer: Mapping[str, Newer]) -> None:
        self.authorizer.relist({name: one.trust for name, one in newer.items()})
        applied = self._in_effect()
        named = {name for name, one in newer.items() if one.names_more}
        links = applied.prepared.spec.ingress if applied else ()
        self._streams.revoked(link for link in links if link.clients.trust in named)

    async def stop(self, *, ended: bool) -> None:
        """Closes them, and writes down who was seen. `ended`: nginx has, with all connections."""
        self._streams.stop(ended=ended)
        await self._callers.save()
        await self.hooks.stop()
        await self._status.stop()
        await self.authorizer.stop()
