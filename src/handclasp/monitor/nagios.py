"""One line and one exit status for Nagios, Icinga and their kin. Pure.

Monitoring Plugins Development Guidelines, "Plugin Output for Nagios" and "Performance data".
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING

from handclasp.monitor.expiry import State, why, worst_first

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handclasp.monitor.expiry import Judged

_LONGEST = 300  # characters of what is said of the worst; plugins' first lines are cut at some KiB


class Status(IntEnum):
    """The plugin's exit status."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_STATUS = {
    State.OK: Status.OK,
    State.WARN: Status.WARNING,
    State.CRITICAL: Status.CRITICAL,
    State.EXPIRED: Status.CRITICAL,
    State.NOT_YET_VALID: Status.CRITICAL,
    State.UNREADABLE: Status.UNKNOWN,
}
# What is surely broken is told before what is unknown, and that before what has time.
_GRAVEST_FIRST = (Status.CRITICAL, Status.UNKNOWN, Status.WARNING, Status.OK)


def status_of(judged: Sequence[Judged]) -> Status:
    """The gravest there is. Nothing at all is unknown, never fine."""
    if not judged:
        return Status.UNKNOWN
    return min((_STATUS[one.state] for one in judged), key=_GRAVEST_FIRST.index)


def line(judged: Sequence[Judged]) -> str:
    """`HANDCLASP CRITICAL - 1 critical, 9 ok; …|'nearest'=6d;30:;7: …`.

    Performance data are the days until the nearest end, and how many there are in each state: their
    number does not grow with the sources.
    """
    status = status_of(judged)
    if not judged:
        return unknown("there was nothing to look at")
    counts = Counter(one.state for one in judged)
    told = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    worst = worst_first(judged)[0]
    if (reason := why(worst)) is not None:
        told += f"; {_worst(worst)}{reason}"
    data = [*_nearest(judged), *(f"'{state}'={counts[state]};;;0" for state in State)]
    return f"HANDCLASP {status.name} - {_plain(told)}|{' '.join(data)}"


def unknown(reason: str) -> str:
    """The line for when nothing could be looked at."""
    return f"HANDCLASP {Status.UNKNOWN.name} - {_plain(reason)}"


def _nearest(judged: Sequence[Judged]) -> Iterator[str]:
    """With its own limits: below them is where it becomes a warning, and critical."""
    ends = [(one.left, one.limits) for one in judged if one.left is not None and one.limits]
    if ends:
        left, own = min(ends, key=lambda end: end[0])
        yield f"'nearest'={_days(left)};{_days(own.warn)}:;{_days(own.critical)}:"


def _worst(worst: Judged) -> str:
    entry = worst.entry
    subject = f" '{entry.subject}'" if entry.subject and not entry.seen else ""
    return f"{entry.called}{subject}: "


def _plain(text: str) -> str:
    """One line; a bar would begin the performance data."""
    shown = "".join(one if one.isprintable() else " " for one in text).replace("|", "/")
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):.2f}".rstrip("0").rstrip(".")
