"""What breaks when, in order. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.monitor.expiry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from handclasp.monitor.expiry import Entry, Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One end (or, for what is not valid yet, one beginning). `what` is a sentence without date."""

    at: datetime
    entry: Entry
    member: Member
    what: str
    starts: bool = False

    def __str__(self) -> str:
        breaks = "; ".join(self.entry.breaks)
        if not breaks:
            return f"{self.at:%Y-%m-%d}: {self.what}"
        return f"{self.at:%Y-%m-%d}: {self.what}: {'until then ' if self.starts else ''}{breaks}"


def timeline(
    entries: Iterable[Entry], *, now: datetime, until: datetime | None = None
) -> list[Event]:
    """The events of every member of every entry up to `until`, in order of time; what has ended before
    `now` comes first, said in the past. What could not be read has no dates and is not in it."""
    events = [event for entry in entries for event in _events(entry, now)]
    return sorted(
        (one for one in events if until is None or one.at <= until),
        key=lambda one: (one.at, one.entry.place, one.member.subject),
    )


def _events(entry: Entry, now: datetime) -> Iterator[Event]:
    for member in entry.members:
        called = _called(entry, member)
        if now < member.not_before:
            what = f"{called} becomes valid"
            yield Event(at=member.not_before, entry=entry, member=member, what=what, starts=True)
        if member.not_after is not None:
            over = now > member.not_after
            what = f"{called} {_verb(member, over=over)}"
            if entry.renewed and member is entry.members[0] and not over:
                what += " unless it is renewed"
            yield Event(at=member.not_after, entry=entry, member=member, what=what)


_KINDS = {Kind.CA: "CA", Kind.CRL: "CRL of", Kind.CALLER: "caller"}


def _verb(member: Member, *, over: bool) -> str:
    if member.kind is Kind.CRL:
        return "lapsed" if over else "lapses"
    return "expired" if over else "expires"


def _called(entry: Entry, member: Member) -> str:
    """`identity svc-b`, `CA 'CN=…' of identity svc-b`, `certificate 'CN=…' of client.pem`."""
    if entry.name and member is entry.members[0] and member.kind is Kind.CERTIFICATE:
        return entry.name
    kind = _KINDS.get(member.kind, "certificate")
    return f"{kind} '{member.subject}' of {entry.name or entry.source}"
