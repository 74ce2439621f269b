"""The table, the timeline and the JSON."""

from __future__ import annotations

import math
import sys
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.output import echo_json, printable, table
from handclasp.monitor.bars import bar
from handclasp.monitor.expiry import Kind, State, why
from handclasp.monitor.timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from handclasp.monitor.expiry import Judged, Member
    from handclasp.monitor.timeline import Event

_HEAD = ("STATE", "DAYS", "LIFE LEFT", "ENDS", "KIND", "SUBJECT", "SOURCE")
_DAY = timedelta(days=1)
_COLOURS = {
    State.OK: "green",
    State.WARN: "yellow",
    State.CRITICAL: "red",
    State.EXPIRED: "red",
    State.NOT_YET_VALID: "red",
    State.UNREADABLE: "magenta",
}


class Report:
    """What was judged, for people or for programs."""

    def __init__(
        self, judged: Sequence[Judged], *, now: datetime, timeline: bool, until: datetime | None
    ) -> None:
        self.judged = judged
        self.now = now
        self.timeline = timeline
        self.until = until

    def _events(self) -> list[Event]:
        entries = [one.entry for one in self.judged]
        return timeline(entries, now=self.now, until=self.until)

    def print_json(self) -> None:
        document: dict[str, Any] = {"certificates": [_record(one) for one in self.judged]}
        if self.timeline:
            document["timeline"] = [_event(one) for one in self._events()]
        echo_json(document)

    def print_text(self) -> None:
        if self.timeline:
            events = self._events()
            for event in events:
                click.echo(printable(str(event)))
            if not events:
                end = f" until {self.until:%Y-%m-%d}" if self.until else ""
                click.echo(f"nothing that could be read ends{end}", err=True)
            unread = [one for one in self.judged if one.state is State.UNREADABLE]
            for one in unread:
                click.echo(printable(f"{one.entry.place}: {one.entry.problem}"), err=True)
            return
        self._print_table()
        for one in self.judged:
            for note in _notes(one):
                click.echo(printable(f"{one.entry.called}: {note}"))
        counts = Counter(one.state for one in self.judged)
        told = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
        click.echo(f"{len(self.judged)} looked at: {told}")

    def _print_table(self) -> None:
        rows = [_HEAD, *map(_row, self.judged)]
        head, *lines = table(rows).splitlines()
        click.echo(head)
        for one, line in zip(self.judged, lines, strict=True):
            if sys.stdout.isatty():
                told = click.style(one.state.value, fg=_COLOURS[one.state], bold=True)
                click.echo(told + line[len(one.state.value) :])
            else:
                click.echo(line)


def _row(one: Judged) -> tuple[str, ...]:
    entry, member = one.entry, one.decided_by
    end = member.not_after if member else None
    # A line end in a name would be another row.
    return (
        one.state.value,
        _days(one),
        bar(one.life),
        f"{end:%Y-%m-%d %H:%M}" if end else "never" if member else "-",
        "-" if entry.kind is Kind.UNKNOWN else entry.kind.value,
        printable(entry.subject or "-").replace("\n", "\\n"),
        printable(entry.place).replace("\n", "\\n"),
    )


def _days(one: Judged) -> str:
    """Whole ones; a certificate of a day would have none left all its life, so the last two have tenths."""
    if one.left is None:
        return "-"
    if timedelta() <= one.left < 2 * _DAY:
        return f"{math.floor(one.left / _DAY * 10) / 10:.1f}"
    return str(one.days_left)


def _notes(one: Judged) -> list[str]:
    """What the row does not say."""
    notes = []
    entry = one.entry
    if one.state is State.UNREADABLE or (one.decided_by and one.decided_by is not entry.members[0]):
        told = why(one)
        notes += [told] if told else []
    if one.state is not State.OK and entry.members and entry.breaks:
        begins = "then " if one.state in (State.WARN, State.CRITICAL) else ""
        notes.append(begins + "; ".join(entry.breaks))
    if entry.verification not in (None, "ok"):
        notes.append(f"it is not verified: {entry.verification}")
    return notes


def _record(one: Judged) -> dict[str, Any]:
    entry, decided = one.entry, one.decided_by
    end = decided.not_after if decided else None
    return {
        "source": entry.told_source,
        "name": entry.name,
        "kind": entry.kind.value,
        "subject": entry.subject,
        "not_before": decided.not_before.isoformat() if decided else None,
        "not_after": end.isoformat() if end else None,
        "days_left": one.days_left,
        "state": one.state.value,
        "reason": why(one),
        "decided_by": decided.subject if decided else None,
        "sha256": entry.members[0].sha256 if entry.members else None,
        "chain": [_member(member) for member in entry.members],
        "breaks": list(entry.breaks),
        "verification": entry.verification,
        "last_seen": entry.seen.isoformat() if entry.seen else None,
    }


def _member(member: Member) -> dict[str, Any]:
    return {
        "kind": member.kind.value,
        "subject": member.subject,
        "not_before": member.not_before.isoformat(),
        "not_after": member.not_after.isoformat() if member.not_after else None,
        "sha256": member.sha256,
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "at": event.at.isoformat(),
        "starts": event.starts,
        "source": event.entry.told_source,
        "name": event.entry.name,
        "subject": event.member.subject,
        "what": event.what,
        "breaks": list(event.entry.breaks),
    }
