"""Entries at chosen distances from one moment, without any certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from handclasp.monitor.expiry import Entry, Kind, Member
from handclasp.monitor.limits import Limits

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
DAY = timedelta(days=1)
LIMITS = Limits()


def member(
    left: timedelta | None,
    *,
    kind: Kind = Kind.CERTIFICATE,
    subject: str = "CN=svc-b",
    begun: timedelta = 700 * DAY,
) -> Member:
    """It ends `left` from NOW on, and began `begun` before."""
    return Member(
        kind=kind,
        subject=subject,
        not_before=NOW - begun,
        not_after=None if left is None else NOW + left,
        sha256="00" * 32,
    )


def entry(*members: Member, source: str = "svc-b.pem", **more: object) -> Entry:
    return Entry(source=source, members=members, **more)  # type: ignore[arg-type]
