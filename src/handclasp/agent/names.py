"""Following the addresses of upstream names while running, where nginx cannot (edge: resolver, machine)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from handclasp.agent.machine import read_machine
from handclasp.agent.prepare import named_hosts
from handclasp.nginx.plan import Inputs, make_plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handclasp.agent.prepare import Prepared
    from handclasp.ports import Resolver


async def names_changed(prepared: Prepared, resolver: Resolver) -> bool:
    """Whether a name that nginx was given as addresses has others now."""
    names = prepared.plan.resolved_names if prepared.plan else ()
    if not names:
        return False
    seen = await resolver.resolve(names)
    return any(seen[name] != prepared.addresses.get(name, ()) for name in names)


def without_address(prepared: Prepared, addresses: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """Names that nginx follows by itself, as far as this machine knows no address of theirs.

    With nameservers of the spec's own nginx may know better, so nothing is said then.
    """
    if prepared.spec.resolver.addresses:
        return frozenset()
    return frozenset(name for name in followed_names(prepared) if not addresses.get(name))


def followed_names(prepared: Prepared) -> tuple[str, ...]:
    """Names that nginx follows by itself."""
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
    links of others from following their names.
    """
    addresses = await resolver.resolve(named_hosts(prepared.spec))
    machine = read_machine(prepared.account, existing=prepared.spec.nginx.mode == "existing")
    inputs = Inputs(
        prepared.loaded, prepared.material, prepared.facts, machine, addresses, prepared.read_at
    )
    result = make_plan(inputs)
    return dataclasses.replace(
        prepared,
        machine=machine,
        addresses=addresses,
        plan=result.plan,
        findings=tuple(dict.fromkeys((*prepared.checked, *result.findings))),
    )
