"""Egress and ingress links: the two ends of a mutual-TLS hop."""

from datetime import timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from handclasp.spec.policy import ACCOUNT_PATTERN, Limits, Pool, Section, Timeouts, Tls, Verify
from handclasp.spec.types import (
    METHOD_PATTERN,
    RULE_PATTERN,
    AcceptedHost,
    BackendUrl,
    Duration,
    Listen,
    Network,
    Rule,
    RulePath,
    ServerName,
    Shorthand,
    Size,
    SpecPath,
    StreamAge,
    TlsUrl,
)
from handclasp.spec.values import AllowKind, AllowRule

NAME_PATTERN = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
HEADER_PATTERN = r"^[A-Za-z][A-Za-z0-9-]{0,63}$"
ROUTE_PATTERN = r"^/[A-Za-z0-9._~!&'()*+,=:@/-]*$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, title="name")]
"""Names of links, identities and trusts: lower-case letters, digits and hyphens."""

HeaderName = Annotated[str, Field(pattern=HEADER_PATTERN, title="header name")]
"""A header name with hyphens only: nginx drops names with underscores, others mix up the two."""

Dialect = Literal[
    "x-client-cert",
    "x-ssl-cert",
    "rfc9440",
    "xfcc",
    "traefik",
    "aws-alb",
    "azure-arr",
    "haproxy",
    "ingress-nginx",
    "handclasp",
]


def _one_as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class UpstreamServer(Section):
    """One server of an upstream group."""

    url: TlsUrl
    """https:// or grpcs:// with a name, an IP address or unix:/path."""
    weight: int = Field(default=1, ge=1, le=1000)
    """Share of requests relative to the others."""
    max_fails: int = Field(default=3, ge=0)
    """Failures within `fail_timeout` after which the server is left out; 0 never leaves it out."""
    fail_timeout: Duration = timedelta(seconds=10)
    """Time in which failures count, and for which the server is left out."""
    backup: bool = False
    """Used only when the others are unavailable."""


_UrlOrServer = Annotated[
    UpstreamServer,
    Shorthand(
        expand=lambda value: {"url": value} if isinstance(value, str) else value,
        short={"type": "string", "title": "URL", "pattern": "^(https|grpcs)://"},
    ),
]
Upstream = Annotated[
    list[_UrlOrServer], Field(min_length=1), Shorthand(expand=_one_as_list, short="item")
]


class EgressOriginal(Section):
    """Hands on the certificate of an earlier hop, which arrives in a header."""

    from_: Literal["x-client-cert", "x-ssl-cert"] = Field(alias="from")
    """Dialect the earlier hop speaks: the header X-Client-Cert or X-SSL-CERT."""
    header: HeaderName | None = None
    """Header read instead of the dialect's own."""
    to: HeaderName = "X-Original-Client-Cert"
    """Header it is passed on in."""
    trusted: list[Literal["unix", "loopback"]] = Field(default_factory=list, min_length=1)
    """Who is believed: `unix` (a socket only its group reaches), `loopback` (any local user)."""


class Route(Section):
    """Requests whose path begins with `path` take another upstream, identity or verification."""

    path: str = Field(pattern=ROUTE_PATTERN)
    """Path prefix, beginning with /."""
    upstream: Upstream | None = None
    """Other upstream; default: the link's. The link's `verify.name` does not apply to it."""
    identity: Name | None = None
    """Other identity; default: the link's."""
    trust: Name | None = None
    """Other trust; default: the link's."""
    verify: Verify | None = None
    """Other verification, as a whole; default: the link's."""
    host: Literal["upstream", "preserve"] | None = None
    """Other Host; default: the link's."""
    tls: Tls | None = None
    """Other TLS policy; default: the link's."""
    timeouts: Timeouts | None = None
    """Other timeouts, as a whole; default: the link's."""
    pool: Pool | None = None
    """Other pool, as a whole; default: the link's."""
    insecure_accept_any: bool | None = None
    """Default: the link's."""


class EgressLink(Section):
    """Plain HTTP in on this machine, our client certificate presented, the upstream verified."""

    name: Name
    """Name of the link, in logs, status and file names."""
    listen: Listen
    """Where the application sends its requests."""
    expose: bool = False
    """Must be true to listen beyond loopback: whoever reaches the listener uses the identity."""
    group: str | None = Field(default=None, pattern=ACCOUNT_PATTERN)
    """Group that may enter the directory of a unix listener (we create it 0750)."""
    accept_hosts: list[AcceptedHost] = Field(default_factory=list)
    """Further Host values answered, besides localhost, loopback addresses and the upstream."""
    protocol: Literal["http", "grpc"] = "http"
    """grpc takes HTTP/2 without TLS (prior knowledge) from the application."""
    upstream: Upstream
    """Where requests go; a list is balanced."""
    balance: Literal["round-robin", "least-connections", "random"] = "round-robin"
    """How several servers share the requests."""
    tries: int = Field(default=2, ge=1, le=10)
    """Servers tried for one request; a non-idempotent request is never sent twice."""
    identity: Name
    """Whose certificate is presented."""
    trust: Name
    """Who may have issued the upstream's certificate."""
    verify: Verify = Field(default_factory=Verify)
    """What the upstream's certificate must show; cannot be switched off."""
    insecure_accept_any: bool = False
    """Accept any upstream certificate, for tests; needs HANDCLASP_ALLOW_INSECURE=1 to be set."""
    host: Literal["upstream", "preserve"] = "upstream"
    """Host sent: the upstream's name, or the caller's own."""
    routes: list[Route] = Field(default_factory=list)
    """Other upstreams or identities by path prefix; the longest prefix wins."""
    original_certificate: EgressOriginal | None = None
    tls: Tls | None = None
    """TLS policy of this link; default: the one at the top of the file."""
    rotation: Literal["auto", "reload"] = "auto"
    """auto reads a replaced identity without a reload where that is safe; reload keeps nginx from
    looking files up in every handshake, worth it above some 200 new connections a second."""
    session_reuse: bool = False
    """Resume TLS sessions with the upstream; the pool makes it needless, and sessions outlive
    identities."""
    buffering: bool = True
    """Collect answers in memory before sending them on. Chunked answers, such as event streams, pass event
    by event all the same; false is for streams framed by Content-Length or by the end of the connection."""
    pool: Pool = Field(default_factory=Pool)
    timeouts: Timeouts = Field(default_factory=Timeouts)
    limits: Limits = Field(default_factory=Limits)


def _rules(value: Any) -> Any:
    return [AllowRule(AllowKind.ANY, "")] if value == "any" else _one_as_list(value)


Allow = Annotated[
    list[Rule],
    Field(min_length=1),
    Shorthand(
        expand=_rules,
        short={"anyOf": [{"const": "any"}, {"type": "string", "pattern": RULE_PATTERN}]},
    ),
]
Method = Annotated[str, Field(pattern=METHOD_PATTERN, title="method")]
"""An HTTP method; nginx takes capitals only."""


class PathRule(Section):
    """Who may enter below a path. The longest path that covers a request decides, then the method."""

    path: RulePath
    """Path prefix as the application sees it, decoded; /admin and /admin/ are the same rule."""
    methods: Annotated[list[Method], Field(min_length=1)] | None = None
    """Methods the rule is for, GET with HEAD; without, those that no other rule of the path names."""
    allow: Allow | None = None
    """Who may enter; without, whom the link's own `allow` lets in."""


class Answers(Section):
    """How long nginx believes what the agent said about a certificate."""

    fresh: Duration = timedelta(minutes=5)
    """The agent is asked again after this; denials and revocations do not wait for it."""
    outage: Duration = timedelta(minutes=10)
    """How long answers hold beyond that when the agent is gone. New certificates get 503 meanwhile."""


class Clients(Section):
    """Which client certificates are accepted, and whose."""

    trust: Name
    """Whose certificates are accepted."""
    verify: Literal["required", "optional"] = "required"
    """optional lets callers without certificate through, marked as such to the backend."""
    depth: int = Field(default=4, ge=1, le=32)
    """How many intermediates the chain may have (nginx's own default is 1)."""
    allow: Allow
    """Which of them may enter: rules, any of which suffices, or `any`. No rule, no entry."""
    rules: list[PathRule] = Field(default_factory=list)
    """Rules by path and method. With any, a path or method that none covers is refused."""
    intermediates: list[SpecPath] = Field(default_factory=list)
    """Files with CAs between the trust and the callers: for `issuer:` rules and headers with the chain,
    since nginx hands on the leaf alone. They are not trusted by themselves."""
    certificate_size: Size = Field(default=10 * 1024, ge=2 * 1024, le=64 * 1024)
    """Largest client certificate admitted where the agent decides, as percent-encoded PEM: about 1.5
    times its DER."""
    answers: Answers = Field(default_factory=Answers)
    cut: bool = False
    """End connections that are open when a certificate is denied or revoked, at once: everybody's of this
    nginx."""
    max_stream_age: StreamAge = timedelta(minutes=10)
    """How long after that a WebSocket or stream may live on, when it is not cut at once; none: until it
    ends."""


class Forward(Section):
    """One dialect of identity headers; its name alone is short for `{dialect: NAME}`."""

    dialect: Dialect
    """Which names and forms of header the backend understands."""
    append: bool = False
    """xfcc only: our element follows those that a trusted hop sent (Envoy's append-forward); see
    `original_certificate`. Without, what was sent is replaced."""
    headers: dict[
        Literal["certificate", "verify", "subject", "issuer", "serial", "fingerprint", "not_after"],
        HeaderName,
    ] = Field(default_factory=dict)
    """Other header names for single fields of the dialect."""


class IngressOriginal(Section):
    """Hands the backend the certificate of an earlier hop, when the hop itself is trusted."""

    from_: Literal["x-client-cert", "x-ssl-cert"] | None = Field(default=None, alias="from")
    """Dialect of the earlier hop; default: X-Original-Client-Cert, as an egress link writes it."""
    header: HeaderName | None = None
    """Header read instead of the dialect's own."""
    to: HeaderName = "X-Original-Client-Cert"
    """Header it is passed on in."""
    trusted: list[Rule] = Field(min_length=1)
    """Client identities of hops that are believed: allow rules."""


class BackendTls(Section):
    """How an https:// backend is verified."""

    trust: Name
    """Who may have issued the backend's certificate."""
    verify: Verify = Field(default_factory=Verify)
    """What the backend's certificate must show."""
    identity: Name | None = None
    """Client certificate shown to the backend, if it asks for one."""


class ProxyProtocol(Section):
    """The listener expects the PROXY protocol, from these networks only."""

    trusted: list[Network] = Field(min_length=1)
    """Networks of the load balancers whose word on the caller's address is taken."""


class RealIp(Section):
    """The caller's address is taken from a header of connections from these networks."""

    trusted: list[Network] = Field(min_length=1)
    """Networks of the proxies whose word on the caller's address is taken."""
    header: Literal["X-Forwarded-For", "X-Real-IP"] = "X-Forwarded-For"
    """Header they name the caller in."""


class PlainListener(Section):
    """A listener without TLS that never reaches the backend."""

    listen: Listen
    """Where it waits."""


class IngressLink(Section):
    """TLS in with verified client certificates, the caller's identity handed to the backend."""

    name: Name
    """Name of the link, in logs, status and file names."""
    listen: Annotated[
        list[Listen], Field(min_length=1), Shorthand(expand=_one_as_list, short="item")
    ]
    """Where callers connect; one address or several."""
    server_names: list[ServerName] = Field(min_length=1)
    """Names callers use; a connection with another name or none is rejected in the handshake."""
    identity: Name
    """The server certificate."""
    clients: Clients
    backend: BackendUrl
    """http://, https:// or grpc:// with host and port or unix:/path."""
    backend_tls: BackendTls | None = None
    """Required for an https:// or grpcs:// backend."""
    forward: list[
        Annotated[
            Forward,
            Shorthand(
                expand=lambda value: {"dialect": value} if isinstance(value, str) else value,
                short={"enum": list(get_args(Dialect))},
            ),
        ]
    ] = Field(default_factory=list)
    """Identity headers written for the backend; inbound copies of every dialect are stripped."""
    original_certificate: IngressOriginal | None = None
    http2: bool = True
    """Offer HTTP/2."""
    proxy_protocol: ProxyProtocol | None = None
    real_ip: RealIp | None = None
    health: PlainListener | None = None
    """A plain listener that answers 200 to GET /healthz, for load balancers."""
    redirect: PlainListener | None = None
    """A plain listener that sends callers to https."""
    tls: Tls | None = None
    """TLS policy of this link; default: the one at the top of the file."""
    rotation: Literal["auto", "reload"] = "auto"
    """auto reads a replaced identity without a reload where that is safe; reload keeps nginx from
    looking files up in every handshake, worth it above some 200 new connections a second."""
    session_reuse: bool = False
    """Let callers resume TLS sessions; a resumed session is not verified again until it ends."""
    session_lifetime: Duration = timedelta(minutes=5)
    """How long a session can be resumed, when session_reuse is on."""
    buffering: bool = True
    """Collect answers in memory, and small pieces until 16 KB are together, before sending them on. A
    request with `Accept: text/event-stream` and an answer with `X-Accel-Buffering: no` pass piece by piece
    all the same; false does that for every answer, at the price of more work per byte."""
    pool: Pool = Field(default_factory=Pool)
    timeouts: Timeouts = Field(default_factory=Timeouts)
    limits: Limits = Field(default_factory=Limits)
    connection_age: Duration = timedelta(minutes=10)
    """A caller's connection takes no further requests after this: its certificate is not looked at
    again while the connection lives."""
