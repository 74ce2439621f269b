"""What `handclasp identity` prints as JSON."""

from __future__ import annotations

from typing import Literal

from handclasp.cli.documents.model import Document


class CallerDocument(Document):
    """Who is calling; what the dialect does not tell is null."""

    subject: str
    """RFC 4514."""
    spiffe_id: str | None
    sans: list[str]
    """`dns:…`, `ip:…`, `uri:…`, `email:…`."""
    issuer: str | None
    serial: str | None
    """Hexadecimal."""
    sha256: str | None
    """Fingerprint, hexadecimal."""
    not_before: str | None
    """ISO 8601, UTC."""
    not_after: str | None
    """ISO 8601, UTC."""
    verify: str | None
    """The verification result as told."""
    chain: int
    """How many certificates were sent beside the leaf."""


class ReadingDocument(Document):
    """What a backend that reads one dialect would see."""

    dialect: str
    headers: list[str]
    """Headers of the dialect that are there, as spelt."""
    assumed: list[str]
    """Header lines that were added because a bare value does not say that it was verified."""
    verdict: Literal["identity", "nobody", "refused"]
    reason: str | None
    """Why it is refused, as a stable code."""
    sentence: str | None
    """Why it is refused."""
    identity: CallerDocument | None


class OddityDocument(Document):
    """Something that is not as a proxy would have written it."""

    code: str
    sentence: str


class IdentityShowDocument(Document):
    """`handclasp identity show --format json`."""

    guessed: bool
    """No dialect was given."""
    readings: list[ReadingDocument]
    certificate: CallerDocument | None
    """Found by looking closely where every reading was refused; not to be believed."""
    odd: list[OddityDocument]
