"""What is watched while nginx serves: names of upstreams, tokens, the ends of what is issued, and SPIFFE
bundles (edge)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.agent.bundle_watch import BundleWatch
from handclasp.agent.issuer_tokens import IssuerTokens
from handclasp.agent.names import NameWatch
from handclasp.agent.outage import TokenWatch
from handclasp.agent.renewal import Renewals
from handclasp.nginx.process import ERROR_LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from handclasp.agent.carrier import Carrier
    from handclasp.agent.prepare import Prepared
    from handclasp.agent.rotations import Rotations
    from handclasp.ports import Clock, Resolver

NAMES_CHANGED = "names changed"
TOKEN_IS_BACK = "token is back"  # noqa: S105  an event


class Watches:
    """The watches of an agent; `begun` gives the work, which tells of events and does not end."""

    def __init__(
        self, clock: Clock, resolver: Resolver, dns_poll_seconds: float, rotations: Rotations
    ) -> None:
        self.names = NameWatch(resolver, dns_poll_seconds)
        self.tokens = TokenWatch(clock)
        self.renewals = Renewals(clock, not_taken=lambda: rotations.refused)
        self.bundles = BundleWatch(clock)
        self.issuer_tokens = IssuerTokens(clock)

    def begun(
        self, carrier: Carrier, tell: Callable[[str], None]
    ) -> Iterator[Coroutine[None, None, None]]:
        """Tokens only where nginx is ours: another's we could not restart."""

        def in_effect() -> Prepared | None:
            return carrier.applied.prepared if carrier.applied else None

        yield self.names.watch(in_effect, lambda: tell(NAMES_CHANGED))
        yield self.renewals.watch(in_effect)
        yield self.bundles.watch(in_effect)
        yield self.issuer_tokens.watch(in_effect)
        if carrier.master is not None:
            log = carrier.state.nginx_prefix / ERROR_LOG
            yield self.tokens.watch(in_effect, log, lambda: tell(TOKEN_IS_BACK))
