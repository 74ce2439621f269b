"""When a revocation list is fetched again, and when it is said that it runs out.

A list's life is from its thisUpdate to its nextUpdate (RFC 5280 section 5.1.2). It is fetched at a steady
pace, in its last third ever more often, and when that fails, soon again. Pure: `draw` is a random number from
0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.certs.dn import name_text
from handclasp.certs.facts import date

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from handclasp.certs.material import TrustMaterial

USUAL_PACE = timedelta(hours=1)
_JITTER = 0.1
_RENEWED_AT = 2 / 3
_FIRST_RETRY = timedelta(seconds=5)
_LONGEST_RETRY = timedelta(minutes=15)
_SHORTEST = timedelta(seconds=1)
_MOST_DOUBLINGS = 20


@dataclass(frozen=True, slots=True)
class Life:
    """A list's dates; `end` is None where it names no next update."""

    begin: datetime
    end: datetime | None

    @property
    def late(self) -> datetime | None:
        """When a third of it is left."""
        return None if self.end is None else self.begin + (self.end - self.begin) * _RENEWED_AT


def shortest_life(crls: Iterable[x509.CertificateRevocationList]) -> Life | None:
    """The life of the list that ends first; None without lists."""
    lives = [Life(crl.last_update_utc, crl.next_update_utc) for crl in crls]
    ending = [(one.end, one) for one in lives if one.end is not None]
    if ending:
        return min(ending, key=lambda pair: pair[0])[1]
    return lives[0] if lives else None


def next_fetch(
    *,
    last: datetime,
    failures: int,
    every: timedelta | None,
    life: Life | None,
    draw: float,
) -> datetime:
    """When to fetch next. `last`: when it was tried; `failures`: how often in a row that failed since;
    `life`: of what was had at last."""
    pace = max(every or USUAL_PACE, _SHORTEST)
    wait = pace
    if failures:
        doubled = _FIRST_RETRY * 2 ** min(failures - 1, _MOST_DOUBLINGS)
        wait = min(pace, _LONGEST_RETRY, doubled)
    if life is not None and life.end is not None and life.late is not None:
        if last < life.late:
            wait = min(wait, max(_SHORTEST, life.late - last))
        else:
            # The next one may come at any moment now, and the end comes nearer.
            wait = min(wait, max(_SHORTEST, _closing_in(last, life.end, life.end - life.begin)))
    return last + wait * (1 - _JITTER * draw)


def _closing_in(last: datetime, end: datetime, life: timedelta) -> timedelta:
    least = min(timedelta(minutes=1), life / 30)
    return max(least, (end - last) / 5)


def running_out(trust: TrustMaterial, now: datetime) -> Iterator[str]:
    """What is to be said of lists in force that have less than a third of their life left, by CA."""
    for issuer, life in _by_issuer(trust.crls).items():
        if life.end is None or life.late is None or now < life.late:
            continue
        if now <= life.end:
            yield f"the list of '{issuer}' runs out on {date(life.end)}, and there is no newer one"
            continue
        told = f"the list of '{issuer}' ran out on {date(life.end)}"
        if trust.lists_kept is None:
            yield f"{told}: callers under it are refused"
        elif now <= (last := life.end + trust.lists_kept):
            yield f"{told} and is honoured until {date(last)} (`keep_last`)"
        else:
            yield f"{told}, and so did `keep_last` on {date(last)}: callers under it are refused"


def _by_issuer(crls: Iterable[x509.CertificateRevocationList]) -> Mapping[str, Life]:
    """The life that matters of each CA: that of its newest whole list."""
    newest: dict[str, Life] = {}
    for crl in crls:
        if any(isinstance(one.value, x509.DeltaCRLIndicator) for one in crl.extensions):
            continue
        life, name = Life(crl.last_update_utc, crl.next_update_utc), name_text(crl.issuer)
        if name not in newest or newest[name].begin < life.begin:
            newest[name] = life
    return newest
