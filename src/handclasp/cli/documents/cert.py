"""What `handclasp cert` prints as JSON."""

from __future__ import annotations

from typing import Literal

from handclasp.cli.documents.model import Document
from handclasp.cli.documents.reports import CheckDocument, FindingDocument


class KeyDocument(Document):
    """Type and size of a key."""

    type: str
    """RSA, RSA-PSS, EC, Ed25519, Ed448, DSA, …"""
    bits: int | None
    curve: str | None
    explicit: bool
    """The curve is written out in numbers instead of being named."""


class ObjectDocument(Document):
    """One object of a file; what its kind does not have is null or empty."""

    file: str
    line: int | None
    """Line of its PEM block, counted from 1."""
    kind: Literal["certificate", "private key", "public key", "signing request", "revocation list"]
    format: str
    subject: str | None
    """RFC 4514."""
    issuer: str | None
    sans: list[str]
    """`dns:…`, `ip:…`, `uri:…`, `email:…`, in certificate order."""
    serial: str | None
    """Hexadecimal."""
    not_before: str | None
    """ISO 8601, UTC; of a revocation list its thisUpdate."""
    not_after: str | None
    """ISO 8601, UTC; of a revocation list its nextUpdate."""
    key: KeyDocument | None
    usages: list[str]
    """keyUsage, then extended key usage."""
    ca: bool | None
    path_length: int | None
    signature: str | None
    sha256: str | None
    """Fingerprint, hexadecimal."""
    sha1: str | None
    spki_sha256: str | None
    """SHA-256 of the public key (SubjectPublicKeyInfo), hexadecimal."""
    encrypted: bool | None
    signature_valid: bool | None
    """Whether a signing request is signed by its own key; null for other kinds."""
    number: int | None
    """crlNumber."""
    entries: int | None
    """How many certificates a revocation list names."""
    fits: list[str]
    """Files that hold the same key in an object of another kind."""
    signed_by: list[str]
    """SHA-256 fingerprints of the given certificates that signed this revocation list."""


class ChainDocument(Document):
    """A chain as far as the given certificates go, leaf first."""

    certificates: list[str]
    """SHA-256 fingerprints."""
    subjects: list[str]
    complete: bool
    """It ends at a root."""
    missing: str | None
    """The issuer that was not given."""
    issuer_urls: list[str]
    """Where the missing issuer can be had, as the certificate below it says."""


class ShowDocument(Document):
    """`handclasp cert show --format json`."""

    objects: list[ObjectDocument]
    chains: list[ChainDocument]
    findings: list[FindingDocument]


class CertCheckDocument(CheckDocument):
    """`handclasp cert check --format json`."""

    roles: list[Literal["client", "server"]]
    """The roles that were looked at."""
    usable: list[Literal["client", "server"]]
    """Those of them in which nothing is an error."""
    skipped: list[str]
    """What was not looked at, and why."""
