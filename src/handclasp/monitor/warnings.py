"""Which ends have to be warned of now. Each is said when it comes to a threshold and once a day from then
on, until it is renewed or gone. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from handclasp.monitor.expiring import Expiring
    from handclasp.monitor.limits import Limits
    from handclasp.spec.events import EventName

AGAIN = timedelta(days=1)


class Level(StrEnum):
    """How near an end is."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    EXPIRED = "expired"


_GRAVITY = {level: gravity for gravity, level in enumerate(Level)}


def level_of(one: Expiring, limits: Limits, now: datetime) -> Level:
    """How near its end is. A certificate's last second is notAfter itself (RFC 5280 section 4.1.2.5)."""
    own, left = limits.of(one.lifetime, renewed=one.renewed), one.not_after - now
    if left < timedelta():
        return Level.EXPIRED
    if left <= own.critical:
        return Level.CRITICAL
    return Level.WARNING if left <= own.warn else Level.OK


@dataclass(frozen=True, slots=True)
class Ending:
    """What has to be said of one end."""

    about: Expiring
    level: Level
    now: datetime

    @property
    def event(self) -> EventName:
        """Under which name hooks are told of it."""
        return "expiry-warning" if self.level is Level.WARNING else "expiry-critical"

    @property
    def sentence(self) -> str:
        """For people."""
        end = f"{self.about.not_after:%Y-%m-%d %H:%M} UTC"
        if self.level is Level.EXPIRED:
            return f"{self.about.told} has expired ({end})"
        return f"{self.about.told} expires in {_left(self.about.not_after - self.now)} ({end})"


@dataclass(frozen=True, slots=True)
class Said:
    """What was said when, by what it was about and how near the end was."""

    times: Mapping[tuple[Expiring, Level], datetime] = field(default_factory=dict)


def near(items: Iterable[Expiring], limits: Limits, now: datetime) -> tuple[Ending, ...]:
    """Every end that is near or past, the gravest and nearest first."""
    levels = ((one, level_of(one, limits, now)) for one in items)
    found = [Ending(one, level, now) for one, level in levels if level is not Level.OK]
    return tuple(sorted(found, key=lambda one: (-_GRAVITY[one.level], one.about.not_after)))


def due(present: Iterable[Ending], said: Said, now: datetime) -> tuple[tuple[Ending, ...], Said]:
    """Those of `near` that have to be said now, and what has been said then.

    What is renewed or gone is forgotten. After the clock was set by more than a day either way everything is
    said again: better twice than never.
    """
    told: list[Ending] = []
    times: dict[tuple[Expiring, Level], datetime] = {}
    for one in present:
        key = one.about, one.level
        before = said.times.get(key)
        if before is None or abs(now - before) >= AGAIN:
            told.append(one)
            before = now
        times[key] = before
    return tuple(told), Said(times)


def _left(left: timedelta) -> str:
    """Two days or more in days, two hours or more in hours, else in minutes."""
    for unit, name in ((timedelta(days=1), "days"), (timedelta(hours=1), "hours")):
        if left >= 2 * unit:
            return f"{left // unit} {name}"
    minutes = left // timedelta(minutes=1)
    return f"{minutes} minute{'' if minutes == 1 else 's'}" if minutes else "less than a minute"
