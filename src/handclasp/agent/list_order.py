"""Which of several revocation lists of one CA is the newest, and which of them belong together. Pure.

A list is newer than another when neither its number nor its date is behind (RFC 5280 sections 5.2.3 and
5.1.2.4); where the two disagree neither is.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.agent.policies import genuine
from handclasp.certs.facts import date
from handclasp.certs.private_keys import spki

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

EARLY = timedelta(minutes=5)
"""So far the clock of a CA may be ahead of ours."""
RevocationList = x509.CertificateRevocationList
Scope = tuple[bytes, bytes, bytes, bool]
"""Whose list it is, by name and key, and for what: distribution point, and whether it is a delta."""


def age(crl: RevocationList) -> tuple[float, int]:
    """Its date and number; a list without a number is behind all that have one."""
    number = number_of(crl)
    return crl.last_update_utc.timestamp(), -1 if number is None else number


def number_of(crl: RevocationList) -> int | None:
    """RFC 5280 section 5.2.3: numbers of one CA and scope only go up."""
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None


def newest(lists: Sequence[RevocationList], now: datetime | None) -> list[RevocationList]:
    """Those that no other one is newer than; while they all have yet to begin, the last ones that did too,
    since nginx refuses everybody by a list that did not (X509_V_ERR_CRL_NOT_YET_VALID)."""
    several = list({crl.signature: crl for crl in lists}.values())
    leading = _leading(several)
    if now is None or not all(is_early(crl, now) for crl in leading):
        return leading
    return leading + _leading([crl for crl in several if not is_early(crl, now)])


def _leading(lists: Sequence[RevocationList]) -> list[RevocationList]:
    ages = [age(crl) for crl in lists]
    return [
        crl
        for crl, own in zip(lists, ages, strict=True)
        if not any(_is_behind(own, other) for other in ages)
    ]


def _is_behind(own: tuple[float, int], other: tuple[float, int]) -> bool:
    return own != other and own[0] <= other[0] and own[1] <= other[1]


def is_early(crl: RevocationList, now: datetime, beyond: timedelta = timedelta()) -> bool:
    """Whether it begins later than now, and this much."""
    return crl.last_update_utc > now + beyond


def why_barred(
    crl: RevocationList, known: Sequence[RevocationList], now: datetime | None
) -> str | None:
    """Why a list does not count beside those known, whatever its age."""
    if now is None:
        return None
    if is_early(crl, now, EARLY):
        return f"is valid from {date(crl.last_update_utc)} on; it is {date(now)} now"
    if _ended(crl, now) and any(not _ended(one, now) for one in known):
        return f"should have been replaced by {date(crl.next_update_utc or now)}"
    return None


def _ended(crl: RevocationList, now: datetime) -> bool:
    return crl.next_update_utc is not None and now > crl.next_update_utc


def why_older(crl: RevocationList, best: RevocationList) -> str:
    """What shows that a list is older than the best one."""
    number, last = number_of(crl), number_of(best)
    if number is not None and last is not None and number < last:
        return f"number {number} after {last}"
    return date(crl.last_update_utc)


def by_scope(
    crls: Iterable[RevocationList], authorities: Sequence[x509.Certificate]
) -> dict[Scope, list[RevocationList]]:
    """Those that one of the authorities signed."""
    lists: dict[Scope, list[RevocationList]] = defaultdict(list)
    for crl in crls:
        if (signer := signer_of(crl, authorities)) is not None:
            lists[_scope(signer, crl)].append(crl)
    return dict(lists)


def signer_of(
    crl: RevocationList, authorities: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    """Whose list it is, if it is one of theirs."""
    return next((one for one in authorities if genuine(one, crl)), None)


def _scope(signer: x509.Certificate, crl: RevocationList) -> Scope:
    name, key = signer.subject.public_bytes(), spki(signer.public_key())
    point, delta = b"", False
    for extension in crl.extensions:
        if isinstance(extension.value, x509.IssuingDistributionPoint):
            point = extension.value.public_bytes()
        delta = delta or isinstance(extension.value, x509.DeltaCRLIndicator)
    return name, key, point, delta


def signatures(crls: Iterable[RevocationList]) -> set[bytes]:
    """What tells lists apart."""
    return {crl.signature for crl in crls}
