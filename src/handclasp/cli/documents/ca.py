"""What `handclasp ca` prints as JSON."""

from __future__ import annotations

from typing import Literal

from handclasp.cli.documents.model import Document


class IssuedDocument(Document):
    """One certificate of the ledger."""

    serial: str
    """Hexadecimal, whole bytes, upper case, as OpenSSL writes it."""
    name: str
    """What it was issued under; `root` and `issuing` for the CAs themselves."""
    subject: str
    """RFC 4514."""
    sans: list[str]
    """`dns:…`, `ip:…`, `uri:…`, `email:…`, in certificate order."""
    use: Literal["client", "server", "both", "ca"]
    not_before: str
    """ISO 8601, UTC."""
    not_after: str
    """ISO 8601, UTC."""
    days_left: int
    """Negative when expired."""
    state: Literal["valid", "expired", "revoked", "issuer revoked"]
    revoked_at: str | None
    """ISO 8601, UTC."""
    reason: str | None
    """In RFC 5280's words, as `keyCompromise`."""
    renews: str | None
    """Serial of the certificate in whose place it was issued."""
    sha256: str
    """Fingerprint, hexadecimal."""


class CaListDocument(Document):
    """`handclasp ca list --format json`."""

    directory: str
    certificates: list[IssuedDocument]
    """Oldest first."""
