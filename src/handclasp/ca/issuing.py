"""From what is asked for to a certificate in the ledger, or the reason why not. Pure but for the ledger."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from handclasp.backend.certificate import serial_text
from handclasp.ca.ledger import ISSUING, NewRecord
from handclasp.ca.names import forbidden_by
from handclasp.ca.profile import (
    LONGEST_COMMON_NAME,
    Leaf,
    Use,
    Validity,
    leaf_certificate,
    subject_name,
)
from handclasp.certs import facts
from handclasp.certs.private_keys import spki
from handclasp.errors import ExitCode
from handclasp.findings import FindingsError, Where, found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from handclasp.ca.directory import Directory
    from handclasp.ca.profile import Signer
    from handclasp.findings import Finding

DEFAULT_LIFETIME = timedelta(days=90)
_OTHER = (
    "Ask for a name that the name constraints of this CA allow (`handclasp cert show` on issuing.pem"
    " prints them), or use another CA: whoever trusts this one would refuse the certificate."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A leaf that is asked for. Without `lifetime` it gets the usual one, shortened to the issuer's."""

    name: str
    public_key: CertificatePublicKeyTypes
    names: tuple[x509.GeneralName, ...]
    use: Use = Use.CLIENT
    lifetime: timedelta | None = None
    usual: timedelta = DEFAULT_LIFETIME
    renews: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A leaf ready to be signed, and what the asker should know about it."""

    order: Order
    leaf: Leaf
    notes: tuple[str, ...] = ()


def check_authority(directory: Directory, now: datetime) -> None:
    """Raises FindingsError when nothing that the CA signs now could be valid."""
    findings = _out_of_term(directory, now)
    record = directory.ledger.by_serial(directory.issuing.certificate.serial_number)
    if record is not None and record.revoked_at is not None:
        seen = f"the issuing CA was revoked on {facts.date(record.revoked_at)} ({record.reason})"
        fix = "Make a new CA; what this one would issue is refused by everybody with its list."
        where = Where(file=str(directory.path / "issuing.pem"))
        findings.append(found("cert-revoked", seen, where=where, fix=fix))
    if findings:
        raise FindingsError(findings, exit_code=ExitCode.FINDINGS)


def check_term(directory: Directory, now: datetime) -> None:
    """Raises FindingsError when it is before the begin or after the end of a CA of the chain."""
    if findings := _out_of_term(directory, now):
        raise FindingsError(findings, exit_code=ExitCode.FINDINGS)


def _out_of_term(directory: Directory, now: datetime) -> list[Finding]:
    findings: list[Finding] = []
    for role in ("root", "issuing"):
        certificate = directory.authority(role).certificate
        where = Where(file=str(directory.path / f"{role}.pem"))
        if now > certificate.not_valid_after_utc:
            seen = f"the {role} CA's certificate ended on {facts.date(certificate.not_valid_after_utc)}"
            fix = "Make a new CA and give its root out, while the leaves of this one still serve."
            findings.append(found("cert-expired", seen, where=where, fix=fix))
        if now < certificate.not_valid_before_utc:
            begins = facts.date(certificate.not_valid_before_utc)
            seen = (
                f"it is {facts.date(now)} by this machine, before the {role} CA begins ({begins})"
            )
            findings.append(found("clock-skew", seen, where=where))
    return findings


def draw_up(directory: Directory, order: Order, now: datetime) -> Drawn:
    """The leaf as it would be signed. Raises FindingsError when the CA may not, or not for so long."""
    issuer = directory.issuing.certificate
    where = Where(file=str(directory.path / "issuing.pem"))
    subject = subject_name(order.name, directory.ledger.setting("organisation"))
    notes = []
    if len(order.name) > LONGEST_COMMON_NAME:
        notes.append(f"too long for a commonName, so only an alternative name: {order.name}")
    findings = [
        found(
            "name-constraint-violated", f"this CA may not issue for {name}", where=where, fix=_OTHER
        )
        for role in ("root", "issuing")
        for name in forbidden_by(directory.authority(role).certificate, order.names, subject)
    ]
    findings += _confusions(directory, order, subject, where)
    findings += _stolen(directory, order)
    wanted = Validity.starting(now, order.lifetime or order.usual)
    validity = wanted.within(issuer)
    if validity.end < wanted.end:
        end = facts.date(issuer.not_valid_after_utc)
        if order.lifetime is not None:
            seen = f"{order.name} would end on {facts.date(wanted.end)}, and the issuing CA ends on {end}"
            findings.append(found("lifetime-beyond-issuer", seen, where=where))
        notes.append(
            f"{order.name} ends with the issuing CA, on {end}: the usual lifetime is longer"
        )
    if findings:
        raise FindingsError(dict.fromkeys(findings), exit_code=ExitCode.FINDINGS)
    leaf = Leaf(
        subject=subject,
        public_key=order.public_key,
        use=order.use,
        names=order.names,
        validity=validity,
        crl_url=crl_url(directory.ledger.setting("crl_url"), ISSUING),
    )
    return Drawn(order=order, leaf=leaf, notes=tuple(notes))


def _confusions(
    directory: Directory, order: Order, subject: x509.Name, where: Where
) -> list[Finding]:
    """A leaf with a CA's key or a CA's name: verifiers take one for the other."""
    findings = []
    for role in ("root", "issuing"):
        certificate = directory.authority(role).certificate
        if spki(order.public_key) == spki(certificate.public_key()):
            seen = f"the key of {order.name} is that of the {role} CA"
            findings.append(found("csr-key-unsuitable", seen, where=where))
        if subject == certificate.subject:
            seen = f"the subject would be that of the {role} CA"
            fix = "Give the leaf another NAME."
            findings.append(found("leaf-and-ca-same-subject", seen, where=where, fix=fix))
    return findings


def _stolen(directory: Directory, order: Order) -> list[Finding]:
    """A key that was given up as known to others: a new certificate would make the thief valid again."""
    key = spki(order.public_key)
    return [
        found(
            "csr-key-unsuitable",
            f"the key of {order.name} is that of {serial_text(record.serial)}, revoked on"
            f" {facts.date(record.revoked_at)} because others have the key",
            where=Where(file=str(directory.ledger.path)),
            fix="Make a new key: `ca renew --new-key`, or a request with a new key.",
        )
        for record in directory.ledger.compromised()
        if record.revoked_at is not None and spki(record.certificate.public_key()) == key
    ][:1]


def sign(signer: Signer, drawn: Sequence[Drawn]) -> list[x509.Certificate]:
    """Signs in memory: nobody may see what comes back before it is recorded."""
    return [leaf_certificate(signer, one.leaf) for one in drawn]


def record(directory: Directory, made: Sequence[x509.Certificate], drawn: Sequence[Drawn]) -> None:
    """Records all that was signed, or nothing; then it may be given out."""
    directory.ledger.record(
        [
            NewRecord(certificate=certificate, name=one.order.name, renews=one.order.renews)
            for certificate, one in zip(made, drawn, strict=True)
        ]
    )


def crl_url(base: str | None, role: str) -> str | None:
    """Where a CA's list is to be had: `ROLE.crl` below the base given at the CA's making."""
    return None if base is None else f"{base.rstrip('/')}/{role}.crl"


def stem(name: str) -> str:
    """A file name's first part for a certificate's name, of harmless characters."""
    text = name.split("://", 1)[-1].replace("*", "wildcard")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80] or "certificate"


def files_of(folder: Path, name: str) -> tuple[Path, Path]:
    """Where a certificate with its chain, and its key, go."""
    return folder / f"{stem(name)}.pem", folder / f"{stem(name)}.key"
