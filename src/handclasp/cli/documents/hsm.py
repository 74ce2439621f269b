"""What `handclasp hsm` prints as JSON."""

from __future__ import annotations

from pydantic import Field

from handclasp.cli.documents.model import Document
from handclasp.cli.documents.reports import FindingDocument  # noqa: TC001  pydantic looks at it


class TokenKeyDocument(Document):
    """A private key of a token."""

    label: str | None
    id: str | None
    """Hexadecimal."""
    type: str
    exposed: bool
    """It may leave the token."""


class TokenDocument(Document):
    """A token."""

    label: str
    serial: str
    manufacturer: str
    model: str
    pin_locked: bool
    pin_tries_low: bool
    keys: list[TokenKeyDocument] = Field(default_factory=list)
    """Private keys; they show with the PIN only."""
    public_keys: int = 0
    logged_in: bool = False
    """The PIN was given to this one."""


class TokensDocument(Document):
    """`handclasp hsm list --format json`."""

    module: str
    logged_in: bool
    """Into one of them: a PIN is tried on one token only."""
    tokens: list[TokenDocument]
    findings: list[FindingDocument]


class StepDocument(Document):
    """One step that succeeded."""

    step: str
    seen: str


class TokenCheckDocument(Document):
    """`handclasp hsm check --format json`."""

    ok: bool
    steps: list[StepDocument]
    findings: list[FindingDocument]
