"""Two CAs at once: who would be refused without the old one, and from when on it can go. Pure.

nginx tells a caller's issuer by name alone. From there the way up goes by the CAs that are known: those of
the trust, and those named in `clients.intermediates`. Where two CAs have one name, its callers may be of
either, and an issuer that is not known may be below any: both are held against dropping, never for it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from handclasp.certs.chain import issued_by, self_signed
from handclasp.certs.dn import issuer_text, subject_text
from handclasp.certs.private_keys import UNREADABLE, spki
from handclasp.findings import Finding, found
from handclasp.identity.names import loose_key
from handclasp.spec.quantities import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from cryptography import x509

    from handclasp.monitor.callers import Caller, Presence

MOST_NAMED = 3
_REMEDY = "name its file in clients.intermediates"
CaId = tuple[str, str]
"""Name (as it compares) and digest of the key: a CA that was renewed with its key is the same one."""


@dataclass(frozen=True, slots=True)
class Authorities:
    """The CAs that one link knows, and how they are above one another."""

    trusted: Mapping[
        CaId, x509.Certificate
    ]  # of several certificates of a CA the one that ends last
    between: frozenset[CaId]
    _above: Mapping[CaId, frozenset[CaId]]
    _roots: frozenset[CaId]
    _by_name: Mapping[str, tuple[CaId, ...]]

    @classmethod
    def of(
        cls, trusted: Sequence[x509.Certificate], between: Sequence[x509.Certificate] = ()
    ) -> Authorities:
        """`trusted` are the certificates of the trust, `between` the intermediates known beside them."""
        named: dict[CaId, x509.Certificate] = {}
        for one in sorted(trusted, key=lambda one: one.not_valid_after_utc):
            named[_id(one)] = one
        by_name: dict[str, list[x509.Certificate]] = defaultdict(list)
        every = (*trusted, *between)
        for one in every:
            by_name[loose_key(subject_text(one))].append(one)
        above: dict[CaId, set[CaId]] = defaultdict(set)
        for one in every:
            candidates = by_name.get(_issuer_key(one), ())
            above[_id(one)] |= {_id(up) for up in candidates if up != one and issued_by(one, up)}
        return cls(
            named,
            frozenset(map(_id, between)),
            {ca: frozenset(ups) for ca, ups in above.items()},
            frozenset(_id(one) for one in trusted if self_signed(one)),
            {name: tuple(dict.fromkeys(map(_id, ones))) for name, ones in by_name.items()},
        )

    def without(self, ca: CaId) -> Authorities:
        """As if the trust did not hold it."""
        trusted = {one: certificate for one, certificate in self.trusted.items() if one != ca}
        return replace(self, trusted=trusted, _roots=self._roots - {ca})

    def named(self, issuer: str) -> tuple[CaId, ...]:
        """The CAs of this name (RFC 4514)."""
        named = self._by_name.get(loose_key(issuer), ())
        return tuple(ca for ca in named if ca in self.trusted or ca in self.between)

    def over(self, ca: CaId) -> frozenset[CaId]:
        """It, and all that are known above it."""
        seen, pending = set(), [ca]
        while pending:
            one = pending.pop()
            if one not in seen and (one in self.trusted or one in self.between):
                seen.add(one)
                pending += self._above.get(one, ())
        return frozenset(seen)

    def reached(self, ca: CaId) -> bool:
        """Whether there is a way from it up to a root that is trusted, over CAs that are known."""
        return not self._roots.isdisjoint(self.over(ca))


Change = tuple[Authorities, Authorities, "Iterable[Presence]"]
"""Of one link: what it knew, what it would know, and who comes."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Callers of one issuer that would be refused, or may be where `known` is false."""

    presence: Presence
    known: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """One CA of a trust that holds several: who comes under it, and from when on it can be dropped.

    `last_day` and `within` count certificates that would be refused without it, `examples` are the
    subjects of some; `unknown` names issuers that
    may be below it. `alike`: another CA of the trust has its name.
    """

    subject: str
    not_after: datetime
    last_day: int
    within: int
    examples: tuple[str, ...]
    last_seen: datetime | None
    safe_from: datetime
    unknown: tuple[str, ...]
    alike: bool


def lost(
    before: Authorities, after: Authorities, presences: Iterable[Presence]
) -> tuple[Lost, ...]:
    """Whose callers the one lets in and the other does not, as far as CAs of the trust have gone."""
    if not before.trusted.keys() - after.trusted.keys():
        return ()
    return tuple(
        Lost(presence, known=bool(before.named(presence.issuer)))
        for presence in presences
        if _is_lost(before, after, presence.issuer)
    )


def _is_lost(before: Authorities, after: Authorities, issuer: str) -> bool:
    candidates = before.named(issuer)
    if candidates:
        return any(before.reached(one) and not after.reached(one) for one in candidates)
    return not any(after.reached(one) for one in after.named(issuer))


def standings(
    links: Mapping[str, Authorities],
    presences: Iterable[Presence],
    *,
    since: datetime,
    overlap: timedelta,
) -> tuple[Standing, ...]:
    """Of the CAs of one trust, the first to end first; none where it holds one only. `links` use it."""
    trusted = {ca: one for known in links.values() for ca, one in known.trusted.items()}
    if len(trusted) < 2:
        return ()
    by_link: dict[str, list[Presence]] = defaultdict(list)
    for one in presences:
        by_link[one.link].append(one)
    names = [name for name, _ in trusted]
    found_here = []
    for ca, certificate in trusted.items():
        gone = [
            one
            for link, known in links.items()
            for one in lost(known, known.without(ca), _maybe_below(ca, known, by_link[link]))
        ]
        below = [one.presence for one in gone if one.known]
        last = max((one.last_seen for one in below), default=None)
        held = max((one.presence.last_seen for one in gone), default=since)
        found_here.append(
            Standing(
                subject=subject_text(certificate),
                not_after=certificate.not_valid_after_utc,
                last_day=sum(one.last_day for one in below),
                within=sum(one.within for one in below),
                examples=_examples(below),
                last_seen=last,
                safe_from=max(held, since) + overlap,
                unknown=tuple(sorted({one.presence.issuer for one in gone if not one.known})),
                alike=names.count(ca[0]) > 1,
            )
        )
    return tuple(found_here)


def _examples(presences: Iterable[Presence]) -> tuple[str, ...]:
    callers = (caller for one in presences for caller in one.examples)
    return tuple(dict.fromkeys(map(_name, callers)))[:MOST_NAMED]


def _name(caller: Caller) -> str:
    return caller.subject or f"serial {caller.serial}"


def _maybe_below(ca: CaId, known: Authorities, presences: Iterable[Presence]) -> Iterator[Presence]:
    for one in presences:
        named = known.named(one.issuer)
        if not named or any(ca in known.over(up) for up in named):
            yield one


def still_presented(
    trust: str,
    changed: Iterable[Change],
    *,
    now: datetime,
    overlap: timedelta,
    whole: bool = False,
) -> Finding | None:
    """A finding when CAs go from a trust that callers have come under within `overlap`; `changed` are the
    links that use it. `whole`: the spec is to be taken, and not the files of the trust alone."""
    gone: dict[CaId, x509.Certificate] = {}
    refused: list[Lost] = []
    for before, after, presences in changed:
        lately = [one for one in presences if one.last_seen >= now - overlap]
        if here := lost(before, after, lately):
            refused += here
            dropped = before.trusted.keys() - after.trusted.keys()
            gone |= {ca: before.trusted[ca] for ca in dropped}
    if not refused:
        return None
    what = "" if whole else f"'trust {trust}' "
    cas = " and ".join(subject_text(one) for one in list(gone.values())[:3])
    return found(
        "ca-still-presented",
        f"{cas} would go from trust {trust!r}, but within the last {duration_text(overlap)} callers came"
        f" under it: {_who(refused)}",
        fix=f"Wait until they have certificates of another CA (`handclasp status` says from when on it is"
        f" safe); or take it all the same: handclasp take {what}--force",
    )


def _who(refused: Sequence[Lost]) -> str:
    latest = sorted(refused, key=lambda one: one.presence.last_seen, reverse=True)
    told = [_sentence(one) for one in latest[:3]]
    if len(latest) > len(told):
        told.append(f"callers of {len(latest) - len(told)} more issuers or links")
    return "; ".join(told)


def _sentence(one: Lost) -> str:
    # The day and no more: the sentence is said again whenever it changes.
    presence = one.presence
    names = ", ".join(map(_name, presence.examples))
    more = presence.within - len(presence.examples)
    others = f" and {more} more" if more > 0 else ""
    unknown = (
        "" if one.known else f" (their issuer {presence.issuer!r} is not known here: {_REMEDY})"
    )
    who = f"{names}{others}" if names else f"callers issued by {presence.issuer!r}"
    return f"{who} on link {presence.link}{unknown}, last on {presence.last_seen:%Y-%m-%d}"


def _id(certificate: x509.Certificate) -> CaId:
    try:
        key = spki(certificate.public_key())
    except UNREADABLE:
        key = certificate.signature
    return loose_key(subject_text(certificate)), hashlib.sha256(key).hexdigest()


def _issuer_key(certificate: x509.Certificate) -> str:
    return loose_key(issuer_text(certificate))
