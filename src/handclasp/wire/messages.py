"""Handshake messages as OpenSSL shows them, recorded and taken apart.

They are the only place where the chain as sent, the wish for a client certificate and the sender
of an alert can be seen whether or not the handshake succeeds. A malformed message is recorded by
name and otherwise skipped: OpenSSL is about to refuse it with a better reason than ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from handclasp.wire.alerts import alert_name
from handclasp.wire.observation import CertificateRequest, Message, Party, ServerHello

TLS_1_3 = "TLSv1.3"
_VERSIONS = {
    0x0300: "SSLv3",
    0x0301: "TLSv1",
    0x0302: "TLSv1.1",
    0x0303: "TLSv1.2",
    0x0304: TLS_1_3,
}
# IANA TLS Supported Groups; the ones nginx and its peers agree on in practice.
_GROUPS = {
    23: "secp256r1",
    24: "secp384r1",
    25: "secp521r1",
    29: "x25519",
    30: "x448",
    4587: "SecP256r1MLKEM768",
    4588: "X25519MLKEM768",
    4589: "SecP384r1MLKEM1024",
}
_SIGNATURE_ALGORITHMS, _SUPPORTED_VERSIONS, _AUTHORITIES, _KEY_SHARE = 13, 43, 47, 51
_HEADER = 4  # one byte type, three bytes length


class ContentType(IntEnum):
    """Record content types (RFC 8446 section 5.1)."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22


class HandshakeType(IntEnum):
    """Handshake message types (the IANA TLS HandshakeType registry)."""

    HELLO_REQUEST = 0
    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    NEW_SESSION_TICKET = 4
    END_OF_EARLY_DATA = 5
    ENCRYPTED_EXTENSIONS = 8
    CERTIFICATE = 11
    SERVER_KEY_EXCHANGE = 12
    CERTIFICATE_REQUEST = 13
    SERVER_HELLO_DONE = 14
    CERTIFICATE_VERIFY = 15
    CLIENT_KEY_EXCHANGE = 16
    FINISHED = 20
    CERTIFICATE_STATUS = 22
    KEY_UPDATE = 24
    COMPRESSED_CERTIFICATE = 25


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert and its sender; `level` is 1 warning, 2 fatal (TLS 1.3 gives it no meaning)."""

    sender: Party
    level: int
    number: int


class MessageError(ValueError):
    """A handshake message does not have the shape its RFC gives it."""


class _Cursor:
    """Reads numbers and length-prefixed vectors (RFC 8446 section 3.4) off the front of bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bool__(self) -> bool:
        return bool(self._data)

    def take(self, size: int) -> bytes:
        if size > len(self._data):
            raise MessageError(f"{size} bytes wanted, {len(self._data)} left")
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, length_size: int) -> bytes:
        return self.take(self.number(length_size))

    def inner(self, length_size: int) -> _Cursor:
        return _Cursor(self.vector(length_size))


def parse_certificates(message: bytes, *, tls13: bool) -> tuple[bytes, ...]:
    """The DER certificates of a Certificate message (RFC 8446 section 4.4.2, RFC 5246 7.4.2)."""
    cursor = _Cursor(message[_HEADER:])
    if tls13:
        cursor.vector(1)  # certificate_request_context
    entries, found = cursor.inner(3), []
    while entries:
        found.append(entries.vector(3))
        if tls13:
            entries.vector(2)  # extensions of this certificate
    return tuple(found)


def parse_certificate_request(message: bytes, *, tls13: bool) -> CertificateRequest:
    """A CertificateRequest message (RFC 8446 section 4.3.2, RFC 5246 section 7.4.4)."""
    cursor = _Cursor(message[_HEADER:])
    if not tls13:
        types = tuple(cursor.vector(1))
        schemes = _numbers(cursor.inner(2))
        return CertificateRequest(
            certificate_types=types, signature_schemes=schemes, authorities=_names(cursor.inner(2))
        )
    cursor.vector(1)  # certificate_request_context
    extensions = _extensions(cursor)
    return CertificateRequest(
        signature_schemes=_numbers(_nested(extensions, _SIGNATURE_ALGORITHMS)),
        authorities=_names(_nested(extensions, _AUTHORITIES)),
    )


def parse_server_hello(message: bytes) -> ServerHello:
    """A ServerHello or HelloRetryRequest message (RFC 8446 section 4.1.3)."""
    cursor = _Cursor(message[_HEADER:])
    version = cursor.number(2)
    cursor.take(32)  # random
    cursor.vector(1)  # session id
    suite = cursor.number(2)
    cursor.take(1)  # compression
    extensions = _extensions(cursor) if cursor else {}
    if _SUPPORTED_VERSIONS in extensions:
        version = _Cursor(extensions[_SUPPORTED_VERSIONS]).number(2)
    group = None
    if _KEY_SHARE in extensions:
        number = _Cursor(extensions[_KEY_SHARE]).number(2)
        group = _GROUPS.get(number, f"group_{number}")
    return ServerHello(
        version=_VERSIONS.get(version, f"0x{version:04x}"), cipher_suite=suite, group=group
    )


def _extensions(cursor: _Cursor) -> dict[int, bytes]:
    inside, found = cursor.inner(2), {}
    while inside:
        number = inside.number(2)
        found[number] = inside.vector(2)
    return found


def _nested(extensions: dict[int, bytes], number: int) -> _Cursor:
    return _Cursor(extensions[number]).inner(2) if number in extensions else _Cursor(b"")


def _numbers(cursor: _Cursor) -> tuple[int, ...]:
    found = []
    while cursor:
        found.append(cursor.number(2))
    return tuple(found)


def _names(cursor: _Cursor) -> tuple[bytes, ...]:
    found = []
    while cursor:
        found.append(cursor.vector(2))
    return tuple(found)


@dataclass(slots=True)
class Transcript:
    """What has been said so far. Filled by `note`, which never raises."""

    messages: list[Message] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    hello: ServerHello | None = None
    peer_chain: tuple[bytes, ...] | None = None
    sent_chain: tuple[bytes, ...] | None = None
    request: CertificateRequest | None = None
    requested: bool = False
    server_turn_over: bool = False

    def note(self, sender: Party, content_type: int, data: bytes) -> None:
        """Record one message; other content types (headers, cipher changes) are passed over."""
        if content_type == ContentType.ALERT and len(data) == 2:
            self.alerts.append(Alert(sender, data[0], data[1]))
            self.messages.append(Message(sender, f"alert {alert_name(data[1])}", len(data)))
        elif content_type == ContentType.HANDSHAKE and data:
            self.messages.append(Message(sender, _handshake_name(data[0]), len(data)))
            try:
                self._take_apart(sender, data)
            except MessageError:
                return

    def _take_apart(self, sender: Party, data: bytes) -> None:
        tls13 = self.hello is not None and self.hello.version == TLS_1_3
        kind = data[0]
        if kind == HandshakeType.CERTIFICATE and sender is Party.US:
            self.sent_chain = parse_certificates(data, tls13=tls13)
        elif sender is Party.US:
            return
        elif kind == HandshakeType.SERVER_HELLO:
            self.hello = parse_server_hello(data)
        elif kind == HandshakeType.CERTIFICATE:
            self.peer_chain = parse_certificates(data, tls13=tls13)
        elif kind == HandshakeType.CERTIFICATE_REQUEST:
            self.requested = True
            self.request = parse_certificate_request(data, tls13=tls13)
        elif kind in {HandshakeType.SERVER_HELLO_DONE, HandshakeType.FINISHED}:
            self.server_turn_over = True

    def forget_ours(self, since: int) -> None:
        """Our messages from index `since` on were prepared but not sent."""
        kept = [message for message in self.messages[since:] if message.sender is Party.PEER]
        self.messages[since:] = kept
        self.sent_chain = None

    def fatal_alert(self) -> Alert | None:
        """The last alert that is not close_notify (RFC 8446 section 6.1: that one is no error)."""
        return next((alert for alert in reversed(self.alerts) if alert.number != 0), None)

    def close_notify_received(self) -> bool:
        return any(alert.sender is Party.PEER and alert.number == 0 for alert in self.alerts)


def _handshake_name(number: int) -> str:
    try:
        return HandshakeType(number).name.lower()
    except ValueError:
        return f"handshake_{number}"
