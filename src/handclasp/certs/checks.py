"""Reasons why an identity would fail as a TLS client or server, as findings.

Everything is judged from values and `now`. Names matter for server identities only: the name of an
upstream is compared with what the peer presents (`check_peer_name`), not with our own certificate.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from handclasp.certs import facts
from handclasp.certs.certificate_checks import (
    Role,
    check_authority,
    check_dates,
    check_extensions,
    check_leaf_usage,
    check_purpose,
    check_strength,
)
from handclasp.certs.chain import issuer_urls, names_issuer, self_signed
from handclasp.certs.constraints import check_constraints
from handclasp.certs.curve_checks import check_curve, check_parameters
from handclasp.certs.dn import issuer_text
from handclasp.certs.name_checks import check_peer_name, check_server_names
from handclasp.certs.path_checks import check_against_trust
from handclasp.certs.private_keys import describe_key, spki
from handclasp.certs.security_level import UNKNOWN_PEER, Peer
from handclasp.certs.trust_checks import check_trust
from handclasp.findings import Finding, Severity, Where, found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography import x509

    from handclasp.certs.material import IdentityMaterial, TrustMaterial

__all__ = ["Role", "check_identity", "check_peer_name", "check_trust"]

# Apple's systems refuse server certificates of user-installed CAs beyond this (HT210176).
_LONGEST_SERVER_LIFETIME = timedelta(days=825)


def check_identity(
    identity: IdentityMaterial,
    *,
    role: Role,
    now: datetime,
    names: Sequence[str] = (),
    trust: TrustMaterial | None = None,
    depth: int | None = None,
    peer: Peer = UNKNOWN_PEER,
    groups: Sequence[str] = (),
) -> list[Finding]:
    """All findings of an identity in one role; those made while reading it come first.

    `names` are the nginx server_names a server identity answers for. `trust` is the bundle the
    *other* side verifies this identity with, when it is known, and `depth` its verification depth:
    then the path is built as OpenSSL builds it and revocation is looked up in the bundle's CRLs.
    `peer` is the other side's OpenSSL, whose default decides which keys and digests are too weak, and
    `groups` what it is known to offer, in OpenSSL's names, beyond what everybody does.
    """
    findings = list(identity.findings)
    where = Where(file=str(identity.certificate_file))
    if identity.encrypted and identity.key is not None:
        seen = "the key is encrypted; the copy in the state directory is not"
        key_place = Where(file=str(identity.key_file))
        findings.append(found("key-decrypted-at-rest", seen, where=key_place))
    leaf = identity.leaf
    if leaf is None:
        return findings
    findings += check_pair(identity)
    dated = check_dates(leaf, now=now, where=where, what="certificate")
    findings += [one for one in dated if not (identity.renewed and one.slug == "cert-expires-soon")]
    findings += check_strength(leaf, where=where, what="certificate", peer=peer)
    findings += check_curve(leaf, where=where, groups=groups, peer=peer)
    findings += check_parameters(leaf, where=where, what="certificate", peer=peer)
    findings += check_purpose(leaf, role=role, where=where, what="certificate")
    findings += check_leaf_usage(leaf, role=role, where=where)
    findings += check_extensions(leaf, where=where, what="certificate")
    findings += _leaf_shape(leaf, role=role, where=where)
    findings += _above_leaf(identity, role=role, now=now, where=where, peer=peer)
    if role is Role.SERVER:
        findings += check_server_names(leaf, names, where=where)
    if trust is not None:
        findings += check_against_trust(identity, trust, role=role, depth=depth, now=now, peer=peer)
    else:
        findings += _gap(identity, role=role, where=where)
        findings += check_constraints(given_chain(identity), where=where)
    return findings


def given_chain(identity: IdentityMaterial) -> tuple[x509.Certificate, ...]:
    """The chain as far as it was given: leaf, intermediates, and the root if it is in the file."""
    leaf = () if identity.leaf is None else (identity.leaf,)
    root = () if identity.root is None else (identity.root,)
    return (*leaf, *identity.chain, *root)


def check_pair(identity: IdentityMaterial) -> list[Finding]:
    """The private key is the one the leaf was issued for."""
    ours = identity.public_key()
    if identity.leaf is None or ours is None:
        return []
    theirs = identity.leaf.public_key()
    if spki(ours) == spki(theirs):
        return []
    if identity.token is not None:
        place, file = str(identity.token.uri), None
    else:
        place, file = str(identity.key_file), str(identity.key_file)
    same_file = identity.token is None and identity.key_file == identity.certificate_file
    seen = (
        f"the key in {place} ({describe_key(ours)}) is not the key of any certificate "
        f"in {'it' if same_file else identity.certificate_file}; the first is "
        f"{facts.label(identity.leaf)} ({describe_key(theirs)})"
    )
    return [found("key-cert-mismatch", seen, where=Where(file=file))]


def _above_leaf(
    identity: IdentityMaterial, *, role: Role, now: datetime, where: Where, peer: Peer
) -> list[Finding]:
    findings: list[Finding] = []
    for link in identity.chain:
        findings += check_dates(link, now=now, where=where, what="intermediate")
        findings += check_strength(link, where=where, what="intermediate", peer=peer)
        findings += check_parameters(link, where=where, what="intermediate", peer=peer)
        findings += check_purpose(link, role=role, where=where, what="intermediate")
        findings += check_authority(link, where=where, what="intermediate")
        findings += check_extensions(link, where=where, what="intermediate")
    if identity.root is not None:
        seen = f"the file holds the root {facts.label(identity.root)}; it is left out when served"
        findings.append(found("chain-contains-root", seen, where=where))
    return findings


def _leaf_shape(leaf: x509.Certificate, *, role: Role, where: Where) -> list[Finding]:
    findings: list[Finding] = []
    name = facts.label(leaf)
    if leaf.subject == leaf.issuer and leaf.subject.rdns and not self_signed(leaf):
        seen = f"the certificate has the subject of its own issuer, {name}, and is not self-signed"
        findings.append(found("leaf-and-ca-same-subject", seen, where=where))
    constraints = facts.basic_constraints(leaf)
    if role is Role.CLIENT and constraints is not None and constraints.ca:
        seen = f"the client certificate {name} is a CA certificate (CA:TRUE)"
        # `openssl req -x509` sets CA:TRUE on every self-signed certificate, and it does work.
        severity = Severity.WARNING if self_signed(leaf) else None
        findings.append(found("ca-used-as-client-identity", seen, where=where, severity=severity))
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    if role is Role.SERVER and lifetime > _LONGEST_SERVER_LIFETIME:
        seen = f"the server certificate {name} is valid for {lifetime.days} days"
        findings.append(found("lifetime-too-long", seen, where=where))
    return findings


def _gap(identity: IdentityMaterial, *, role: Role, where: Where) -> list[Finding]:
    """A hole that shows without knowing the trust: CAs are there but do not connect to the leaf."""
    assert identity.leaf is not None
    top = identity.chain[-1] if identity.chain else identity.leaf
    strangers = [cert for cert in identity.unlinked if facts.is_ca(cert)]
    if not strangers or identity.root is not None or self_signed(top):
        return []
    fakes = [cert for cert in strangers if names_issuer(top, cert)]
    held = ", ".join(facts.label(cert) for cert in strangers)
    if fakes:
        seen = (
            f"{facts.label(fakes[0])} in the file has the name of the issuer but did not sign "
            f"{facts.label(top)}"
        )
    else:
        seen = (
            f"the file holds {held}, but not '{issuer_text(top)}', which issued {facts.label(top)}"
        )
    return [found(f"{role}-chain-incomplete", seen, where=where, fix=fetch_hint(top))]


def fetch_hint(top: x509.Certificate) -> str | None:
    """Where the missing issuer can be had, when the certificate says so."""
    urls = issuer_urls(top)
    if not urls:
        return None
    return f"Append the issuer's certificate to the file; it is at {urls[0]} (usually DER)."
