"""Who is calling, as a value; and the one error of everything that reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

# SPIFFE-ID section 2: trust domain without case, path of unescaped segments.
_SPIFFE: Final = re.compile(
    r"spiffe://(?P<domain>[a-z0-9._-]{1,255})(?P<path>(?:/[A-Za-z0-9._-]+)*)", re.IGNORECASE
)
_SHOWN: Final = 80


class Reason(StrEnum):
    """Why an identity was not believed: a stable code for logs."""

    SEVERAL_INSTANCES = "several-instances"
    MISSPELT_HEADER = "misspelt-header"
    OVERSIZED = "oversized"
    NOT_ASCII = "not-ascii"
    MALFORMED = "malformed"
    ENCODED_TWICE = "encoded-twice"
    NOT_ENCODED = "not-encoded"
    NOT_A_CERTIFICATE = "not-a-certificate"
    CERTIFICATE_MISSING = "certificate-missing"
    VERIFY_MISSING = "verify-missing"
    NOT_VERIFIED = "not-verified"
    CONTRADICTION = "contradiction"
    DUPLICATE_KEY = "duplicate-key"
    SEVERAL_HOPS = "several-hops"
    UNTRUSTED_PEER = "untrusted-peer"
    REWRITTEN_PEER = "rewritten-peer"
    NO_IDENTITY = "no-identity"


class Note(StrEnum):
    """What was odd but could be read without doubt."""

    PLUS_AS_SPACE = "plus-as-space"
    """Something on the way decoded `+` to a space (form decoding); it was put back."""


class IdentityError(ValueError):
    """The headers do not say, beyond doubt, who is calling. `code` is for programs."""

    def __init__(self, code: Reason, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


@dataclass(frozen=True, slots=True)
class SubjectAltNames:
    """The alternative names by type, each in certificate order. Other types are left out."""

    dns: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()
    uri: tuple[str, ...] = ()
    email: tuple[str, ...] = ()

    @classmethod
    def from_typed(cls, names: Iterable[str]) -> Self:
        """From `dns:…`, `ip:…`, `uri:…`, `email:…`; names of other types are left out."""
        found: dict[str, list[str]] = {"dns": [], "ip": [], "uri": [], "email": []}
        for name in names:
            kind, _, value = name.partition(":")
            if kind in found:
                found[kind].append(value)
        return cls(**{kind: tuple(values) for kind, values in found.items()})

    @property
    def typed(self) -> tuple[str, ...]:
        """As `dns:…`, `ip:…`, `uri:…`, `email:…`."""
        return tuple(f"{kind}:{value}" for kind in _KINDS for value in getattr(self, kind))


_KINDS: Final = ("dns", "ip", "uri", "email")


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """One caller, as the proxy that verified the certificate tells it.

    With `certificate` everything else was read from it, and what was told beside it agrees; without
    it (dialects `xfcc` and `handclasp` may leave it out) the fields are what the proxy wrote.
    """

    subject: str
    """RFC 4514 text, most specific name first, ASCII: `CN=svc-b,O=Example Org`, `CN=J\\C3\\BCrgen`."""
    dialect: str
    """The dialect it came in."""
    issuer: str | None = None
    sans: SubjectAltNames = field(default_factory=SubjectAltNames)
    serial: str | None = None
    """Hex, upper-case, an even number of digits, as OpenSSL prints it: `0A1B`."""
    sha256: str | None = None
    """Of the DER certificate, 64 lower-case hex digits."""
    not_before: datetime | None = None
    not_after: datetime | None = None
    certificate: bytes | None = field(default=None, repr=False)
    """DER."""
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    """DER of what the proxy sent above the leaf. Not verified here."""
    verify: str | None = None
    """The verification result as told (`SUCCESS`, `0`); None where the dialect has no such field."""
    is_ca: bool = False
    """Whether the certificate is one of a CA; False where there is no certificate to look at."""
    notes: tuple[Note, ...] = ()

    @property
    def spiffe_id(self) -> str | None:
        """The SPIFFE ID, trust domain in lower case: None unless it is the one and only URI name.

        A CA's certificate, or one with more URIs, is no SVID of a workload (X509-SVID sections 2
        and 5.2), whatever the URIs are.
        """
        return None if self.is_ca else spiffe_id(self.sans.uri)


def spiffe_id(uris: tuple[str, ...]) -> str | None:
    """The SPIFFE ID among URI names, by the rule of `ClientIdentity.spiffe_id`."""
    if len(uris) != 1:
        return None
    match = _SPIFFE.fullmatch(uris[0])
    if match is None or len(uris[0]) > 2048:
        return None
    path = match["path"]
    if any(segment in (".", "..") for segment in path.split("/")):
        return None
    return f"spiffe://{match['domain'].lower()}{path}"


def shown(text: str | bytes) -> str:
    """Foreign text in a message: quoted, ASCII, one line, not too long."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
