"""Reasons why a trust bundle would not do its job, as findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.certs import facts
from handclasp.certs.algorithms import explicit_curve
from handclasp.certs.certificate_checks import check_authority, check_dates, check_strength
from handclasp.certs.chain import authority_key_id, build_path, self_signed, subject_key_id
from handclasp.certs.counting import counted
from handclasp.certs.curve_checks import check_parameters
from handclasp.certs.dn import issuer_text, name_text
from handclasp.certs.list_scopes import partition, scope_problem
from handclasp.certs.names import subject_alt_names
from handclasp.certs.security_level import UNKNOWN_PEER, Peer
from handclasp.certs.signatures import list_signed_by
from handclasp.findings import Finding, Severity, Where, found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography import x509

    from handclasp.certs.material import TrustMaterial


def check_trust(
    trust: TrustMaterial,
    *,
    now: datetime,
    for_clients: bool,
    depth: int,
    peer: Peer = UNKNOWN_PEER,
    sent: Sequence[x509.Certificate] = (),
    leaf_known: bool = False,
) -> list[Finding]:
    """All findings of a bundle; those made while reading it come first.

    `for_clients`: it verifies clients (ingress), else an upstream. `depth` is the number of
    intermediates the link admits, `peer` the OpenSSL that verifies with the bundle. `sent` are
    the CAs that the one who is verified sends along, when they are known: lists may be theirs, and have
    to be. A public bundle is taken as its distributor made it.
    `leaf_known`: the lists are held against the very chain elsewhere (check_against_trust).
    """
    findings = list(trust.findings)
    where = _where(trust)
    if not trust.usable:
        # An unreadable file has its own finding, the reason for the emptiness.
        if not any(finding.severity is Severity.ERROR for finding in findings):
            seen = f"{trust.told} holds no certificate"
            findings.append(found("trust-bundle-empty", seen, where=where))
        return findings
    anchors = tuple(dict.fromkeys(trust.anchors))
    authorities = [anchor for anchor in anchors if facts.is_ca(anchor)]
    findings += _dates(trust, authorities, now=now)
    # A leaf among CAs is useless; a bundle of nothing else lets nobody in, unless it vouches for itself.
    useful = authorities or trust.raw is not None or any(map(self_signed, anchors))
    # One CA that OpenSSL refuses, among others that it takes, breaks its own chains only.
    named = [ca for ca in authorities if not explicit_curve(ca)]
    for anchor in anchors:
        findings += _anchor(
            anchor,
            where=_where(trust, anchor),
            severity=None if useful else Severity.ERROR,
            hurt=Severity.WARNING if named or trust.raw is not None else None,
            peer=peer,
        )
    findings += _dangling(trust, authorities, for_clients=for_clients, depth=depth)
    if trust.crls:
        findings += _crls(
            trust, list(dict.fromkeys((*authorities, *sent))), now=now, leaf_known=leaf_known
        )
    return findings


def _dates(
    trust: TrustMaterial, authorities: Sequence[x509.Certificate], *, now: datetime
) -> list[Finding]:
    usable = [
        ca
        for ca in authorities
        if ca.not_valid_before_utc <= now <= ca.not_valid_after_utc
        or ca.signature in trust.followed
    ]
    if usable and trust.renewed:
        return []
    # One expired CA among good ones breaks its own chains only.
    severity = Severity.WARNING if usable else Severity.ERROR
    return [
        finding
        for ca in authorities
        for finding in check_dates(
            ca, now=now, where=_where(trust, ca), what="CA", severity=severity
        )
    ]


def _anchor(
    anchor: x509.Certificate,
    *,
    where: Where,
    severity: Severity | None,
    hurt: Severity | None,
    peer: Peer,
) -> list[Finding]:
    findings = check_strength(anchor, where=where, what="CA", peer=peer)
    if facts.is_ca(anchor):
        findings += check_parameters(anchor, where=where, what="CA", peer=peer, severity=hurt)
        return findings + check_authority(anchor, where=where, what="CA")
    name = facts.label(anchor)
    # Self-signed and without any sign of being a leaf: it was meant as a CA.
    leaf_like = bool(subject_alt_names(anchor)) or facts.extended_key_usages(anchor) is not None
    if self_signed(anchor) and leaf_like:
        seen = f"{name} is a self-signed leaf: it vouches for its own holder and nobody else"
    elif self_signed(anchor):
        return findings + check_authority(anchor, where=where, what="CA")
    else:
        seen = f"{name} is a leaf (issued by '{issuer_text(anchor)}'), not a CA"
    return [*findings, found("trust-contains-leaf", seen, where=where, severity=severity)]


def _dangling(
    trust: TrustMaterial,
    authorities: Sequence[x509.Certificate],
    *,
    for_clients: bool,
    depth: int,
) -> list[Finding]:
    """Intermediates whose root is missing, and chains inside the bundle longer than `depth`."""
    findings: list[Finding] = []
    rooted = trust.raw is not None or any(self_signed(ca) for ca in authorities)
    for ca in authorities:
        if self_signed(ca):
            continue
        path = build_path(ca, (), trust.all_anchors())
        if path.anchor is None:
            top = path.links[-1]
            seen = (
                f"{trust.told} holds the intermediate {facts.label(ca)} but not "
                f"'{issuer_text(top)}', at which its chain must end"
            )
            slug = "client-ca-root-missing" if for_clients else "trust-anchor-wrong"
            severity = Severity.WARNING if rooted else None
            fix = f"Add the root '{issuer_text(top)}' to the files of {trust.told}."
            findings.append(found(slug, seen, where=_where(trust, ca), severity=severity, fix=fix))
        elif len(path.links) > depth:
            seen = (
                f"a certificate issued by {facts.label(ca)} has "
                f"{counted(len(path.links), 'intermediate')} above it; the verification depth is {depth}"
            )
            findings.append(
                found(
                    "verify-depth-too-low", seen, where=_where(trust, ca), severity=Severity.WARNING
                )
            )
    return findings


def _crls(
    trust: TrustMaterial,
    authorities: Sequence[x509.Certificate],
    *,
    now: datetime,
    leaf_known: bool,
) -> list[Finding]:
    findings: list[Finding] = []
    covered: dict[x509.Certificate, list[x509.CertificateRevocationList]] = {}
    for crl in trust.crls:
        issuer = name_text(crl.issuer)
        namesakes = [ca for ca in authorities if ca.subject == crl.issuer]
        signers = [ca for ca in namesakes if signed_crl(ca, crl)]
        for signer in signers:
            covered.setdefault(signer, []).append(crl)
        if problem := scope_problem(crl):
            seen = f"the CRL of '{issuer}' {problem}"
            findings.append(found("crl-not-usable", seen, where=_where(trust, crl)))
        elif not leaf_known and (point := partition(crl)):
            seen = (
                f"the CRL of '{issuer}' is for certificates that name the distribution point {point}; "
                "nginx refuses all others"
            )
            place = _where(trust, crl)
            findings.append(found("crl-not-usable", seen, where=place, severity=Severity.WARNING))
        if not namesakes:
            seen = f"the CRL of '{issuer}' belongs to no CA in {trust.told}"
            findings.append(found("crl-for-other-ca", seen, where=_where(trust, crl)))
        elif not signers:
            seen = f"the CRL of '{issuer}' was not signed by the CA of that name in the bundle"
            findings.append(found("crl-signature-invalid", seen, where=_where(trust, crl)))
    for ca in authorities:
        if ca not in covered:
            seen = f"there is no CRL of {facts.label(ca)}, and nginx asks for one of every CA"
            findings.append(found("crl-missing-for-chain", seen, where=_where(trust, ca)))
        elif all(
            crl.signature not in trust.followed and stale_crl(crl, now) for crl in covered[ca]
        ):
            findings.append(_stale(trust, ca, covered[ca], now))
    return findings


def signed_crl(ca: x509.Certificate, crl: x509.CertificateRevocationList) -> bool:
    """The CRL is this CA's: name and key identifier fit, and the signature verifies."""
    if crl.issuer != ca.subject:
        return False
    wanted, given = authority_key_id(crl), subject_key_id(ca)
    if wanted is not None and given is not None and wanted != given:
        return False
    return list_signed_by(crl, ca.public_key())


def stale_crl(crl: x509.CertificateRevocationList, now: datetime) -> str | None:
    """Why a list is not in force at `now`, if it is not."""
    if crl.last_update_utc > now:
        return f"is valid from {facts.date(crl.last_update_utc)} on; it is {facts.date(now)} now"
    if crl.next_update_utc is not None and now > crl.next_update_utc:
        return f"should have been replaced by {facts.date(crl.next_update_utc)}"
    return None


def _stale(
    trust: TrustMaterial,
    ca: x509.Certificate,
    crls: Sequence[x509.CertificateRevocationList],
    now: datetime,
) -> Finding:
    newest = max(crls, key=lambda crl: crl.last_update_utc)
    seen = f"the CRL of {facts.label(ca)} {stale_crl(newest, now)}"
    end, kept = newest.next_update_utc, trust.lists_kept
    if kept is None or end is None or newest.last_update_utc > now or now > end + kept:
        return found("crl-expired", seen, where=_where(trust, newest))
    told = f"{seen}; callers are let in by it until {facts.date(end + kept)} (`keep_last`)"
    return found("crl-expired", told, where=_where(trust, newest), severity=Severity.WARNING)


def _where(
    trust: TrustMaterial, value: x509.Certificate | x509.CertificateRevocationList | None = None
) -> Where:
    if value is not None:
        return Where(file=trust.file_of(value))
    return Where(file=", ".join(str(file) for file in trust.files) or None)
