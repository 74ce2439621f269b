"""One identity out of files that somebody was handed, in any number and order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from handclasp.certs import facts
from handclasp.certs.algorithms import pss_only
from handclasp.certs.chain import order
from handclasp.certs.material import IdentityMaterial
from handclasp.certs.private_keys import check_key, spki
from handclasp.findings import Severity, Where, found
from handclasp.keys.files import check_key_file
from handclasp.keys.load import order_findings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography import x509

    from handclasp.certs.chain import Ordered
    from handclasp.certs.contents import Contents
    from handclasp.certs.private_keys import FoundKey
    from handclasp.findings import Finding
    from handclasp.keys.files import FileRead


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile:
    """One file: how it was read and what it holds."""

    read: FileRead
    contents: Contents

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was wrong with the file or with what is in it."""
        problem = () if self.read.problem is None else (self.read.problem,)
        return (*problem, *self.contents.findings)

    @property
    def where(self) -> Where:
        """The file."""
        return Where(file=self.contents.source)


def assemble_identity(files: Sequence[ReadFile], *, now: datetime) -> IdentityMaterial:
    """The leaf, its chain and its key from all certificates and keys of all files.

    The key is the one that fits a certificate, else the only one; the leaf is the certificate it fits,
    else the first that issued none of the others. Where several would do, a leaf is preferred to a CA
    and one in force at `now` to others. Findings say what could not be read, what is missing and what
    is odd about the files; `leaf` is None when there is no certificate at all.
    """
    given = [cert for file in files for cert in file.contents.certificates]
    # Sorting is stable: what is equally good stays in the order of the files.
    certificates = sorted(given, key=lambda one: _worse(one, now))
    holder, chosen, findings = _choose_key(files, certificates)
    key = chosen.key if chosen else None
    ordered = order(certificates, key=key.reveal().public_key() if key else None)
    leaf = ordered.leaf if ordered else None
    home = next((file for file in files if leaf in file.contents.certificates), None)
    for file in files:
        if file.contents.keys and file.read.mode is not None:
            findings += check_key_file(file.read)
    if key is not None and holder is not None:
        problem = check_key(key.reveal())
        findings += [found("key-unreadable", problem, where=holder.where)] if problem else []
    if ordered is None:
        findings += _no_certificate(files)
    elif home is not None:
        findings += _order(ordered, home)
    if leaf is not None and chosen is not None and holder is not None:
        findings += _other_algorithm(leaf, chosen, holder.where)
    findings += _twice(files)
    return IdentityMaterial(
        name="the given files",
        certificate_file=PurePath(home.contents.source if home else "no certificate"),
        key_file=PurePath(holder.contents.source if holder else "no key"),
        leaf=leaf,
        chain=ordered.chain if ordered else (),
        root=ordered.root if ordered else None,
        unlinked=ordered.unlinked if ordered else (),
        key=key,
        encrypted=chosen is not None and chosen.encrypted,
        key_mode=holder.read.mode if holder else None,
        findings=tuple(dict.fromkeys(findings)),
    )


def _order(ordered: Ordered, home: ReadFile) -> list[Finding]:
    """The file of the leaf by itself: the rest of the chain may be in others."""
    own = order(home.contents.certificates, key=ordered.leaf.public_key())
    return [] if own is None else order_findings(own, home.contents, as_it_is=True)


def _other_algorithm(leaf: x509.Certificate, key: FoundKey, where: Where) -> list[Finding]:
    """Key and certificate hold the same numbers, and one of them alone says that they are for RSA-PSS."""
    # What is encrypted is decrypted by the library, which forgets it.
    if key.encrypted or key.key is None or key.form not in ("pkcs8", "pkcs1"):
        return []
    if spki(key.key.reveal().public_key()) != spki(leaf.public_key()) or key.pss == pss_only(leaf):
        return []
    held, wanted = ("rsassaPss", "rsaEncryption") if key.pss else ("rsaEncryption", "rsassaPss")
    seen = (
        f"the key has the numbers of {facts.label(leaf)} but is of another kind, {held}, and the certificate "
        f"is for {wanted}: OpenSSL refuses the pair, and nginx starts with it but ends every handshake"
    )
    fix = (
        f"Give the key that the certificate was requested with, or have one issued for this key. handclasp "
        f"itself, with both in a spec, serves them: it writes the key as {wanted}."
    )
    return [found("key-cert-mismatch", seen, where=where, fix=fix)]


def _worse(certificate: x509.Certificate, now: datetime) -> tuple[bool, bool]:
    in_force = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    return facts.is_ca(certificate), not in_force


def _twice(files: Sequence[ReadFile]) -> list[Finding]:
    places: dict[x509.Certificate, list[str]] = {}
    for file in files:
        for certificate in file.contents.certificates:
            places.setdefault(certificate, []).append(file.contents.source)
    return [
        found(
            "certificate-given-twice",
            f"{facts.label(certificate)} is there {len(sources)} times",
            where=Where(file=", ".join(dict.fromkeys(sources))),
        )
        for certificate, sources in places.items()
        if len(sources) > 1
    ]


def _choose_key(
    files: Sequence[ReadFile], certificates: Sequence[x509.Certificate]
) -> tuple[ReadFile | None, FoundKey | None, list[Finding]]:
    findings = [finding for file in files for finding in file.findings]
    keys = [(file, key) for file in files for key in file.contents.keys]
    usable = [(file, key) for file, key in keys if key.key is not None]
    for certificate in certificates:
        wanted = spki(certificate.public_key())
        for file, key in usable:
            if key.key is not None and spki(key.key.reveal().public_key()) == wanted:
                dropped = [other.problem for _, other in keys]
                return file, key, [one for one in findings if one not in dropped]
    if len({spki(key.key.reveal().public_key()) for _, key in usable if key.key}) > 1:
        seen = f"there are {len(usable)} private keys and none of them fits a certificate"
        places = ", ".join(dict.fromkeys(file.contents.source for file, _ in usable))
        findings.append(found("several-keys-in-file", seen, where=Where(file=places)))
        return None, None, findings
    return (*usable[0], findings) if usable else (None, None, findings)


def _no_certificate(files: Sequence[ReadFile]) -> list[Finding]:
    requests = [file for file in files if file.contents.csrs]
    if requests:
        seen = "it holds a signing request, and there is no certificate"
        return [found("csr-given-as-cert", seen, where=requests[0].where)]
    if any(one.severity is Severity.ERROR for file in files for one in file.findings):
        return []
    held = "private keys" if any(file.contents.keys for file in files) else "other objects"
    places = ", ".join(file.contents.source for file in files)
    seen = f"there is no certificate among the files, only {held}"
    return [found("certificate-unreadable", seen, where=Where(file=places))]
