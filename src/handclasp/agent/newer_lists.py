"""Which revocation lists are in force when others come: of each CA and scope its newest, and never fewer by
mistake. Pure.

What is newer says `list_order`. Where number and date disagree both lists stay, and what either names is
refused; so the outcome does not depend on the order in which lists come. A CA keeps the list it had while its
next one is missing, is not signed by it, is older, or begins in the future.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from handclasp.agent.list_order import (
    EARLY,
    RevocationList,
    age,
    by_scope,
    is_early,
    newest,
    number_of,
    signatures,
    signer_of,
    why_barred,
    why_older,
)
from handclasp.certs.dn import name_text
from handclasp.certs.facts import date
from handclasp.certs.list_scopes import partition
from handclasp.identity.denied import denied_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import PurePath

    from cryptography import x509

    from handclasp.certs.material import TrustMaterial


@dataclass(frozen=True, slots=True)
class Newer:
    """Lists to be in force from now on. `names_more`: they name certificates that those before did not."""

    trust: TrustMaterial
    names_more: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What became of files that changed. `newer` is None when nothing has to be done; `problems` are
    sentences on what was not taken; `again`: when that may be another one, though no file changes."""

    newer: Newer | None
    problems: tuple[str, ...]
    again: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Merged:
    """Lists by scope, why those that came are not all of them, and those of them that are too early."""

    lists: tuple[RevocationList, ...]
    problems: tuple[str, ...]
    early: tuple[RevocationList, ...]


def take(
    before: TrustMaterial,
    fresh: TrustMaterial,
    authorities: Sequence[x509.Certificate],
    *,
    now: datetime | None = None,
) -> Found:
    """The lists of `fresh`, those of `before` where it has none as good.

    With `now` none counts that begins later than that, beyond `EARLY`, nor one that has run out where one
    before has not.
    """
    merged = _merge(before, fresh, authorities, now)
    problems = (*_strangers(before, fresh, authorities), *merged.problems)
    again = min((crl.last_update_utc for crl in merged.early), default=None)
    after = _both_of(before, fresh, merged.lists)
    return Found(news(before, after, authorities), problems, again)


def news(
    before: TrustMaterial, after: TrustMaterial, authorities: Sequence[x509.Certificate]
) -> Newer | None:
    """What is another one, where the lists that count are not the same."""
    earlier = [crl for lists in by_scope(before.crls, authorities).values() for crl in lists]
    if signatures(after.crls) == signatures(earlier) and after.withdrawn == before.withdrawn:
        return None
    named = denied_by(after.crls).serials | after.withdrawn
    return Newer(after, bool(named - denied_by(earlier).serials - before.withdrawn))


def held(
    before: TrustMaterial,
    fresh: TrustMaterial,
    authorities: Sequence[x509.Certificate],
    *,
    now: datetime,
) -> tuple[TrustMaterial, tuple[str, ...]]:
    """`fresh` with the lists of before in place of those that are not as good, and why, as in `take`. What
    of `fresh` has nothing to be compared with stays, whatever is wrong with it: that is for checks to say."""
    merged = _merge(before, fresh, authorities, now)
    if not merged.problems:
        return fresh, ()
    scopes = by_scope(before.crls, authorities)
    judged = [
        crl
        for scope, lists in by_scope(fresh.crls, authorities).items()
        if scope in scopes
        for crl in lists
    ]
    compared = signatures(judged) | signatures(merged.lists)
    rest = [crl for crl in fresh.crls if crl.signature not in compared]
    return with_lists(fresh, (*merged.lists, *rest), (fresh, before)), merged.problems


def joined(
    one: TrustMaterial,
    other: TrustMaterial,
    authorities: Sequence[x509.Certificate],
    *,
    now: datetime,
) -> TrustMaterial:
    """`one` with the newest lists of both, and what is withdrawn by either: the same whichever came first."""
    lists: list[RevocationList] = []
    scopes = by_scope((*one.crls, *other.crls), authorities)
    for several in scopes.values():
        lists += newest(several, now)
    if signatures(lists) == signatures(one.crls) and other.withdrawn <= one.withdrawn:
        return one
    return _both_of(one, other, lists)


def _both_of(
    one: TrustMaterial, other: TrustMaterial, lists: Sequence[RevocationList]
) -> TrustMaterial:
    # A revocation is never taken back, and while a ledger cannot be read it still holds.
    withdrawn = one.withdrawn | other.withdrawn
    return replace(with_lists(one, lists, (other, one)), withdrawn=withdrawn)


def with_lists(
    trust: TrustMaterial, crls: Sequence[RevocationList], sources: Iterable[TrustMaterial]
) -> TrustMaterial:
    """The trust with these lists. The files they came from are known as far as `sources` know them."""
    known = {
        crl.signature: file
        for source in reversed(tuple(sources))
        for crl, file in zip(source.crls, source.crl_files, strict=False)
    }
    files = [known[crl.signature] for crl in crls if crl.signature in known]
    whole = len(files) == len(crls)
    return replace(trust, crls=tuple(crls), crl_files=tuple(files) if whole else ())


def _strangers(
    before: TrustMaterial, fresh: TrustMaterial, authorities: Sequence[x509.Certificate]
) -> Iterator[str]:
    """Lists that say nothing, unless they said nothing before."""
    told = signatures(before.crls)
    for crl in fresh.crls:
        if crl.signature not in told and signer_of(crl, authorities) is None:
            yield f"the list of '{name_text(crl.issuer)}'{_in(fresh, crl)} was signed by no CA known here"


def _merge(
    before: TrustMaterial,
    fresh: TrustMaterial,
    authorities: Sequence[x509.Certificate],
    now: datetime | None,
) -> _Merged:
    old, new = by_scope(before.crls, authorities), by_scope(fresh.crls, authorities)
    lists: list[RevocationList] = []
    problems: list[str] = []
    early: list[RevocationList] = []
    for scope in dict.fromkeys((*new, *old)):
        known, came = old.get(scope, []), new.get(scope, [])
        reasons = {id(crl): why_barred(crl, known, now) for crl in came}
        stay = newest([*known, *(crl for crl in came if reasons[id(crl)] is None)], now)
        lists += stay
        early += [crl for crl in came if now is not None and is_early(crl, now, EARLY)]
        problems += _told(fresh, known, came, stay, reasons)
    return _Merged(tuple(lists), tuple(problems), tuple(early))


def _told(
    fresh: TrustMaterial,
    known: Sequence[RevocationList],
    came: Sequence[RevocationList],
    stay: Sequence[RevocationList],
    reasons: Mapping[int, str | None],
) -> Iterator[str]:
    """Why those that came are not all that stays."""
    staying, coming = signatures(stay), signatures(came)
    if not came:
        looked = sorted({str(file) for file in fresh.crl_files or fresh.files})
        among = f" among {', '.join(looked)}" if looked else ""
        yield f"{_last(known[0])} stays in force: no other one that it signed is there{among}"
        return
    for crl in came:
        if (why := reasons[id(crl)]) is not None:
            lead = f"{_last(known[0])} stays in force: that" if known else _of("the list", crl)
            yield f"{lead}{_in(fresh, crl) or ' in the file'} {why}"
        elif crl.signature not in staying and not coming & staying:
            best = max(stay, key=age)
            older = why_older(crl, best)
            yield f"{_last(best)} stays in force: that{_in(fresh, crl) or ' in the file'} is older ({older})"
    for crl in stay:
        if crl.signature not in coming and coming & staying:
            other = next(one for one in came if one.signature in staying)
            beside = f"beside that{_in(fresh, other) or ' in the file'}"
            yield f"{_last(crl)} stays in force {beside}: {_both(crl, other)}"


def _both(one: RevocationList, other: RevocationList) -> str:
    """Why a list and the one that came count both."""
    if newest([one, other], None) == [other]:
        return f"that begins {date(other.last_update_utc)}"
    return (
        f"number {number_of(one)} of {date(one.last_update_utc)} and number {number_of(other)} of"
        f" {date(other.last_update_utc)}, none is the newer one, and what either names is refused"
    )


def _last(crl: RevocationList) -> str:
    return _of("the last list", crl)


def _of(what: str, crl: RevocationList) -> str:
    point = partition(crl)
    return f"{what} of '{name_text(crl.issuer)}'{f' for {point}' if point else ''}"


def _in(trust: TrustMaterial, crl: RevocationList) -> str:
    file = file_of(trust, crl)
    return f" in {file}" if file is not None else ""


def file_of(trust: TrustMaterial, crl: RevocationList) -> PurePath | None:
    """The file that a list came from, if that is known."""
    pairs = zip(trust.crls, trust.crl_files, strict=False)
    return next((file for one, file in pairs if one.signature == crl.signature), None)
