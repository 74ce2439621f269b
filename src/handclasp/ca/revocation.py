"""Revocation lists (RFC 5280 section 5). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.ca.profile import BACKDATED, digest_for, key_identifier

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from handclasp.ca.profile import Signer


class Reason(StrEnum):
    """Why a certificate is revoked, in RFC 5280's words (section 5.3.1).

    `certificateHold` is left out: what is taken back later makes every log in between doubtful.
    """

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    CA_COMPROMISE = "cACompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """One entry of a list."""

    serial: int
    at: datetime
    reason: Reason


def revocation_list(
    signer: Signer,
    revoked: Iterable[Revoked],
    *,
    number: int,
    now: datetime,
    next_update: timedelta,
) -> x509.CertificateRevocationList:
    """The list of one CA. Like certificates it begins a little before `now`; what was revoked since that
    begin is dated to it, for no entry may be younger than its list (section 5.1.2.4)."""
    begin = now - BACKDATED
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(signer.certificate.subject)
        .last_update(begin)
        .next_update(now + next_update)
        .add_extension(key_identifier(signer.certificate), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for one in revoked:
        builder = builder.add_revoked_certificate(_entry(one, min(one.at, begin)))
    return builder.sign(signer.key, digest_for(signer.key))


def _entry(one: Revoked, at: datetime) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(one.serial).revocation_date(at)
    if one.reason is not Reason.UNSPECIFIED:  # to be left out, says section 5.3.1
        reason = x509.CRLReason(x509.ReasonFlags(one.reason.value))
        builder = builder.add_extension(reason, critical=False)
    return builder.build()
