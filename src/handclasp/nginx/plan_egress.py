"""Deciding an egress link: which upstream and identity each path takes, and who is answered."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from handclasp.backend.dialects import DIALECTS, Field
from handclasp.findings import Severity, found
from handclasp.nginx.features import Feature
from handclasp.nginx.parts import EgressServer, Original, Route, UpstreamTls
from handclasp.nginx.plan_upstreams import (
    add_upstream,
    limit_settings,
    pool_settings,
    servers_of,
    timeout_settings,
)
from handclasp.nginx.tls_profiles import tls_settings

if TYPE_CHECKING:
    from handclasp.nginx.plan import Draft, Inputs
    from handclasp.spec import links

_SILENT_STREAM = timedelta(hours=1)
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


def plan_egress(link: links.EgressLink, index: int, inputs: Inputs, draft: Draft) -> EgressServer:
    """The parts of one egress link."""
    grpc = link.protocol == "grpc"
    _check_build(link, index, inputs, draft)
    whole = _Resolved.of_link(link, index)
    routes = [_route("/", whole, inputs, draft, grpc=grpc)]
    routes += [
        _route(route.path, whole.overridden_by(route, position), inputs, draft, grpc=grpc)
        for position, route in enumerate(link.routes)
    ]
    original = link.original_certificate
    return EgressServer(
        link=link.name,
        listen=link.listen,
        hosts=_accepted_hosts(link),
        grpc=grpc,
        routes=tuple(routes),
        original=Original(
            read=original.header or DIALECTS[original.from_].fields[Field.CERTIFICATE],
            write=original.to,
            rules=(),
        )
        if original
        else None,
        buffering=link.buffering,
        tries=link.tries,
        timeouts=timeout_settings(link.timeouts, grpc=grpc, streaming=_SILENT_STREAM),
        limits=limit_settings(link.limits, body=0),
    )


class _Resolved:
    """A link's settings with a route's own laid over them, and where each is written."""

    def __init__(self, link: links.EgressLink, index: int) -> None:
        self.link = link
        self.place: tuple[str | int, ...] = ("egress", index)
        self.upstream = link.upstream
        self.identity, self.trust, self.verify = link.identity, link.trust, link.verify
        self.host, self.tls = link.host, link.tls
        self.timeouts, self.pool = link.timeouts, link.pool
        self.insecure = link.insecure_accept_any

    @classmethod
    def of_link(cls, link: links.EgressLink, index: int) -> _Resolved:
        return cls(link, index)

    def overridden_by(self, route: links.Route, position: int) -> _Resolved:
        own = _Resolved(self.link, int(self.place[1]))
        own.place = (*self.place, "routes", position)
        if route.upstream is not None:
            # Another target is another name: the link's verify.name would be wrong for it.
            own.upstream = route.upstream
            own.verify = own.verify.model_copy(update={"name": None})
        own.identity = route.identity or own.identity
        own.trust = route.trust or own.trust
        own.verify = route.verify or own.verify
        own.host = route.host or own.host
        own.tls = route.tls or own.tls
        own.timeouts = route.timeouts or own.timeouts
        own.pool = route.pool or own.pool
        if route.insecure_accept_any is not None:
            own.insecure = route.insecure_accept_any
        return own


def _route(path: str, settings: _Resolved, inputs: Inputs, draft: Draft, *, grpc: bool) -> Route:
    first = settings.upstream[0].url
    name = settings.verify.name or (first.host if first.is_named else None)
    if name is None:  # check_spec has said so already
        name = "invalid.invalid"
    draft.client_uses.add(settings.identity)
    servers = tuple(
        server
        for entry in settings.upstream
        for server in servers_of(entry.url, entry, inputs, draft)
    )
    timeouts = timeout_settings(settings.timeouts, grpc=grpc, streaming=_SILENT_STREAM)
    host = "$http_host" if settings.host == "preserve" else _host_header(settings, name)
    if not servers:
        names = ", ".join(sorted({str(entry.url.host) for entry in settings.upstream}))
        seen = f"the upstream {names} of link {settings.link.name} cannot be resolved at present"
        draft.findings.append(
            found(
                "upstream-unresolvable",
                seen,
                where=inputs.loaded.where(*settings.place, "upstream"),
                severity=Severity.WARNING,
            )
        )
        return Route(path, None, f"upstream name {names} cannot be resolved", host, timeouts)
    trust = inputs.material.trust.get(settings.trust)
    upstream = add_upstream(
        draft,
        label=name,
        scheme=first.scheme,
        servers=servers,
        balance=settings.link.balance,
        pool=pool_settings(settings.pool),
        tls=UpstreamTls(
            identity=settings.identity,
            lookup=_lookup(settings, inputs, draft),
            trust=None if settings.insecure else settings.trust,
            crl=bool(trust and trust.crl_pem()),
            name=name,
            depth=settings.verify.depth,
            settings=tls_settings(settings.tls or inputs.loaded.spec.tls),
            session_reuse=settings.link.session_reuse,
        ),
    )
    return Route(path, upstream, None, host, timeouts)


def _host_header(settings: _Resolved, name: str) -> str:
    """The verified name, with the port when it is not the scheme's own."""
    url = settings.upstream[0].url
    if url.path is not None or url.port == 443:
        return name
    return f"{name}:{url.port}"


def _lookup(settings: _Resolved, inputs: Inputs, draft: Draft) -> bool:
    """Whether nginx may look the identity up per handshake instead of loading it at start."""
    lookup = (
        settings.link.rotation == "auto"
        and inputs.machine.workers_may_read_keys
        and inputs.facts.has(Feature.UPSTREAM_CERTIFICATE_VARIABLES)
    )
    if lookup:
        draft.lookups.add(settings.identity)
    return lookup


def _accepted_hosts(link: links.EgressLink) -> tuple[str, ...]:
    """Hosts that are answered; everything else gets 421, against DNS rebinding."""
    if "*" in link.accept_hosts:
        return ("*",)
    hosts = [*_LOOPBACK_HOSTS, *link.accept_hosts]
    if link.listen.host and not link.listen.is_wildcard:
        hosts.append(f"[{link.listen.host}]" if link.listen.is_ipv6 else link.listen.host)
    for server in (
        *link.upstream,
        *(entry for route in link.routes for entry in route.upstream or ()),
    ):
        if server.url.is_named and server.url.host:
            hosts.append(server.url.host)
    hosts += [
        verify.name
        for verify in (link.verify, *(r.verify for r in link.routes))
        if verify and verify.name
    ]
    return tuple(dict.fromkeys(hosts))


def _check_build(link: links.EgressLink, index: int, inputs: Inputs, draft: Draft) -> None:
    needs = [(Feature.GRPC, "protocol")] if link.protocol == "grpc" else []
    if link.protocol == "grpc":
        needs.append((Feature.H2_MODULE, "protocol"))
    if link.limits.rate:
        needs.append((Feature.LIMIT_REQ, "limits"))
    for feature, key in needs:
        if not inputs.facts.has(feature):
            draft.findings.append(
                found(
                    "nginx-feature-missing",
                    inputs.facts.missing(feature),
                    where=inputs.loaded.where("egress", index, key),
                )
            )
