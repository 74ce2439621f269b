"""What only some verifiers refuse, and what will trouble somebody later: what `cert check` adds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from handclasp.certs import facts
from handclasp.certs.certificate_checks import Role
from handclasp.certs.chain import authority_key_id, self_signed, subject_key_id
from handclasp.certs.counting import counted
from handclasp.certs.names import as_address, subject_alt_names
from handclasp.findings import Finding, Severity, Where, found

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FRESH = timedelta(minutes=10)
_ALMOST = timedelta(days=1)

# CA/Browser Forum Baseline Requirements 6.3.2 (ballot SC-081v3): from this day on, at most so long.
_PUBLIC_LIFETIMES = (
    (datetime(2029, 3, 15, tzinfo=UTC), timedelta(days=47)),
    (datetime(2027, 3, 15, tzinfo=UTC), timedelta(days=100)),
    (datetime(2026, 3, 15, tzinfo=UTC), timedelta(days=200)),
    (datetime(2020, 9, 1, tzinfo=UTC), timedelta(days=398)),
)


def check_letter(certificates: Sequence[x509.Certificate], *, where: Where) -> list[Finding]:
    """RFC 5280 to the letter, as X509_V_FLAG_X509_STRICT (Python 3.13's default), Go and Java have it.

    OpenSSL without that flag, and so nginx, accepts what is reported here.
    """
    findings: list[Finding] = []
    for certificate in certificates:
        for problem in _letter(certificate):
            seen = f"{facts.label(certificate)} {problem}"
            findings.append(
                found("x509-strict-violation", seen, where=where, severity=Severity.WARNING)
            )
    return findings


def _letter(certificate: x509.Certificate) -> list[str]:
    problems: list[str] = []
    if certificate.version is not x509.Version.v3:
        # OpenSSL takes such a leaf even when strict; rustls does not.
        return ["is of version 1, which has no extensions"]
    if not self_signed(certificate) and authority_key_id(certificate) is None:
        problems.append("has no authority key identifier")
    if facts.is_ca(certificate):
        if subject_key_id(certificate) is None:
            problems.append("is a CA without subject key identifier")
        if not _critical(certificate, x509.BasicConstraints):
            problems.append("is a CA whose basicConstraints are not marked critical")
        if facts.key_usage(certificate) is None:
            problems.append("is a CA without key usage")
    elif not certificate.subject.rdns and not _critical(certificate, x509.SubjectAlternativeName):
        problems.append("has neither a subject nor a critical subjectAltName")
    return problems


def _critical(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(kind).critical
    except x509.ExtensionNotFound:
        return False


def check_names_written(leaf: x509.Certificate, *, role: Role, where: Where) -> list[Finding]:
    """An address written as a DNS name; for a client, no name at all but the common one."""
    sans = subject_alt_names(leaf)
    addresses = [
        san.removeprefix("dns:")
        for san in sans
        if san.startswith("dns:") and as_address(san.removeprefix("dns:")) is not None
    ]
    findings = [
        found(
            "san-ip-as-dns",
            f"the certificate {facts.label(leaf)} has the address {address} as a DNS name",
            where=where,
            severity=Severity.WARNING,
        )
        for address in addresses
    ]
    if role is Role.CLIENT and not sans:
        seen = (
            f"the client certificate {facts.label(leaf)} has no subjectAltName: nginx takes it, but "
            "rules that go by `dns:` or `spiffe:` cannot name it"
        )
        findings.append(found("san-missing", seen, where=where, severity=Severity.INFO))
    return findings


def check_not_a_ca(leaf: x509.Certificate, *, role: Role, where: Where) -> list[Finding]:
    """A CA certificate as a server's own; that of a client is looked at by check_identity."""
    constraints = facts.basic_constraints(leaf)
    if role is not Role.SERVER or constraints is None or not constraints.ca:
        return []
    seen = f"the server certificate {facts.label(leaf)} is a CA certificate (CA:TRUE)"
    return [found("ca-used-as-server-identity", seen, where=where)]


def check_clocks(leaf: x509.Certificate, *, now: datetime, where: Where) -> list[Finding]:
    """A certificate that has just begun, or is about to, and clocks that may differ by as much."""
    age = now - leaf.not_valid_before_utc
    if -_ALMOST <= age < timedelta():
        told = (
            f"begins in {_duration(-age)}: is the clock of this machine, or that of the CA, wrong?"
        )
    elif timedelta() <= age < _FRESH:
        told = (
            f"began {_duration(age)} ago: a peer whose clock is behind by more than that refuses it"
        )
    else:
        return []
    seen = f"the certificate {facts.label(leaf)} {told}"
    return [found("clock-skew", seen, where=where, severity=Severity.INFO)]


def _duration(span: timedelta) -> str:
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    if minutes >= 120:
        return counted(minutes // 60, "hour")
    return counted(minutes, "minute") if minutes else counted(seconds, "second")


def check_both_roles(leaf: x509.Certificate, *, where: Where) -> list[Finding]:
    """A certificate that is good for both sides."""
    purposes = facts.extended_key_usages(leaf)
    both = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    if purposes is not None and not both <= set(purposes):
        return []
    told = "has no extended key usage" if purposes is None else "is for clientAuth and serverAuth"
    seen = (
        f"the certificate {facts.label(leaf)} {told}: whoever has its key can be client and server"
    )
    return [found("same-cert-both-roles", seen, where=where, severity=Severity.INFO)]


def check_public(
    leaf: x509.Certificate,
    *,
    role: Role,
    public: Iterable[x509.Certificate],
    links: Sequence[x509.Certificate],
    where: Where,
) -> list[Finding]:
    """What holds for certificates of public CAs only. `links` is the chain, leaf first, as far as given;
    `public` the system's bundle."""
    issuers = {anchor.subject for anchor in public}
    if not any(link.issuer in issuers for link in links):
        return []
    name = facts.label(leaf)
    if role is Role.CLIENT:
        purposes = facts.extended_key_usages(leaf)
        if purposes is None or ExtendedKeyUsageOID.CLIENT_AUTH in purposes:
            return []
        seen = (
            f"{name} comes from a public CA, and those have ceased to issue for clientAuth: its "
            "renewal will not bring it back"
        )
        return [found("client-auth-eku-public-ca", seen, where=where)]
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    limit = next((limit for since, limit in _PUBLIC_LIFETIMES if begin >= since), None)
    # The last second counts as well (RFC 5280, 4.1.2.5).
    if limit is None or end - begin + timedelta(seconds=1) <= limit:
        return []
    seen = (
        f"the server certificate {name} comes from a public CA and is valid for {(end - begin).days} "
        f"days; browsers refuse more than {limit.days} for one that began on {facts.date(begin)}"
    )
    return [found("lifetime-too-long", seen, where=where)]
