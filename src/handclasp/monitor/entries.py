"""Entries from what was read: files, remote chains, the identities and trusts of a spec. Pure."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes

from handclasp.certs import facts
from handclasp.certs.chain import order
from handclasp.certs.dn import name_text, subject_text
from handclasp.certs.kinship import Family
from handclasp.findings import Severity
from handclasp.monitor.expiry import Entry, Kind, Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cryptography import x509

    from handclasp.certs.contents import Contents
    from handclasp.certs.material import IdentityMaterial, Material, TrustMaterial
    from handclasp.findings import Finding
    from handclasp.monitor.callers import Caller
    from handclasp.monitor.uses import Uses


def certificate_member(certificate: x509.Certificate) -> Member:
    """A certificate; one without a subject goes by its serial number."""
    subject = subject_text(certificate) or f"serial {facts.serial_text(certificate)}"
    return Member(
        kind=Kind.CA if facts.is_ca(certificate) else Kind.CERTIFICATE,
        subject=subject,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def list_member(crl: x509.CertificateRevocationList) -> Member:
    """A revocation list: from thisUpdate to nextUpdate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd names, as in the reader
        issuer = name_text(crl.issuer)
    return Member(
        kind=Kind.CRL,
        subject=issuer,
        not_before=crl.last_update_utc,
        not_after=crl.next_update_utc,
        sha256=crl.fingerprint(hashes.SHA256()).hex(),
    )


def entries_of_file(contents: Contents) -> list[Entry]:
    """One entry per chain and per revocation list of a file, and one for what of it could not be read.

    Nothing comes of a file that holds other objects only, such as a key: the caller knows whether
    that is what was expected of it.
    """
    source = contents.source
    entries = [
        Entry(source=source, members=tuple(map(certificate_member, line.links)))
        for line in Family(contents.certificates).lines()
    ]
    entries += [Entry(source=source, members=(list_member(crl),)) for crl in contents.crls]
    # A key that no password opens hides no date, unless it is a PKCS#12, certificates and all.
    keys = [one.problem for one in contents.keys if one.form != "pkcs12"]
    problems = [one for one in contents.findings if one not in keys]
    return [*entries, *_problem(source, problems)]


def entry_of_remote(
    source: str, sent: Sequence[x509.Certificate], *, verification: str | None
) -> Entry:
    """The chain of a server's certificate, the first one it sent; what else came along is left out."""
    ordered = order(sent, key=sent[0].public_key())
    links = (ordered.leaf, *ordered.chain) if ordered else ()
    if ordered is not None and ordered.root is not None:
        links = (*links, ordered.root)
    members = tuple(map(certificate_member, links))
    return Entry(source=source, members=members, verification=verification)


def entries_of_spec(material: Material, uses: Uses) -> list[Entry]:
    """Every identity with its chain; every anchor, intermediate and list by itself. The system's bundle
    of public CAs is its distributor's business."""
    entries: list[Entry] = []
    for name, identity in material.identities.items():
        entries.append(_identity(name, identity, uses.identities.get(name, ())))
    for name, trust in material.trust.items():
        entries += _trust(
            f"trust {name}", trust, uses.trust.get(name, ()), uses.lists.get(name, ())
        )
    for link, between in material.intermediates.items():
        told = (f"ingress {link} cannot tell who issued its callers' certificates",)
        entries += _trust(f"intermediates of {link}", between, told, ())
    return entries


def entries_of_issuers(
    issuers: Mapping[str, TrustMaterial], users: Mapping[str, Sequence[str]]
) -> list[Entry]:
    """The certificates and the list of CAs that issue for us; `users` are the identities of each, which
    are renewed as long as it lasts."""
    entries: list[Entry] = []
    for name, authority in issuers.items():
        told = tuple(f"identity {user} is no longer renewed" for user in users.get(name, ()))
        entries += _trust(f"issuer {name}", authority, told, ())
    return entries


def entries_of_callers(callers: Iterable[Caller]) -> list[Entry]:
    """One for each certificate that callers of a link presented. Those whose end could not be read are left
    out; where that is the beginning, they began when they were first seen."""
    return [
        Entry(
            source=f"ingress {one.link}",
            name=f"ingress {one.link}",
            members=(
                Member(
                    kind=Kind.CALLER,
                    subject=one.subject or f"serial {one.serial}",
                    not_before=one.not_before or one.first_seen,
                    not_after=one.not_after,
                    sha256=None,
                ),
            ),
            breaks=(f"ingress {one.link} refuses it",),
            seen=one.last_seen,
        )
        for one in callers
        if one.not_after is not None
    ]


def _identity(name: str, identity: IdentityMaterial, breaks: tuple[str, ...]) -> Entry:
    source, called = str(identity.certificate_file), f"identity {name}"
    if identity.leaf is None:
        told = _problem(source, identity.findings)
        problem = told[0].problem if told else "it holds no certificate"
        return Entry(source=source, name=called, problem=problem, breaks=breaks)
    links = (identity.leaf, *identity.chain, *((identity.root,) if identity.root else ()))
    members = tuple(map(certificate_member, links))
    return Entry(
        source=source, name=called, members=members, breaks=breaks, renewed=identity.renewed
    )


def _trust(
    name: str, trust: TrustMaterial, breaks: tuple[str, ...], lapsing: tuple[str, ...]
) -> list[Entry]:
    entries = [
        Entry(
            source=str(file),
            name=name,
            members=(certificate_member(anchor),),
            breaks=breaks,
            renewed=trust.renewed,
        )
        for anchor, file in zip(trust.anchors, trust.anchor_files, strict=True)
        if anchor in trust.lasting
    ]
    entries += [
        Entry(source=str(file), name=name, members=(list_member(crl),), breaks=lapsing)
        for crl, file in zip(trust.crls, trust.crl_files, strict=True)
    ]
    by_file: dict[str, list[Finding]] = {}
    for finding in trust.findings:
        by_file.setdefault(finding.where.file or name, []).append(finding)
    for file, findings in by_file.items():
        entries += _problem(file, findings, name=name)
    return entries


def _problem(source: str, findings: Iterable[Finding], *, name: str | None = None) -> list[Entry]:
    """One entry for a source with errors; it tells the first."""
    for finding in findings:
        if finding.severity is Severity.ERROR:
            return [Entry(source=source, name=name, problem=f"{finding.seen} [{finding.slug}]")]
    return []
