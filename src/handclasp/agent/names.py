"""Following the addresses of upstream names while running (edge: resolver, machine).

Where nginx cannot follow a name it is told of new addresses; where it can, we only tell whether there
are any.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from handclasp.agent.machine import read_machine
from handclasp.agent.prepare import named_hosts
from handclasp.agent.tokens import refused_pins
from handclasp.errors import ExitCode
from handclasp.findings import FindingsError
from handclasp.nginx.plan import Inputs, make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handclasp.agent.prepare import Prepared
    from handclasp.ports import Resolver


class NameWatch:
    """Looks every name of the plan in effect up from time to time."""

    def __init__(self, resolver: Resolver, every_seconds: float) -> None:
        self._resolver = resolver
        self._every_seconds = every_seconds
        self._seen: tuple[Prepared | None, Mapping[str, tuple[str, ...]]] = (None, {})

    async def watch(
        self, in_effect: Callable[[], Prepared | None], changed: Callable[[], None]
    ) -> None:
        """Calls `changed` when a name that nginx was given as addresses has others now. Does not end."""
        while True:
            await asyncio.sleep(self._every_seconds)
            prepared = in_effect()
            if prepared is None or prepared.plan is None:
                continue
            given = prepared.plan.resolved_names
            seen = await self._resolver.resolve([*given, *_followed_names(prepared)])
            self._seen = (prepared, seen)
            if any(seen[name] != prepared.addresses.get(name, ()) for name in given):
                changed()

    def unresolved(self, prepared: Prepared) -> frozenset[str]:
        """Names that nginx follows by itself, as far as this machine knows no address of theirs.

        With nameservers of the spec's own nginx may know better, so nothing is said then.
        """
        if prepared.spec.resolver.addresses:
            return frozenset()
        of, seen = self._seen
        addresses = seen if of is prepared else prepared.addresses
        return frozenset(name for name in _followed_names(prepared) if not addresses.get(name))


def _followed_names(prepared: Prepared) -> tuple[str, ...]:
    upstreams = prepared.plan.upstreams if prepared.plan else ()
    names = {
        server.address.rpartition(":")[0]
        for upstream in upstreams
        for server in upstream.servers
        if server.resolve
    }
    return tuple(sorted(names))


async def readdressed(prepared: Prepared, resolver: Resolver) -> Prepared:
    """The same spec and material, planned anew with the addresses and the hosts file of now.

    Certificates are judged as of when they were read: one that has expired since must not keep the
    links of others from following their names. Raises FindingsError when a token refuses its PIN by now:
    nginx would try it too, at each change of an address.
    """
    if prepared.plan is not None and (
        refused := await asyncio.to_thread(refused_pins, prepared, prepared.plan)
    ):
        raise FindingsError(refused, exit_code=ExitCode.ENVIRONMENT)
    addresses = await resolver.resolve(named_hosts(prepared.spec))
    machine = read_machine(prepared.account, existing=prepared.spec.nginx.mode == "existing")
    inputs = Inputs(
        prepared.loaded,
        prepared.material,
        prepared.facts,
        machine,
        addresses,
        prepared.read_at,
        prepared.tokens.leading,
        prepared.tokens.module,
        prepared.moments,
    )
    result = make_plan(inputs)
    return dataclasses.replace(
        prepared,
        machine=machine,
        addresses=addresses,
        plan=result.plan,
        findings=tuple(dict.fromkeys((*prepared.checked, *result.findings))),
    )
