"""Callers as they come: a bounded table of the certificates they present, fed by what nginx writes. Pure.

nginx writes a line per connection (nginx.render.callers_log). A line that is read twice changes nothing.
"""

from __future__ import annotations

import functools
import json
from bisect import bisect_right
from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MOST_CALLERS = 10_000
MOST_FORGOTTEN = 1000
MOST_EXAMPLES = 3
DAY = timedelta(days=1)
_GAP = DAY
"""Who did not look for longer has not watched all the time: nobody knows who came meanwhile."""
_LONGEST_NAME = 300
_FORM = "%b %d %H:%M:%S %Y GMT"  # ASN1_TIME_print(3)


@dataclass(frozen=True, slots=True)
class Caller:
    """A certificate as callers of one link presented it. Names are RFC 4514 as nginx writes them, `serial`
    hexadecimal; times are aware. The dates are None where nginx's text of them could not be read."""

    link: str
    issuer: str
    serial: str
    subject: str
    not_before: datetime | None
    not_after: datetime | None
    first_seen: datetime
    last_seen: datetime

    @property
    def key(self) -> tuple[str, str, str]:
        """By what it is known."""
        return self.link, self.issuer, self.serial


@dataclass(frozen=True, slots=True)
class Presence:
    """Those of one issuer on one link: how many were seen in the last day and within the time that was asked
    for, when the last one was, and some of them (those that have been coming for longest)."""

    link: str
    issuer: str
    last_seen: datetime
    last_day: int = 0
    within: int = 0
    examples: tuple[Caller, ...] = ()


def read_line(line: str) -> Caller | None:
    """From a line of the log; None for one that is not whole."""
    try:
        told = json.loads(line)
        at = datetime.fromtimestamp(float(told["at"]), UTC)
        named = [told[name] for name in ("link", "issuer", "serial", "subject")]
        begin, end = (_moment(told[name]) for name in ("begin", "end"))
    except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
        return None
    if not all(isinstance(one, str) for one in named) or not named[0] or not named[2]:
        return None
    link, issuer, serial, subject = named
    return Caller(link, issuer, serial, subject[:_LONGEST_NAME], begin, end, at, at)


@functools.lru_cache(4096)
def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _FORM).replace(tzinfo=UTC)
    except ValueError:
        return None


class Callers:
    """The table. When it is full, whoever was not seen for longest goes; when they of an issuer were last
    seen is kept a while longer."""

    def __init__(self, now: datetime, most: int = MOST_CALLERS) -> None:
        """Watched from `now` on."""
        self._most = most
        self._callers: OrderedDict[tuple[str, str, str], Caller] = OrderedDict()
        self._forgotten: OrderedDict[tuple[str, str], datetime] = OrderedDict()
        self._since = self._looked = now

    def __iter__(self) -> Iterator[Caller]:
        """Who was not seen for longest comes first."""
        return iter(self._callers.values())

    def __len__(self) -> int:
        """Certificates, by link."""
        return len(self._callers)

    @property
    def since(self) -> datetime:
        """From when on somebody has been watching without a gap."""
        return self._since

    def watching(self, now: datetime) -> None:
        """Somebody looks. After a gap watching begins anew, and it never began in the future."""
        if now - self._looked > _GAP:
            self._since = now
        self._since, self._looked = min(self._since, now), now

    def see(self, seen: Caller, now: datetime) -> None:
        """Adds what was read. A time ahead of the clock counts as now."""
        seen = replace(
            seen, first_seen=min(seen.first_seen, now), last_seen=min(seen.last_seen, now)
        )
        known = self._callers.get(seen.key)
        if known is not None:
            seen = replace(
                seen,
                first_seen=min(known.first_seen, seen.first_seen),
                last_seen=max(known.last_seen, seen.last_seen),
            )
        self._callers[seen.key] = seen
        self._callers.move_to_end(seen.key)
        while len(self._callers) > self._most:
            self._forget(self._callers.popitem(last=False)[1])

    def forget_before(self, moment: datetime) -> None:
        """Drops whoever was not seen since."""
        for one in [one for one in self if one.last_seen < moment]:
            del self._callers[one.key]
        for key in [key for key, last in self._forgotten.items() if last < moment]:
            del self._forgotten[key]

    def presences(self, now: datetime, within: timedelta) -> tuple[Presence, ...]:
        """By link and issuer, in the order of their names."""
        examples: dict[tuple[str, str], list[Caller]] = defaultdict(list)
        last = dict(self._forgotten)
        last_day: Counter[tuple[str, str]] = Counter()
        lately: Counter[tuple[str, str]] = Counter()
        for one in sorted(self, key=lambda one: (one.first_seen, one.subject)):
            key = one.link, one.issuer
            last[key] = max(one.last_seen, last.get(key, one.last_seen))
            last_day[key] += one.last_seen >= now - DAY
            lately[key] += one.last_seen >= now - within
            if one.last_seen >= now - within and len(examples[key]) < MOST_EXAMPLES:
                examples[key].append(one)
        return tuple(
            Presence(*key, last[key], last_day[key], lately[key], tuple(examples[key]))
            for key in sorted(last)
        )

    def current(self, now: datetime, within: timedelta = DAY) -> tuple[Caller, ...]:
        """Certificates in use: seen in the last day, or within the time that is asked for, not ended, and
        without one that took its place."""
        seen = [one for one in self if one.last_seen >= now - within]
        return tuple(
            one for one in _not_replaced(seen) if one.not_after is not None and one.not_after >= now
        )

    def as_json(self) -> str:
        """To be kept across restarts."""
        return json.dumps(
            {
                "version": 1,
                "since": self._since.timestamp(),
                "looked": self._looked.timestamp(),
                "callers": [_row(one) for one in self],
                "forgotten": [[*key, last.timestamp()] for key, last in self._forgotten.items()],
            }
        )

    @classmethod
    def from_json(cls, text: str, now: datetime, most: int = MOST_CALLERS) -> Callers:
        """What `as_json` wrote, as far as it can be read; an empty table otherwise."""
        callers = cls(now, most)
        try:
            told = json.loads(text)
            since, looked = _stamp(told["since"]), _stamp(told["looked"])
            rows = [_from_row(row) for row in told["callers"]]
            forgotten = {(str(a), str(b)): _stamp(last) for a, b, last in told["forgotten"]}
        except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
            return callers
        for row in sorted(rows, key=lambda one: one.last_seen):
            callers.see(row, now)
        callers._forgotten.update(forgotten)
        callers._since, callers._looked = since, looked
        callers.watching(now)
        return callers

    def _forget(self, gone: Caller) -> None:
        key = gone.link, gone.issuer
        last = max(gone.last_seen, self._forgotten.get(key, gone.last_seen))
        self._forgotten[key] = last
        self._forgotten.move_to_end(key)
        while len(self._forgotten) > MOST_FORGOTTEN:
            self._forgotten.popitem(last=False)


def _not_replaced(callers: Iterable[Caller]) -> Iterator[Caller]:
    """Without those that were not seen any more once another certificate of the same name and link was there
    that ends later. A caller without a name may be anybody, so none of them replaces another."""
    groups: dict[tuple[str, str], list[Caller]] = defaultdict(list)
    for one in callers:
        groups[one.link, one.subject].append(one)
    for (_, subject), group in groups.items():
        if not subject or len(group) == 1:
            yield from group
            continue
        group.sort(key=lambda one: one.first_seen)
        firsts = [one.first_seen for one in group]
        ends = [one.not_after or one.first_seen for one in group]
        latest_end = list(accumulate(reversed(ends), max))[::-1]  # of those that came then or later
        for one in group:
            later = bisect_right(firsts, one.last_seen)
            replaced = later < len(group) and one.not_after is not None
            if not (replaced and latest_end[later] > (one.not_after or one.first_seen)):
                yield one


def _row(one: Caller) -> list[Any]:
    dates = (one.not_before, one.not_after, one.first_seen, one.last_seen)
    return [
        *(one.link, one.issuer, one.serial, one.subject),
        *(None if date is None else date.timestamp() for date in dates),
    ]


def _from_row(row: list[Any]) -> Caller:
    link, issuer, serial, subject, begin, end, first, last = row
    if not all(isinstance(one, str) for one in (link, issuer, serial, subject)):
        raise TypeError("a name is no text")
    return Caller(
        *(link, issuer, serial, subject),
        None if begin is None else _stamp(begin),
        None if end is None else _stamp(end),
        _stamp(first),
        _stamp(last),
    )


def _stamp(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def soonest(callers: Iterable[Caller]) -> Mapping[str, datetime]:
    """By link when the first of these certificates ends."""
    ends: dict[str, datetime] = {}
    for one in callers:
        if one.not_after is not None:
            ends[one.link] = min(one.not_after, ends.get(one.link, one.not_after))
    return ends
