"""What ends when, and how near that is: entries, their state, and the worst first. Pure.

Certificates are in force through the second of notAfter (RFC 5280 section 4.1.2.5), revocation lists
through that of nextUpdate, as the checks of `certs` have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from handclasp.certs import facts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.monitor.limits import Limits


class Kind(StrEnum):
    """What ends."""

    CERTIFICATE = "certificate"  # a leaf
    CA = "ca"
    CRL = "crl"
    CALLER = "caller"  # a leaf that somebody else presented
    UNKNOWN = "unknown"  # nothing could be read


class State(StrEnum):
    """How near the end is."""

    OK = "ok"
    WARN = "warn"
    CRITICAL = "critical"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    UNREADABLE = "unreadable"


WORST_FIRST = (
    State.EXPIRED,
    State.NOT_YET_VALID,
    State.CRITICAL,
    State.UNREADABLE,
    State.WARN,
    State.OK,
)
"""What does not work stands before what is not known, and that before what still has time."""

_FAR = timedelta.max


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One certificate or revocation list. Times are aware; `not_after` None is a list without
    nextUpdate, which never lapses. `subject` of a list is its issuer. `sha256` None: only what nginx tells of
    a certificate is known."""

    kind: Kind
    subject: str
    not_before: datetime
    not_after: datetime | None
    sha256: str | None

    def __str__(self) -> str:
        return f"CRL of {self.subject}" if self.kind is Kind.CRL else self.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A chain (leaf first), a revocation list, or a source in which neither could be seen.

    `name` is what a spec calls it, `breaks` what stops working with it, in sentences. `problem` says why
    there are no members. `verification` is what came of verifying a remote chain: `ok`, the reason why
    not, or None where nobody asked. `renewed`: handclasp renews the leaf in time. `seen`: when a caller
    presented it last.
    """

    source: str
    members: tuple[Member, ...] = ()
    name: str | None = None
    breaks: tuple[str, ...] = ()
    problem: str | None = None
    verification: str | None = None
    renewed: bool = False
    seen: datetime | None = None

    @property
    def subject(self) -> str | None:
        """Of the leaf; a list's issuer."""
        return self.members[0].subject if self.members else None

    @property
    def kind(self) -> Kind:
        """Of the leaf."""
        return self.members[0].kind if self.members else Kind.UNKNOWN

    @property
    def place(self) -> str:
        """Where it is, in a sentence."""
        if self.name in (None, self.source):
            return self.told_source
        return f"{self.name}, {self.told_source}"

    @property
    def called(self) -> str:
        """The place, and of a link's callers which one."""
        return f"caller '{self.subject}' of {self.place}" if self.seen else self.place

    @property
    def told_source(self) -> str:
        """The source, with when it was seen there."""
        return self.source if self.seen is None else f"{self.source}, {_ago(self.seen)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An entry at a moment. `decided_by` is the member with the worst state, the first to end among
    several; `left` the time until it ends, negative when it has, and `limits` those that count for it."""

    entry: Entry
    state: State
    decided_by: Member | None = None
    left: timedelta | None = None
    limits: Limits | None = None

    @property
    def days_left(self) -> int | None:
        """Whole days: 0 on the last one, -1 from the first second after the end on."""
        return None if self.left is None else self.left.days

    @property
    def life(self) -> float | None:
        """What is left of the lifetime, from 0 to 1; None when that is not known."""
        member = self.decided_by
        if member is None or member.not_after is None or self.left is None:
            return None
        whole = member.not_after - member.not_before
        if whole <= timedelta():
            return 0.0
        return min(1.0, max(0.0, self.left / whole))


def state_of(
    not_before: datetime, not_after: datetime | None, *, now: datetime, limits: Limits
) -> State:
    """The state of one certificate or list, whose own limits these are. What has ended counts as expired,
    however it began."""
    if not_after is not None and now > not_after:
        return State.EXPIRED
    if now < not_before:
        return State.NOT_YET_VALID
    if not_after is None:
        return State.OK
    left = not_after - now
    if left <= limits.critical:
        return State.CRITICAL
    return State.WARN if left <= limits.warn else State.OK


def judge(entry: Entry, *, now: datetime, limits: Limits) -> Judged:
    """The entry's worst member decides for the whole: a chain is no longer than its shortest link."""
    if not entry.members:
        return Judged(entry=entry, state=State.UNREADABLE)

    def own(member: Member) -> Limits:
        renewed = entry.renewed and member is entry.members[0]
        end = member.not_after
        return limits if end is None else limits.of(end - member.not_before, renewed=renewed)

    def state(member: Member) -> State:
        return state_of(member.not_before, member.not_after, now=now, limits=own(member))

    def badness(member: Member) -> tuple[int, timedelta]:
        left = _left(member, now)
        return WORST_FIRST.index(state(member)), _FAR if left is None else left

    worst = min(entry.members, key=badness)
    return Judged(
        entry=entry,
        state=state(worst),
        decided_by=worst,
        left=_left(worst, now),
        limits=own(worst),
    )


def worst_first(judged: Iterable[Judged]) -> list[Judged]:
    """By state, then by the time that is left, then by place."""
    return sorted(
        judged,
        key=lambda one: (
            WORST_FIRST.index(one.state),
            _FAR if one.left is None else one.left,
            one.entry.place,
        ),
    )


def why(judged: Judged) -> str | None:
    """In a sentence what is wrong, None when nothing is; names the member that decides."""
    entry, member = judged.entry, judged.decided_by
    if member is None:
        return entry.problem
    named = f"{member}, of the same chain, " if member is not entry.members[0] else ""
    end = facts.date(member.not_after) if member.not_after else ""
    lapses = member.kind is Kind.CRL
    match judged.state:
        case State.OK:
            return None
        case State.EXPIRED:
            return f"{named}{'lapsed' if lapses else 'expired'} on {end}"
        case State.NOT_YET_VALID:
            return f"{named}is not valid before {facts.date(member.not_before)}"
        case _:
            return f"{named}{'lapses' if lapses else 'expires'} on {end}"


def _ago(seen: datetime) -> str:
    return f"last seen {seen:%Y-%m-%d %H:%M} UTC"


def _left(member: Member, now: datetime) -> timedelta | None:
    return None if member.not_after is None else member.not_after - now
