"""When to ask an issuer, when to ask it again, and when to raise an alarm. Pure.

Dates are those of certificates, so wall time, asked anew at each look: a clock that jumps makes something due
sooner or later, and nothing is forgotten. Waits after a failure are durations, counted by monotonic time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

DUE = 2 / 3
"""Of the lifetime: as Let's Encrypt advises, and cert-manager and SPIRE (one half) do it."""
JITTER = 1 / 20
"""Of the lifetime: up to this much sooner, so that what was issued at once is not renewed at once."""
FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(hours=1)
SHORTEST_WAIT = timedelta(seconds=1)
PERMANENT_WAIT = timedelta(minutes=15)
"""At least, where asking again will not help by itself."""
AFTER_THE_END = timedelta(minutes=1)
"""Once nothing is left there is nothing to be saved by waiting longer."""
ALARMS = (1 / 3, 1 / 6, 1 / 12, 1 / 24)
"""What is left of the lifetime when somebody should know that renewing fails."""
_LONGEST_OBEDIENCE = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The time in which a certificate can be used (aware UTC): from when it was had to its end, or that
    of a CA above it. The begin is not notBefore, which issuers set back."""

    begin: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """Never negative."""
        return max(self.end - self.begin, timedelta())

    def left(self, now: datetime) -> timedelta:
        """Until the end; negative after it."""
        return self.end - now


def renewal_due(span: Span, *, seed: str, asked: datetime | None = None) -> datetime:
    """When the issuer is to be asked for the next one (aware UTC).

    `seed` spreads identities: the same one gives the same moment. `asked` is the issuer's own wish (ARI,
    RFC 9773), followed where it lies within the span and leaves a tenth of it.
    """
    if asked is not None:
        latest = span.begin + span.length * 9 / 10
        if span.begin <= asked:
            return min(asked.astimezone(UTC), latest)
    return span.begin + span.length * (DUE - JITTER * fraction(f"{seed} {span.end.isoformat()}"))


def wait_after(
    failures: int,
    *,
    seed: str,
    left: timedelta | None,
    retry_after: timedelta | None = None,
    permanent: bool = False,
) -> timedelta:
    """How long to wait after the `failures`th failure in a row (1 or more).

    `left` until what is held ends; None where nothing is held. Doubled each time from FIRST_WAIT on, with
    up to a quarter taken off, at most an eighth of what is left and an hour; the issuer's own `retry_after`
    goes first, unless it is beyond the end of what is held.
    """
    doubled = FIRST_WAIT * 2 ** min(failures - 1, 16)
    over = left is None or left <= timedelta()
    ceiling = AFTER_THE_END if left is None or over else min(LONGEST_WAIT, left / 8)
    if permanent:
        doubled = max(doubled, PERMANENT_WAIT)
        ceiling = max(ceiling, min(PERMANENT_WAIT, LONGEST_WAIT if left is None else left / 4))
    wait: timedelta = min(doubled, ceiling) * (1 - fraction(f"{seed} {failures}") / 4)
    if retry_after is not None:
        bound = _LONGEST_OBEDIENCE if left is None or over else left / 2
        wait = max(wait, min(retry_after, bound, _LONGEST_OBEDIENCE))
    return max(wait, SHORTEST_WAIT)


def alarm(span: Span, now: datetime) -> int:
    """How many of ALARMS have gone off for something that cannot be renewed; one more once it has ended."""
    left = span.left(now)
    if left <= timedelta():
        return len(ALARMS) + 1
    return sum(1 for share in ALARMS if left < span.length * share)


def fraction(seed: str) -> float:
    """From 0 to 1, the same for the same seed."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big") / 2**64
