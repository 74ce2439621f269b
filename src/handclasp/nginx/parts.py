"""The parts of a plan: frozen values, everything resolved, nothing left to decide.

The renderer reads these and nothing else; the agent proves and reports from them. `as_json` of the
plan is what stands in a generation's plan.json.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta
    from pathlib import PurePath

    from handclasp.hsm.openssl_conf import Leading
    from handclasp.nginx.tls_profiles import TlsSettings
    from handclasp.spec.access import AccessRule
    from handclasp.spec.pkcs11_uri import Pkcs11Uri
    from handclasp.spec.values import AllowRule, ListenAddress


@dataclass(frozen=True, slots=True)
class Machine:
    """What the plan must know of the machine: processors and open files this process may use, accounts."""

    processors: int
    open_files: int
    is_root: bool
    worker_user: str | None = None
    worker_group: str | None = None
    dedicated: bool = False  # the worker account is ours alone, so it may read keys
    nameservers: tuple[str, ...] = ()
    hosts_file_names: frozenset[str] = frozenset()

    @property
    def workers_may_read_keys(self) -> bool:
        """Whether the per-handshake lookup is allowed (docs/decisions/0005)."""
        return self.dedicated or not self.is_root


@dataclass(frozen=True, slots=True)
class Process:
    """Main-context settings of an nginx of our own."""

    workers: int
    connections: int
    open_files: int
    user: str | None
    group: str | None


@dataclass(frozen=True, slots=True)
class Tokens:
    """How this nginx reaches keys in tokens. `environment` is what the module needs, as sorted pairs.

    `single_pin` names the identity whose PIN opens the module's tokens, where OpenSSL takes one.
    """

    leading: Leading
    module: PurePath
    environment: tuple[tuple[str, str], ...]
    keys: tuple[tuple[str, Pkcs11Uri], ...]  # by identity
    pins: tuple[str, ...]  # identities that have one
    single_pin: str | None

    @property
    def uris(self) -> dict[str, Pkcs11Uri]:
        """The keys by identity."""
        return dict(self.keys)


@dataclass(frozen=True, slots=True)
class Server:
    """One `server` line of an upstream group. `address` is host:port or unix:/path."""

    address: str
    weight: int = 1
    max_fails: int = 1
    fail_timeout: timedelta | None = None
    backup: bool = False
    resolve: bool = False


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """How we prove ourselves to an upstream and what it must prove. `trust` None verifies nothing."""

    identity: str | None
    lookup: bool  # identity read per handshake
    trust: str | None
    crl: bool
    name: str
    depth: int
    settings: TlsSettings
    session_reuse: bool


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Kept-open connections."""

    size: int
    idle: timedelta
    requests: int
    age: timedelta


@dataclass(frozen=True, slots=True)
class Upstream:
    """One connection policy: everything that must be equal for two requests to share a connection.

    `name` is derived from all the rest, so equal policies share one `upstream` block and different
    ones never do (docs/decisions/0006).
    """

    name: str
    scheme: str
    servers: tuple[Server, ...]
    balance: str
    pool: PoolSettings
    tls: UpstreamTls | None

    @property
    def grpc(self) -> bool:
        """Whether requests travel by gRPC's HTTP/2."""
        return self.scheme in ("grpc", "grpcs")


@dataclass(frozen=True, slots=True)
class TimeoutSettings:
    """Times between two operations."""

    connect: timedelta
    read: timedelta
    send: timedelta
    idle: timedelta
    header: timedelta


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """`body` 0 is no limit; `rate` is nginx's text such as 10r/s."""

    body: int
    header: int
    rate: str | None
    burst: int
    connections: int | None


@dataclass(frozen=True, slots=True)
class Original:
    """An earlier hop's certificate: read from one header, written to another; rules say who is believed."""

    read: str
    write: str
    rules: tuple[AllowRule, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """Requests below `path`, or to it alone where `exact`. `upstream` None means the link is down for
    `reason`."""

    path: str
    upstream: str | None
    reason: str | None
    host: str  # the Host header: a name, or an nginx variable
    timeouts: TimeoutSettings
    exact: bool = False


@dataclass(frozen=True, slots=True)
class EgressServer:
    """One egress link."""

    link: str
    listen: ListenAddress
    hosts: tuple[str, ...]  # ("*",) answers any
    grpc: bool
    routes: tuple[Route, ...]
    original: Original | None
    buffering: bool
    tries: int
    timeouts: TimeoutSettings
    limits: LimitSettings


@dataclass(frozen=True, slots=True)
class ForwardedHeader:
    """One identity header for the backend and the nginx variable it carries."""

    name: str
    variable: str


@dataclass(frozen=True, slots=True)
class RuleSet:
    """An AccessRule of a link with the id that stands for it in nginx and towards the agent.

    The id is a digest of all that decides, so that an answer for one set is never taken for another's.
    """

    id: str
    rule: AccessRule


@dataclass(frozen=True, slots=True)
class Composed:
    """An identity header that the agent writes. `append`: after what a trusted hop sent in it."""

    name: str
    append: bool = False


@dataclass(frozen=True, slots=True)
class Authorizer:
    """What a link asks the agent, and for how long nginx believes the answers."""

    headers: tuple[Composed, ...]
    dialects: tuple[str, ...]
    hops: tuple[AllowRule, ...]  # earlier hops that the agent decides on
    certificate_size: int  # bytes of percent-encoded PEM
    fresh: timedelta
    outage: timedelta

    @property
    def header_room(self) -> int:
        """Most bytes of identity headers that are kept with an answer, beside the certificate in the key."""
        return 2 * self.certificate_size


@dataclass(frozen=True, slots=True)
class IngressServer:
    """One ingress link."""

    link: str
    listen: tuple[ListenAddress, ...]
    server_names: tuple[str, ...]
    identity: str
    lookup: bool
    trust: str
    crl: bool
    verify: str
    depth: int
    rules: tuple[RuleSet, ...]  # longest path first
    issuers: tuple[
        str, ...
    ]  # names of CAs whose certificates can be denied by serial, as nginx has them
    authorizer: Authorizer | None  # None: nginx decides by itself
    backend: str  # name of an Upstream
    backend_host: str | None  # Host for the backend; None passes the caller's
    grpc: bool
    headers: tuple[ForwardedHeader, ...]
    original: Original | None
    http2: bool
    real_ip_header: str | None
    real_ip_from: tuple[str, ...]
    settings: TlsSettings
    session_reuse: bool
    session_lifetime: timedelta
    buffering: bool
    timeouts: TimeoutSettings
    limits: LimitSettings
    connection_age: timedelta
    health: ListenAddress | None
    redirect: ListenAddress | None


@dataclass(frozen=True, slots=True)
class TlsListener:
    """An address with its rejecting default server; settings that belong to the address, not a server."""

    address: ListenAddress
    proxy_protocol: bool
    http2: bool
    header: int
    settings: TlsSettings
    handshake: timedelta  # in which a caller must finish it
    sessions: str | None  # name of the session zone; None resumes nothing
    session_lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything nginx will do, decided."""

    name: str
    process: Process
    upstreams: tuple[Upstream, ...]
    egress: tuple[EgressServer, ...]
    ingress: tuple[IngressServer, ...]
    listeners: tuple[TlsListener, ...]
    identities: tuple[tuple[str, str], ...]  # name, version
    trust: tuple[tuple[str, str], ...]
    lookups: tuple[str, ...]  # identities read per handshake
    resolver: tuple[str, ...]
    resolver_valid: timedelta | None
    resolved_names: tuple[str, ...]  # names the agent has to watch, because nginx cannot
    access_log: str
    callers_log: bool  # a line per connection of a verified caller
    stripped: tuple[str, ...]
    tokens: Tokens | None = None
    challenges: tuple[ListenAddress, ...] = ()  # where challenges of ACME servers are answered

    def as_json(self) -> str:
        """Deterministic text of the whole plan."""
        return json.dumps(dataclasses.asdict(self), default=_plain, indent=1, sort_keys=True)


def trusts_with_lists(
    ingress: Iterable[IngressServer], upstreams: Iterable[Upstream]
) -> frozenset[str]:
    """Trusts of which nginx reads the revocation lists too."""
    callers = (server.trust for server in ingress if server.crl)
    return frozenset(
        (
            *callers,
            *(one.tls.trust for one in upstreams if one.tls and one.tls.crl and one.tls.trust),
        )
    )


def _plain(value: Any) -> Any:
    return str(value)
