"""An identity against the trust of the other side: path, depth and revocation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.certs import facts
from handclasp.certs.certificate_checks import (
    Role,
    check_authority,
    check_dates,
    check_extensions,
    check_purpose,
)
from handclasp.certs.chain import Path, build_path, issuer_urls, self_signed
from handclasp.certs.constraints import check_constraints
from handclasp.certs.counting import counted
from handclasp.certs.curve_checks import check_parameters
from handclasp.certs.dn import issuer_text
from handclasp.certs.list_scopes import other_scope, scope_problem
from handclasp.certs.security_level import UNKNOWN_PEER, Peer
from handclasp.certs.trust_checks import signed_crl
from handclasp.findings import Finding, Where, found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from handclasp.certs.material import IdentityMaterial, TrustMaterial


def check_against_trust(
    identity: IdentityMaterial,
    trust: TrustMaterial,
    *,
    role: Role,
    depth: int | None,
    now: datetime,
    peer: Peer = UNKNOWN_PEER,
) -> list[Finding]:
    """No path, a path longer than `depth` intermediates, a link of it revoked, or a CA in it that the
    bundle has and that is expired, no CA, or for another purpose; lists of which none is for a link."""
    assert identity.leaf is not None
    where = Where(file=str(identity.certificate_file))
    anchors = trust.all_anchors()
    if not anchors:
        return []  # the empty bundle is the trust's own finding
    path = path_of(identity, trust)
    findings = check_revocation(_all(path), trust.crls, where=where)
    if path.anchor is None:
        return [*findings, _no_path(path, trust, anchors, role=role, where=where)]
    findings += check_constraints((*path.links, path.anchor), where=where)
    findings += check_scopes(_all(path), trust)
    sent = {identity.leaf, *identity.chain}
    for authority in (one for one in _all(path) if one not in sent):
        place = Where(file=trust.file_of(authority))
        findings += check_dates(authority, now=now, where=place, what="CA")
        findings += check_purpose(authority, role=role, where=place, what="CA")
        findings += check_extensions(authority, where=place, what="CA")
        if authority != identity.leaf:
            findings += check_authority(authority, where=place, what="CA")
            findings += check_parameters(authority, where=place, what="CA", peer=peer)
    if depth is not None and path.intermediates > depth:
        seen = (
            f"the chain of {facts.label(identity.leaf)} has "
            f"{counted(path.intermediates, 'intermediate')} up to "
            f"{facts.label(path.anchor)}; the verification depth is {depth}"
        )
        findings.append(found("verify-depth-too-low", seen, where=where))
    return findings


def path_of(identity: IdentityMaterial, trust: TrustMaterial) -> Path:
    """The way from the leaf to an anchor of the bundle, as OpenSSL goes it.

    What is staged and sent, and the root only to tell where the chain ends: OpenSSL does not try other
    branches, so certificates of the file that are off the chain would not help.
    """
    assert identity.leaf is not None
    root = (identity.root,) if identity.root is not None else ()
    return build_path(identity.leaf, (*identity.chain, *root), trust.all_anchors())


def _all(path: Path) -> tuple[x509.Certificate, ...]:
    if path.anchor is None or path.anchor in path.links:
        return path.links
    return (*path.links, path.anchor)


def _no_path(
    path: Path,
    trust: TrustMaterial,
    anchors: Sequence[x509.Certificate],
    *,
    role: Role,
    where: Where,
) -> Finding:
    top = path.links[-1]
    name = trust.told
    namesakes = [anchor for anchor in anchors if names_issuer_by_name(top, anchor)]
    if self_signed(top):
        seen = f"the chain ends at the root {facts.label(top)}, which is not in {name}"
        if len(path.links) == 1:
            seen = f"the certificate {facts.label(top)} is self-signed and not in {name}"
        return found("trust-anchor-wrong", seen, where=where)
    if namesakes:
        seen = (
            f"{name} holds {facts.label(namesakes[0])}, which has the issuer's name but another "
            f"key: it did not sign {facts.label(top)}"
        )
        return found("trust-anchor-wrong", seen, where=where)
    if top in anchors:
        issuer = issuer_text(top)
        seen = f"{name} holds the intermediate {facts.label(top)} but not its root '{issuer}'"
        slug = "client-ca-root-missing" if role is Role.CLIENT else "trust-anchor-wrong"
        return found(slug, seen, where=where)
    seen = (
        f"'{issuer_text(top)}', which issued {facts.label(top)}, is neither in the file "
        f"nor in {name}"
    )
    urls = issuer_urls(top)
    place = f" (it is at {urls[0]}, usually DER)" if urls else ""
    fix = (
        f"If it is an intermediate, append it to the file{place}; "
        f"if it is the root, add it to {name}."
    )
    return found(f"{role}-chain-incomplete", seen, where=where, fix=fix)


def names_issuer_by_name(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """By name alone, key identifiers left aside: a CA set up anew under its old name."""
    return certificate.issuer == issuer.subject and certificate != issuer


def check_revocation(
    links: Sequence[x509.Certificate],
    crls: Sequence[x509.CertificateRevocationList],
    *,
    where: Where,
) -> list[Finding]:
    """Certificates of a chain, leaf first, that one of the lists names.

    A list that the issuer above did not sign says nothing; where that is not in the chain, it is believed.
    """
    findings: list[Finding] = []
    for position, link in enumerate(links):
        above = links[position + 1] if position + 1 < len(links) else None
        for crl in crls:
            if crl.issuer != link.issuer or (above is not None and not signed_crl(above, crl)):
                continue
            entry = crl.get_revoked_certificate_by_serial_number(facts.serial_number(link))
            if entry is None:
                continue
            seen = (
                f"{facts.label(link)} (serial {facts.serial_text(link)}) was revoked on "
                f"{facts.date(entry.revocation_date_utc)}{_reason(entry)}"
            )
            findings.append(found("cert-revoked", seen, where=where))
            break
    return findings


def check_scopes(links: Sequence[x509.Certificate], trust: TrustMaterial) -> list[Finding]:
    """Certificates of a chain, leaf first, for which their issuer has lists but none that is for them."""
    findings: list[Finding] = []
    for position, link in enumerate(links):
        if position + 1 < len(links):
            above = links[position + 1]
        elif self_signed(link):
            above = link
        else:
            break
        lists = [crl for crl in trust.crls if signed_crl(above, crl) and not scope_problem(crl)]
        problems = [other_scope(crl, link) for crl in lists]
        if problems and all(problems):
            seen = f"the CRL of {facts.label(above)} {problems[0]}"
            findings.append(
                found("crl-not-usable", seen, where=Where(file=trust.file_of(lists[0])))
            )
    return findings


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except (x509.ExtensionNotFound, ValueError):
        return ""
    return f", reason {reason.value}"
