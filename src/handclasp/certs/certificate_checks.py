"""Checks of one certificate by itself: dates, strength, serial, purpose, being a CA."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography.x509.oid import ExtendedKeyUsageOID

from handclasp.certs import facts
from handclasp.certs.chain import self_signed
from handclasp.certs.counting import counted
from handclasp.certs.security_level import (
    UNKNOWN_PEER,
    Peer,
    digest_refused_from,
    key_refused_from,
)
from handclasp.findings import Finding, Severity, Where, found

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

SOON = timedelta(days=14)
"""Expiry within this is a warning: ACME clients renew at 30 days, so something is stuck. Of what lives for a
day or two it is when a third is left, as for `handclasp expiry`."""
_LAST = 1 / 3


class Role(StrEnum):
    """What an identity is used for."""

    CLIENT = "client"
    SERVER = "server"


_PURPOSE = {
    Role.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH,
    Role.SERVER: ExtendedKeyUsageOID.SERVER_AUTH,
}


def check_dates(
    certificate: x509.Certificate,
    *,
    now: datetime,
    where: Where,
    what: str,
    severity: Severity | None = None,
) -> list[Finding]:
    """Expired, not yet valid, or expiring soon; `what` is "certificate", "intermediate" or "CA"."""
    name = facts.label(certificate)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        seen = f"the {what} {name} expired on {facts.date(end)} ({counted((now - end).days, 'day')} ago)"
        return [found("cert-expired", seen, where=where, severity=severity)]
    if now < start:
        seen = (
            f"the {what} {name} is valid from {facts.date(start)} on; it is {facts.date(now)} now"
        )
        return [found("cert-not-yet-valid", seen, where=where, severity=severity)]
    if end - now <= min(SOON, (end - start) * _LAST):
        left = end - now
        told = counted(left.days, "day") if left.days else counted(left.seconds // 3600, "hour")
        seen = f"the {what} {name} expires on {facts.date(end)}, in {told}"
        return [found("cert-expires-soon", seen, where=where)]
    return []


def check_strength(
    certificate: x509.Certificate, *, where: Where, what: str, peer: Peer = UNKNOWN_PEER
) -> list[Finding]:
    """Key size and signature digest against the security level of the peer's OpenSSL, and the serial.

    Refused by a level above the peer's default is a warning: somebody may have raised it.
    """
    findings: list[Finding] = []
    name = facts.label(certificate)

    def weak(slug: str, seen: str, level: int) -> None:
        told = f"{seen}; OpenSSL refuses it from security level {level} on, and the peer has {peer.told}"
        severity = None if level <= peer.level else Severity.WARNING
        findings.append(found(slug, told, where=where, severity=severity))

    key = certificate.public_key()
    level = key_refused_from(key)
    if level is not None:
        weak("key-too-small", f"the key of the {what} {name} is {facts.short_key(key)}", level)
    level = digest_refused_from(certificate, peer)
    # Nobody relies on the signature of a self-signed certificate, and OpenSSL does not judge it.
    if level is not None and not self_signed(certificate):
        digest = facts.weak_digest(certificate)
        weak("digest-too-weak", f"the {what} {name} is signed with {digest}", level)
    problem = facts.serial_problem(certificate)
    if problem is not None:
        seen = f"the serial number of the {what} {name} is {problem}"
        findings.append(found("serial-invalid", seen, where=where))
    return findings


def check_purpose(
    certificate: x509.Certificate, *, role: Role, where: Where, what: str
) -> list[Finding]:
    """Extended key usage as OpenSSL's purpose check reads it: anyExtendedKeyUsage does not count.

    It judges intermediates too: an EKU there restricts everything below.
    """
    if not facts.netscape_type_allows(certificate, server=role is Role.SERVER):
        seen = (
            f"the old nsCertType of the {what} {facts.label(certificate)} is not that of a {role}"
        )
        return [found("wrong-eku-or-purpose", seen, where=where)]
    purposes = facts.extended_key_usages(certificate)
    if purposes is None or _PURPOSE[role] in purposes:
        return []
    names = (
        ", ".join(facts.PURPOSE_NAMES.get(oid, oid.dotted_string) for oid in purposes) or "nothing"
    )
    seen = (
        f"the {what} {facts.label(certificate)} is for {names}, "
        f"not for {facts.PURPOSE_NAMES[_PURPOSE[role]]}, which a {role} needs"
    )
    return [found("wrong-eku-or-purpose", seen, where=where)]


def check_extensions(certificate: x509.Certificate, *, where: Where, what: str) -> list[Finding]:
    """Critical extensions that OpenSSL does not know: it refuses such a certificate (error 34)."""
    unknown = facts.unknown_critical(certificate)
    if not unknown:
        return []
    names = ", ".join(unknown)
    seen = f"the {what} {facts.label(certificate)} has a critical extension unknown to TLS: {names}"
    return [found("critical-extension-unknown", seen, where=where)]


def check_leaf_usage(certificate: x509.Certificate, *, role: Role, where: Where) -> list[Finding]:
    """keyUsage of a leaf: one of the bits TLS needs for the role (OpenSSL's KU_TLS)."""
    usage = facts.key_usage(certificate)
    if usage is None:
        return []
    fit = usage.digital_signature or usage.key_agreement
    if role is Role.SERVER:
        fit = fit or usage.key_encipherment
    if fit:
        return []
    seen = (
        f"the key usage of the certificate {facts.label(certificate)} does not allow digital "
        f"signatures, which a TLS {role} makes"
    )
    fix = "Have it issued with keyUsage digitalSignature."
    return [found("wrong-eku-or-purpose", seen, where=where, fix=fix)]


def check_authority(certificate: x509.Certificate, *, where: Where, what: str) -> list[Finding]:
    """A certificate that issues others: CA:TRUE, and keyCertSign where there is a key usage."""
    name = facts.label(certificate)
    usage = facts.key_usage(certificate)
    if not facts.is_ca(certificate):
        constraints = facts.basic_constraints(certificate)
        told = "says CA:FALSE" if constraints else "has no basicConstraints that make it a CA"
        return [found("ca-not-a-ca", f"the {what} {name} {told}", where=where)]
    if usage is not None and not usage.key_cert_sign:
        seen = f"the key usage of the {what} {name} lacks keyCertSign"
        return [found("ca-keyusage-missing-certsign", seen, where=where)]
    return []
