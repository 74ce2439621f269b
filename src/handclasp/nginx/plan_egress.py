"""Deciding an egress link: which upstream and identity each path takes, and who is answered."""

from __future__ import annotations

from dataclasses import replace
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
    without_idle_backups,
)
from handclasp.nginx.tls_profiles import tls_settings

if TYPE_CHECKING:
    from handclasp.nginx.parts import Server
    from handclasp.nginx.plan import Draft, Inputs
    from handclasp.spec import links
    from handclasp.spec.policy import TlsPolicy
    from handclasp.spec.values import Url

_SILENT_STREAM = timedelta(hours=1)
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


def plan_egress(link: links.EgressLink, index: int, inputs: Inputs, draft: Draft) -> EgressServer:
    """The parts of one egress link."""
    grpc = link.protocol == "grpc"
    _check_build(link, index, inputs, draft)
    whole = _Resolved.of_link(link, index)
    routes = [
        _route(route.path, whole.overridden_by(route, position), inputs, draft, grpc=grpc)
        for position, route in enumerate(link.routes)
    ]
    if all(route.path != "/" for route in routes):
        routes.insert(0, _route("/", whole, inputs, draft, grpc=grpc))
    original = link.original_certificate
    return EgressServer(
        link=link.name,
        listen=link.listen,
        hosts=_accepted_hosts(link),
        grpc=grpc,
        routes=(*routes, *_without_slash(routes)),
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


def _without_slash(routes: list[Route]) -> list[Route]:
    """For a route /partner/ the path /partner, which is not below it.

    Left to itself nginx answers such a path with a redirect to the one with the slash
    (ngx_http_core_module, "location"): a POST would become a GET.
    """
    paths = {route.path for route in routes}
    twins: list[Route] = []
    for path in sorted(paths):
        bare = path.rstrip("/")
        if path == "/" or bare == path or bare in paths:
            continue
        longest = max(
            (route for route in routes if bare.startswith(route.path)),
            key=lambda route: len(route.path),
        )
        twins.append(replace(longest, path=bare, exact=True))
    return twins


class _Resolved:
    """A link's settings with a route's own laid over them, and where each is written."""

    def __init__(self, link: links.EgressLink, index: int) -> None:
        self.link = link
        self.place: tuple[str | int, ...] = ("egress", index)
        self.upstream = link.upstream
        self.upstream_place: tuple[str | int, ...] = (*self.place, "upstream")
        self.identity, self.trust, self.verify = link.identity, link.trust, link.verify
        self.host, self.tls = link.host, link.tls
        self.tls_place: tuple[str | int, ...] = (*self.place, "tls") if link.tls else ("tls",)
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
            own.upstream, own.upstream_place = route.upstream, (*own.place, "upstream")
            own.verify = own.verify.model_copy(update={"name": None})
        own.identity = route.identity or own.identity
        own.trust = route.trust or own.trust
        own.verify = route.verify or own.verify
        own.host = route.host or own.host
        if route.tls is not None:
            own.tls, own.tls_place = route.tls, (*own.place, "tls")
        own.timeouts = route.timeouts or own.timeouts
        own.pool = route.pool or own.pool
        if route.insecure_accept_any is not None:
            own.insecure = route.insecure_accept_any
        return own

    def policy(self, inputs: Inputs) -> TlsPolicy:
        """The TLS policy written nearest."""
        return self.tls or inputs.loaded.spec.tls


def _route(path: str, settings: _Resolved, inputs: Inputs, draft: Draft, *, grpc: bool) -> Route:
    first = settings.upstream[0].url
    name = settings.verify.name or (first.host if first.is_named else None)
    if name is None:  # check_spec has said so already
        name = "invalid.invalid"
    draft.client_uses.add(settings.identity)
    _check_tls(settings, inputs, draft)
    servers = _servers(settings, inputs, draft)
    timeouts = timeout_settings(settings.timeouts, grpc=grpc, streaming=_SILENT_STREAM)
    host = "$hc_host" if settings.host == "preserve" else _host_header(settings, name)
    if not servers:
        names = ", ".join(sorted({str(entry.url.host) for entry in settings.upstream}))
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
            crl=bool(trust and trust.crl_pem()) and not settings.insecure,
            name=name,
            depth=settings.verify.depth,
            settings=tls_settings(settings.policy(inputs)),
            session_reuse=settings.link.session_reuse,
        ),
    )
    return Route(path, upstream, None, host, timeouts)


def _servers(settings: _Resolved, inputs: Inputs, draft: Draft) -> tuple[Server, ...]:
    """All addresses of the upstream. A name without any is left out with a warning, once per place."""
    servers: list[Server] = []
    for position, entry in enumerate(settings.upstream):
        found_here = servers_of(entry.url, entry, inputs, draft)
        servers += found_here
        if found_here and not _unknown_to_system(entry.url, inputs):
            continue
        draft.findings.append(
            found(
                "upstream-unresolvable",
                f"the upstream {entry.url.host} of link {settings.link.name} cannot be resolved"
                " at present",
                where=inputs.loaded.where(*settings.upstream_place, position),
                severity=Severity.WARNING,
            )
        )
    return without_idle_backups(tuple(servers))


def _unknown_to_system(url: Url, inputs: Inputs) -> bool:
    """Whether nginx will ask for the name where the operating system has just had no answer. With
    nameservers of the spec's own nginx may know better."""
    return (
        url.is_named
        and not inputs.loaded.spec.resolver.addresses
        and not inputs.addresses.get(url.host or "")
    )


def _host_header(settings: _Resolved, name: str) -> str:
    """The verified name, with the port when it is not the scheme's own."""
    url = settings.upstream[0].url
    if url.path is not None or url.port == 443:
        return name
    return f"{name}:{url.port}"


def _lookup(settings: _Resolved, inputs: Inputs, draft: Draft) -> bool:
    """Whether nginx may look the identity up per handshake instead of loading it at start.

    Not where sessions are resumed: those of a replaced identity end with the workers that hold them,
    so its replacement has to be a reload.
    """
    lookup = (
        settings.link.rotation == "auto"
        and not settings.link.session_reuse
        and inputs.may_look_up(settings.identity)
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
    needs: list[tuple[Feature, str]] = []
    if link.protocol == "grpc":
        needs += [(Feature.GRPC, "protocol"), (Feature.H2_MODULE, "protocol")]
    if link.limits.rate:
        needs.append((Feature.LIMIT_REQ, "limits"))
    for feature, key in needs:
        _need(feature, ("egress", index, key), inputs, draft)
    places: list[tuple[str | int, ...]] = [
        ("routes", position, "pool") for position in range(len(link.routes))
    ]
    pools = [link.pool, *(route.pool for route in link.routes)]
    for pool, place in zip(pools, [("pool",), *places], strict=True):
        if pool and "age" in pool.model_fields_set:
            where = ("egress", index, *place, "age")
            _need(Feature.UPSTREAM_KEEPALIVE_TIME, where, inputs, draft, what="age: ")


def _check_tls(settings: _Resolved, inputs: Inputs, draft: Draft) -> None:
    """What is written must be done: a build that cannot is refused, not obeyed halfway."""
    policy, place = settings.policy(inputs), settings.tls_place
    if policy.groups:
        _need(Feature.PROXY_SSL_CONF_COMMAND, (*place, "groups"), inputs, draft, what="groups: ")
    if tls_settings(policy).suites:
        _need(Feature.PROXY_SSL_CONF_COMMAND, (*place, "ciphers"), inputs, draft, what="suites: ")
    if tls_settings(policy).protocols == ("TLSv1.3",):
        _need(Feature.TLS13, place, inputs, draft)


def _need(
    feature: Feature, place: tuple[str | int, ...], inputs: Inputs, draft: Draft, *, what: str = ""
) -> None:
    if missing := inputs.facts.missing(feature):
        where = inputs.loaded.where(*place)
        draft.findings.append(found("nginx-feature-missing", f"{what}{missing}", where=where))
