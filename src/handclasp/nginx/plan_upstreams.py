"""Connection policies: which requests may share a connection, and to which addresses it goes.

nginx keeps idle upstream connections (and TLS sessions) per upstream block, whatever certificate,
name or trust bundle the location that opened them had. So one block stands for one policy: target,
scheme, identity, trust, verified name, depth, TLS settings; its name is a digest of all of them
(docs/decisions/0006, with the measurement).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from handclasp.errors import InternalFault
from handclasp.nginx.features import Feature
from handclasp.nginx.parts import (
    LimitSettings,
    PoolSettings,
    Server,
    TimeoutSettings,
    Upstream,
    UpstreamTls,
)
from handclasp.spec.values import is_ip

if TYPE_CHECKING:
    from datetime import timedelta

    from handclasp.nginx.plan import Draft, Inputs
    from handclasp.spec.links import UpstreamServer
    from handclasp.spec.policy import Limits, Pool, Timeouts
    from handclasp.spec.values import Url

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


def pool_settings(pool: Pool) -> PoolSettings:
    """The spec's pool as a part of the plan."""
    return PoolSettings(pool.size, pool.idle, pool.requests, pool.age)


def timeout_settings(timeouts: Timeouts, *, grpc: bool, streaming: timedelta) -> TimeoutSettings:
    """The spec's timeouts; a gRPC stream may be silent for `streaming` unless the spec says otherwise."""

    def chosen(name: str, value: timedelta) -> timedelta:
        return streaming if grpc and name not in timeouts.model_fields_set else value

    return TimeoutSettings(
        connect=timeouts.connect,
        read=chosen("read", timeouts.read),
        send=chosen("send", timeouts.send),
        idle=timeouts.idle,
        header=timeouts.header,
    )


def limit_settings(limits: Limits, *, body: int) -> LimitSettings:
    """The spec's limits; `body` is the side's own default in bytes."""
    rate = limits.rate
    return LimitSettings(
        body=body if limits.body is None else limits.body,
        header=limits.header,
        rate=f"{rate.requests}r/{'s' if rate.per == 'second' else 'm'}" if rate else None,
        burst=rate.burst if rate else 0,
        connections=limits.connections,
    )


def servers_of(
    url: Url, entry: UpstreamServer | None, inputs: Inputs, draft: Draft
) -> tuple[Server, ...]:
    """The addresses behind one URL; empty when its name cannot be resolved at present.

    nginx follows the name itself where the build can and the name is one for DNS alone; else the
    addresses the operating system gives are written out, and the agent watches the name.
    """

    def server(address: str, *, resolve: bool = False) -> Server:
        if entry is None:
            return Server(address, resolve=resolve)
        return Server(
            address, entry.weight, entry.max_fails, entry.fail_timeout, entry.backup, resolve
        )

    if url.path is not None:
        return (server(f"unix:{url.path}"),)
    assert url.host is not None
    if is_ip(url.host):
        return (server(_with_port(url.host, url.port)),)
    if nginx_can_follow(url.host, inputs):
        draft.nginx_resolves = True
        return (server(f"{url.host}:{url.port}", resolve=True),)
    draft.watched_names.add(url.host)
    addresses = [_with_port(one, url.port) for one in inputs.addresses.get(url.host, ())]
    if entry is None and len(addresses) > 1:
        # One backend under several addresses, as localhost is: alternatives, not shares of the load.
        # Taking turns would send every other request to an address where perhaps nobody listens.
        first, *others = (Server(address, max_fails=0) for address in addresses)
        return (first, *(replace(other, backup=True) for other in others))
    return tuple(server(address) for address in addresses)


def nginx_can_follow(host: str, inputs: Inputs) -> bool:
    """nginx asks DNS only: no hosts file, no search domains, so a short or listed name is the agent's."""
    return (
        inputs.facts.has(Feature.UPSTREAM_RESOLVE)
        and "." in host
        and host not in inputs.machine.hosts_file_names
        and host != "localhost"
        and not host.endswith(".localhost")
        and bool(inputs.loaded.spec.resolver.addresses or inputs.machine.nameservers)
    )


def without_idle_backups(servers: tuple[Server, ...]) -> tuple[Server, ...]:
    """The servers, backups made ordinary ones when nothing else is left: nginx refuses a group of
    backups alone, and with it the whole configuration."""
    if all(server.backup for server in servers):
        return tuple(replace(server, backup=False) for server in servers)
    return servers


def _with_port(host: str, port: int | None) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def add_upstream(
    draft: Draft,
    *,
    label: str,
    scheme: str,
    servers: tuple[Server, ...],
    balance: str,
    pool: PoolSettings,
    tls: UpstreamTls | None,
) -> str:
    """The name of the upstream block for this policy, added to the draft when it is a new one."""
    policy = Upstream("", scheme, servers, balance, pool, tls)
    digest = hashlib.sha256(repr(policy).encode()).hexdigest()
    stem = f"hc_{_NOT_IN_NAMES.sub('_', label.lower()).strip('_')[:40]}"
    # A digest of ten digits tells policies apart; should two ever share it, they get longer ones.
    for length in (10, 20, len(digest)):
        name = f"{stem}_{digest[:length]}"
        named = replace(policy, name=name)
        if draft.upstreams.setdefault(name, named) == named:
            return name
    raise InternalFault(f"two connection policies share the name {name}")
