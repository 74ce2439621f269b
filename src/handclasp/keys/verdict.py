"""Whether files make an identity that works: every reason against it, for each role asked about."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.x509.oid import ExtendedKeyUsageOID

from handclasp.certs import facts
from handclasp.certs.certificate_checks import Role
from handclasp.certs.checks import check_identity, given_chain
from handclasp.certs.counting import counted
from handclasp.certs.dn import name_text
from handclasp.certs.list_scopes import scope_problem
from handclasp.certs.names import covers, is_uri, subject_alt_names
from handclasp.certs.path_checks import check_revocation, check_scopes, path_of
from handclasp.certs.security_level import UNKNOWN_PEER, Peer
from handclasp.certs.strictness import (
    check_both_roles,
    check_clocks,
    check_letter,
    check_names_written,
    check_not_a_ca,
    check_public,
)
from handclasp.certs.trust_checks import check_trust, signed_crl, stale_crl
from handclasp.findings import Finding, Severity, Where, errors_in, found
from handclasp.keys.assemble import ReadFile, assemble_identity
from handclasp.keys.load import load_trust

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from handclasp.certs.material import IdentityMaterial, TrustMaterial

SYSTEM = "system"
_URL = re.compile(
    r"(?:https?|wss?|grpcs?)://(?:[^/@]*@)?(?P<host>\[[^\]]*\]|[^\[/:?#]+)", re.IGNORECASE
)
_NGINX_DEPTH = 1
"""Default of ssl_verify_depth and proxy_ssl_verify_depth (ngx_http_ssl_module, ngx_http_proxy_module)."""
_DEPTH = 100  # OpenSSL's own limit, for where none is given


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: `role` None means every role the certificate names; `trust` are files of CA
    certificates or the word `system`; `depth` counts intermediates, None where it is not known."""

    now: datetime
    role: str | None = None
    names: tuple[str, ...] = ()
    trust: tuple[Path, ...] = ()
    crls: tuple[Path, ...] = ()
    depth: int | None = None
    peer: Peer = UNKNOWN_PEER


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer. `by_role` has the findings of each role that was looked at."""

    leaf: x509.Certificate | None
    by_role: Mapping[Role, tuple[Finding, ...]]
    skipped: tuple[str, ...]
    chain: tuple[x509.Certificate, ...] = ()
    unread: tuple[Finding, ...] = field(default=())

    @property
    def understood(self) -> bool:
        """There was a certificate to judge."""
        return self.leaf is not None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those of all roles, each once."""
        every = (one for findings in self.by_role.values() for one in findings)
        return tuple(dict.fromkeys((*self.unread, *every)))

    @property
    def usable(self) -> tuple[Role, ...]:
        """The roles in which nothing is an error."""
        return tuple(role for role, findings in self.by_role.items() if not errors_in(findings))

    @property
    def ok(self) -> bool:
        """Usable in every role that was looked at."""
        return self.understood and len(self.usable) == len(self.by_role)

    @property
    def ends(self) -> datetime:
        """When the first certificate of the chain expires."""
        return min(link.not_valid_after_utc for link in self.chain)


def judge(
    files: Sequence[ReadFile], question: Question, *, extra: Sequence[Finding] = ()
) -> Verdict:
    """Every reason why the pair in `files` would fail; `extra` are findings to be told along."""
    identity = assemble_identity(files, now=question.now)
    if identity.leaf is None:
        return Verdict(leaf=None, by_role={}, skipped=(), unread=(*identity.findings, *extra))
    trust = _trust(question)
    public = load_trust("system", public="system").all_anchors()
    return Verdict(
        leaf=identity.leaf,
        by_role={
            role: tuple(
                dict.fromkeys((*_findings(identity, role, trust, public, question), *extra))
            )
            for role in _roles(identity.leaf, question.role)
        },
        chain=given_chain(identity),
        skipped=tuple(_skipped(identity, question)),
    )


def _roles(leaf: x509.Certificate, asked: str | None) -> tuple[Role, ...]:
    if asked is not None:
        return (Role(asked),)
    purposes = facts.extended_key_usages(leaf)
    named = {
        Role.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH,
        Role.SERVER: ExtendedKeyUsageOID.SERVER_AUTH,
    }
    roles = tuple(role for role, oid in named.items() if purposes is None or oid in purposes)
    return roles or tuple(Role)


def _trust(question: Question) -> TrustMaterial | None:
    if not question.trust:
        return None
    files = [path for path in question.trust if str(path) != SYSTEM]
    system = len(files) < len(question.trust)
    return load_trust(
        "the trust given",
        certificates=files,
        crls=question.crls,
        public="system" if system else None,
        pipes=True,
        title="the trust given" if files else "the CAs of this system",
    )


def _findings(
    identity: IdentityMaterial,
    role: Role,
    trust: TrustMaterial | None,
    public: Sequence[x509.Certificate],
    question: Question,
) -> list[Finding]:
    leaf, now = identity.leaf, question.now
    assert leaf is not None
    where = Where(file=str(identity.certificate_file))
    hosts, uris = _split(question.names)
    server_names = hosts if role is Role.SERVER else ()
    findings = [
        finding
        for finding in check_identity(
            identity,
            role=role,
            now=now,
            names=server_names,
            trust=trust,
            depth=question.depth,
            peer=question.peer,
        )
        if finding.slug != "key-decrypted-at-rest"  # nothing is staged here
    ]
    findings += _wanted_names(leaf, role, hosts, uris, where)
    findings += check_names_written(leaf, role=role, where=where)
    findings += check_not_a_ca(leaf, role=role, where=where)
    findings += check_clocks(leaf, now=now, where=where)
    findings += check_both_roles(leaf, where=where)
    findings += check_letter((leaf, *identity.chain), where=where)
    findings += check_public(
        leaf, role=role, public=public, links=given_chain(identity), where=where
    )
    findings += _unrelated(identity, where)
    if trust is not None:
        for_clients = role is Role.CLIENT
        depth = _DEPTH if question.depth is None else question.depth
        findings += check_trust(
            trust,
            now=now,
            for_clients=for_clients,
            depth=depth,
            peer=question.peer,
            sent=identity.chain,
            leaf_known=True,
        )
    elif question.crls:
        findings += _lists_alone(identity, question, where)
    intermediates = len(identity.chain)
    if trust is not None and (path := path_of(identity, trust)).anchor is not None:
        intermediates = path.intermediates
    if question.depth is None and intermediates > _NGINX_DEPTH:
        directive = "ssl_verify_depth" if role is Role.CLIENT else "proxy_ssl_verify_depth"
        seen = (
            f"there {'is' if intermediates == 1 else 'are'} "
            f"{counted(intermediates, 'intermediate')} above {facts.label(leaf)}, and an nginx on "
            f"the other side admits {_NGINX_DEPTH} unless its {directive} says more"
        )
        findings.append(found("verify-depth-too-low", seen, where=where, severity=Severity.WARNING))
    # Written twice where two checks see one thing: the harder word is the one to keep.
    return _hardest(findings)


def _lists_alone(identity: IdentityMaterial, question: Question, where: Where) -> list[Finding]:
    """Revocation lists without a trust: what they name, whether they are in force, and who signed them as
    far as the chain tells."""
    lists = load_trust("the lists given", crls=question.crls, pipes=True)
    chain = given_chain(identity)
    findings = [*lists.findings, *check_revocation(chain, lists.crls, where=where)]
    findings += check_scopes(chain, lists)
    for crl in lists.crls:
        place = Where(file=lists.file_of(crl))
        name = f"the CRL of '{name_text(crl.issuer)}'"
        if stale := stale_crl(crl, question.now):
            findings.append(found("crl-expired", f"{name} {stale}", where=place))
        if problem := scope_problem(crl):
            findings.append(found("crl-not-usable", f"{name} {problem}", where=place))
        issuers = [link for link in chain if link.subject == crl.issuer]
        if issuers and not any(signed_crl(one, crl) for one in issuers):
            seen = f"{name} was not signed by the CA of that name in the chain"
            findings.append(found("crl-signature-invalid", seen, where=place))
    return findings


def _hardest(findings: Sequence[Finding]) -> list[Finding]:
    order = (Severity.ERROR, Severity.WARNING, Severity.INFO)
    best: dict[tuple[str, str, str], Finding] = {}
    for finding in findings:
        key = (finding.slug, finding.seen, str(finding.where))
        kept = best.get(key)
        if kept is None or order.index(finding.severity) < order.index(kept.severity):
            best[key] = finding
    return list(best.values())


def _split(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (
        tuple(name for name in names if not is_uri(name)),
        tuple(name for name in names if is_uri(name)),
    )


def _wanted_names(
    leaf: x509.Certificate, role: Role, hosts: Sequence[str], uris: Sequence[str], where: Where
) -> list[Finding]:
    sans = subject_alt_names(leaf)
    held = ", ".join(sans) or "no name"
    missing = [uri for uri in uris if f"uri:{uri}" not in sans]
    findings = [
        found(
            "spiffe-san-mismatch" if uri.startswith("spiffe://") else "name-not-covered",
            f"the certificate {facts.label(leaf)} does not have {uri}; it has {held}",
            where=where,
            fix=_host_alone(uri),
        )
        for uri in missing
    ]
    if role is Role.CLIENT:  # the server's are looked at by check_identity
        findings += [
            found(
                "name-not-covered",
                f"the certificate {facts.label(leaf)} does not cover {host}; it has {held}",
                where=where,
            )
            for host in hosts
            if not covers(leaf, host)
        ]
    return findings


def _host_alone(uri: str) -> str | None:
    """Who gives the URL of a service means its host."""
    url = _URL.match(uri)
    if url is None:
        return None
    return (
        f"If the host is meant, give --name {url['host'].strip('[]')}: a URL counts only as a URI of the "
        "certificate. If the URI is meant, have the certificate issued with it."
    )


def _unrelated(identity: IdentityMaterial, where: Where) -> list[Finding]:
    strangers = [cert for cert in identity.unlinked if not facts.is_ca(cert)]
    return [
        found(
            "unrelated-certificate",
            f"{facts.label(cert)} is not part of the chain of "
            f"{facts.label(identity.leaf) if identity.leaf else 'the leaf'}",
            where=where,
        )
        for cert in strangers
    ]


def _skipped(identity: IdentityMaterial, question: Question) -> list[str]:
    notes: list[str] = []
    if identity.key is None and not any(
        one.slug.startswith(("key-", "keystore-", "several-")) for one in identity.findings
    ):
        notes.append("the private key: none was given")
    if not question.trust:
        notes.append("whether the other side trusts the chain: no --trust was given")
    if not question.crls:
        notes.append("revocation: no --crl was given")
    elif not question.trust:
        notes.append("who signed the revocation lists, and whether each CA has one: needs --trust")
    if not question.names:
        notes.append("names: no --name was given")
    return notes
