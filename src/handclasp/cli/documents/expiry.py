"""What `handclasp expiry` prints as JSON."""

from __future__ import annotations

from typing import Literal

from handclasp.cli.documents.model import Document

StateName = Literal["ok", "warn", "critical", "expired", "not-yet-valid", "unreadable"]


class MemberDocument(Document):
    """One certificate of a chain, or a revocation list."""

    kind: Literal["certificate", "ca", "crl", "caller"]
    subject: str
    """RFC 4514; of a revocation list its issuer."""
    not_before: str
    """ISO 8601, UTC; of a revocation list its thisUpdate."""
    not_after: str | None
    """ISO 8601, UTC; of a revocation list its nextUpdate, null when it has none."""
    sha256: str | None
    """Hexadecimal; null where only a name and dates are known, as of callers."""


class ExpiryRecordDocument(Document):
    """A chain, a revocation list, or a source that could not be read."""

    source: str
    """File, or server as it was written; of a caller the link, and when it was seen there last."""
    name: str | None
    """What the spec calls it, as `identity svc-b`; of a caller the link."""
    kind: Literal["certificate", "ca", "crl", "caller", "unknown"]
    """Of the leaf; `unknown` when it could not be read; `caller` when a caller presented it."""
    subject: str | None
    """Of the leaf; null when it could not be read."""
    not_before: str | None
    """ISO 8601, UTC, of the member that decides."""
    not_after: str | None
    """ISO 8601, UTC, of the member that decides; null when it could not be read or never ends."""
    days_left: int | None
    """Whole days; negative when it is over."""
    state: StateName
    reason: str | None
    """Why the state is not `ok`."""
    decided_by: str | None
    """Subject of the member whose state is the worst."""
    sha256: str | None
    """Fingerprint of the leaf or the list, hexadecimal; null for callers."""
    chain: list[MemberDocument]
    """Leaf first."""
    breaks: list[str]
    """What stops working when it ends, as far as a spec tells."""
    verification: str | None
    """`ok`, or why the served chain does not verify; null when nothing was to verify it with."""
    last_seen: str | None
    """ISO 8601, UTC: when a caller presented it last; null for all else."""


class EventDocument(Document):
    """One thing that ends or begins."""

    at: str
    """ISO 8601, UTC."""
    starts: bool
    """It becomes valid, instead of ending."""
    source: str
    name: str | None
    subject: str
    what: str
    breaks: list[str]


class ExpiryDocument(Document):
    """`handclasp expiry --format json`."""

    certificates: list[ExpiryRecordDocument]
    """Worst first."""
    timeline: list[EventDocument] | None = None
    """With --timeline: earliest first."""
