"""The agent's own listeners: control socket, status, and the socket on which nginx asks (edge)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from handclasp.agent.authorizer import Authorizer
from handclasp.agent.control import CONTROL_SOCKET, StatusServers
from handclasp.agent.orders import Orders
from handclasp.agent.revocations import RevocationWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handclasp.agent.carrier import Applied
    from handclasp.agent.newer_lists import Newer
    from handclasp.agent.prepare import Prepared
    from handclasp.agent.status import Snapshot
    from handclasp.nginx.state import StateDirectory
    from handclasp.ports import Clock


class Listeners:
    """All of them; `snapshot` and `in_effect` give None until something is."""

    def __init__(
        self,
        state: StateDirectory,
        clock: Clock,
        *,
        snapshot: Callable[[], Snapshot | None],
        in_effect: Callable[[], Applied | None],
        cut: Callable[[], bool],
    ) -> None:
        self._state, self._in_effect = state, in_effect
        self.authorizer = Authorizer(state, clock)
        self._lists, self._cut = RevocationWatch(), cut
        orders = Orders(self.authorizer, in_effect, cut)
        self._snapshot = snapshot
        self._status = StatusServers(self._with_callers, orders.routes())

    async def start(self, prepared: Prepared) -> None:
        """Raises EnvironmentFault."""
        await self._status.start(self._state.run / CONTROL_SOCKET)
        await self.authorizer.start()
        await self.follow(prepared)

    async def follow(self, prepared: Prepared) -> None:
        """To be called before nginx is told of a change: if a listener cannot be had, nothing else has
        changed yet, and nginx's new workers may ask at once. Raises EnvironmentFault."""
        await self._status.listen(prepared.spec.status.listen if prepared.spec.status else None)
        self.authorizer.take(prepared)

    def _with_callers(self) -> Snapshot | None:
        seen, authorizer = self._snapshot(), self.authorizer
        if seen is None:
            return None
        return replace(
            seen,
            answers=authorizer.answers,
            denied=len(authorizer.denials.entries),
            lists=self._lists.problem,
        )

    async def watch(self) -> None:
        """Follows revocation lists on disk. Does not end."""

        def prepared() -> Prepared | None:
            applied = self._in_effect()
            return applied.prepared if applied else None

        await self._lists.watch(prepared, self._relist)

    def _relist(self, newer: Mapping[str, Newer]) -> None:
        self.authorizer.relist({name: one.trust for name, one in newer.items()})
        applied = self._in_effect()
        named = {name for name, one in newer.items() if one.names_more}
        links = applied.prepared.spec.ingress if applied else ()
        if any(link.clients.cut and link.clients.trust in named for link in links):
            self._cut()

    async def stop(self) -> None:
        """Closes them."""
        await self._status.stop()
        await self.authorizer.stop()
