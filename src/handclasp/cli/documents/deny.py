"""What `handclasp deny` prints as JSON."""

from __future__ import annotations

from handclasp.cli.documents.model import Document


class DenialDocument(Document):
    """One certificate that is refused."""

    sha256: str | None
    """Fingerprint, hexadecimal."""
    issuer: str | None
    """RFC 4514."""
    serial: str | None
    """Hexadecimal."""
    subject: str | None
    """RFC 4514, where the certificate itself was given."""
    authority: bool
    """It is a CA: what its key signed is refused, where the agent decides."""
    since: str
    """ISO 8601, UTC."""
    why: str | None
    """What the operator said."""


class DeniedLinkDocument(Document):
    """What a denial means for one ingress link."""

    name: str
    at_once: bool
    """Refused from the next request on, on open connections too."""
    why_not: str | None
    """Why it is not."""
    beside: str | None
    """Who else is refused there by that."""
    concerned: bool
    """False: as far as is known there, nobody of the CA concerned can enter."""
    cut: bool
    """`clients.cut` of the link."""


class DenyDocument(Document):
    """`handclasp deny --format json`: either `denied` (with --list), or the rest."""

    ok: bool
    """Every ingress link that is concerned refuses the certificate at once, and one is."""
    changed: bool | None = None
    """False: it was so before."""
    denial: DenialDocument | None = None
    links: list[DeniedLinkDocument] | None = None
    cut: bool | None = None
    """Connections that were open are being ended."""
    ends_in: float | None = None
    """In how many seconds they end at most; null: when they like."""
    denied: list[DenialDocument] | None = None
    """All denials."""
