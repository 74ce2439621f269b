"""What one connection showed, as plain values. Opinions about causes live in a room above."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

_HIGHEST_PORT = 65535


class Stage(StrEnum):
    """The steps of an observation, in order."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    PROXY_HEADER = "proxy_header"
    HANDSHAKE = "handshake"
    FIRST_READ = "first_read"
    REQUEST = "request"
    ANSWER = "answer"


class FailureKind(StrEnum):
    """How an observation ended early."""

    RESOLVE = "resolve"  # the name has no address
    OS = "os"  # the operating system said no: errno
    TIMEOUT = "timeout"  # silence until the time was up
    CLOSED = "closed"  # the peer ended the connection without a word
    TLS = "tls"  # OpenSSL gave up: an alert, a verification error, bytes that are no TLS
    HTTP = "http"  # the answer is not HTTP/1.1, or it stops in the middle


class Party(StrEnum):
    """The two ends, seen from here."""

    US = "us"
    PEER = "peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to connect (``host`` and ``port``, or ``unix_path``) and how to speak there.

    ``server_name`` is the SNI, None sends none (an IP address is never sent, RFC 6066 section 3);
    ``proxy_protocol`` sends a PROXY protocol version 1 header first. Raises ValueError when there
    is no place to connect to, or two.
    """

    host: str | None = None
    port: int | None = None
    unix_path: str | None = None
    server_name: str | None = None
    tls: bool = True
    proxy_protocol: bool = False

    def __post_init__(self) -> None:
        tcp = self.host is not None and self.port is not None
        if tcp == (self.unix_path is not None) or (self.host is None) != (self.port is None):
            raise ValueError("a target is host and port, or a unix path")
        if self.host == "" or not 0 <= (self.port or 0) <= _HIGHEST_PORT:
            raise ValueError(f"nobody can be reached at {self}")

    def __str__(self) -> str:
        if self.unix_path is not None:
            return f"unix:{self.unix_path}"
        return endpoint(self.host or "", self.port or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressAttempt:
    """One address and how connecting to it went; ``errno`` None with ``ok`` False is a timeout."""

    address: str
    ok: bool
    seconds: float
    errno: int | None = None
    errno_name: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One stage, how long it took, and a few words about it."""

    name: Stage
    ok: bool
    seconds: float
    detail: str


@dataclass(frozen=True, slots=True)
class Message:
    """One handshake message or alert: who sent it, its name (RFC 8446 section 4), its size."""

    sender: Party
    name: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerHello:
    """What the server chose; ``group`` is the key exchange of TLS 1.3, None below."""

    version: str
    cipher_suite: int
    group: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRequest:
    """The server's wish for a client certificate (RFC 8446 section 4.3.2, RFC 5246 section 7.4.4).

    ``authorities`` are the DER names of the CAs it says it accepts, empty when it names none;
    ``certificate_types`` exist in TLS 1.2 only.
    """

    authorities: tuple[bytes, ...] = ()
    signature_schemes: tuple[int, ...] = ()
    certificate_types: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """The peer's certificates as sent, DER, leaf first; kept also when they were refused."""

    chain: tuple[bytes, ...]

    @property
    def leaf(self) -> bytes:
        return self.chain[0]

    @property
    def sha256(self) -> str:
        """SHA-256 of the leaf's DER, 64 lower-case hex digits."""
        return hashlib.sha256(self.leaf).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The first thing that went wrong.

    ``library``, ``reason`` and ``code`` are OpenSSL's (code: SSL_get_error, 1 protocol, 5 system,
    8 end of file); ``alert_from`` tells whether the peer sent the alert or we did; ``verify_code``
    is an X509_V_ERR number; ``received`` is the beginning of what had come in that stage.
    """

    stage: Stage
    kind: FailureKind
    text: str
    library: str | None = None
    reason: str | None = None
    code: int | None = None
    errno: int | None = None
    errno_name: str | None = None
    alert: int | None = None
    alert_name: str | None = None
    alert_from: Party | None = None
    verify_code: int | None = None
    verify_message: str | None = None
    received: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """An answer's head and the beginning of its body; ``complete`` when the whole body came."""

    status: int
    reason: str
    http_version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    complete: bool

    def header(self, name: str) -> str | None:
        """The first value of a header, by name in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything one connection showed.

    None where a thing could not be seen: ``client_certificate_requested`` stays None without TLS or
    when the handshake ended before the server's turn was over. ``protocol`` is what the server
    chose, also when the handshake failed after that. ``first_bytes`` is the beginning of what
    came over the wire, before any decryption.
    """

    target: Target
    addresses: tuple[AddressAttempt, ...]
    steps: tuple[Step, ...]
    failure: Failure | None
    answer: HttpAnswer | None = None
    local_address: str | None = None
    remote_address: str | None = None
    protocol: str | None = None
    cipher: str | None = None
    alpn: str | None = None
    server_hello: ServerHello | None = None
    peer: PeerCertificate | None = None
    client_certificate_requested: bool | None = None
    certificate_request: CertificateRequest | None = None
    client_certificate_sent: bool | None = None
    session_reused: bool | None = None
    close_notify_received: bool = False
    messages: tuple[Message, ...] = ()
    first_bytes: bytes = b""
    bytes_received: int = 0
    bytes_sent: int = 0

    @property
    def ok(self) -> bool:
        """Every step that was asked for succeeded. An HTTP error status is still an answer."""
        return self.failure is None

    @property
    def reached(self) -> bool:
        """A connection was had: somebody listens there."""
        return any(attempt.ok for attempt in self.addresses)

    @property
    def refused(self) -> bool:
        """A connection was had and then, in TLS or after it, something failed."""
        return self.reached and self.failure is not None

    @property
    def handshake_complete(self) -> bool:
        """TLS was completed on this side, which under TLS 1.3 does not mean accepted."""
        return any(step.name is Stage.HANDSHAKE and step.ok for step in self.steps)

    @property
    def refused_after_handshake(self) -> bool:
        """TLS was completed, then the connection failed before any answer: under TLS 1.3 this is
        what a refused client certificate looks like (`failure.alert` says more, if there is one).
        """
        return self.handshake_complete and self.failure is not None and self.answer is None


def endpoint(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
