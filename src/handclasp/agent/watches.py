"""What is watched while nginx serves: names of upstreams, tokens, and the ends of what is issued (edge)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.agent.names import NameWatch
from handclasp.agent.outage import TokenWatch
from handclasp.agent.renewal import Renewals
from handclasp.nginx.process import ERROR_LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from handclasp.agent.carrier import Carrier
    from handclasp.agent.prepare import Prepared
    from handclasp.ports import Clock, Resolver

NAMES_CHANGED = "names changed"
TOKEN_IS_BACK = "token is back"  # noqa: S105  an event


class Watches:
    """The watches of an agent; `begun` gives the work, which tells of events and does not end."""

    def __init__(self, clock: Clock, resolver: Resolver, dns_poll_seconds: float) -> None:
        self.names = NameWatch(resolver, dns_poll_seconds)
        self.tokens = TokenWatch(clock)
        self.renewals = Renewals(clock)

    def begun(
        self, carrier: Carrier, tell: Callable[[str], None]
    ) -> Iterator[Coroutine[None, None, None]]:
        """Tokens only where nginx is ours: another's we could not restart."""

        def in_effect() -> Prepared | None:
            return carrier.applied.prepared if carrier.applied else None

        yield self.names.watch(in_effect, lambda: tell(NAMES_CHANGED))
        yield self.renewals.watch(in_effect)
        if carrier.master is not None:
            log = carrier.state.nginx_prefix / ERROR_LOG
            yield self.tokens.watch(in_effect, log, lambda: tell(TOKEN_IS_BACK))
