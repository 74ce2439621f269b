"""Identities and trust bundles from the files a spec names (edge).

Nothing is raised for bad input: what comes back has findings, so that all problems of a spec can
be told at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from handclasp.certs import facts
from handclasp.certs.chain import Ordered, order
from handclasp.certs.contents import Contents
from handclasp.certs.material import IdentityMaterial, TokenKey, TrustMaterial
from handclasp.certs.private_keys import FoundKey, spki
from handclasp.certs.read import LIMIT, LIST_LIMIT, read_objects
from handclasp.errors import UsageError
from handclasp.findings import Finding, Severity, Where, found
from handclasp.keys.files import FileRead, check_key_file, read_file
from handclasp.keys.system_trust import read_system_bundle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from handclasp.keys.secret import SecretSource


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file that was read and what is in it; no contents when it could not be read."""

    read: FileRead
    contents: Contents

    @property
    def path(self) -> Path:
        return self.read.path

    @property
    def where(self) -> Where:
        return Where(file=str(self.read.path))

    def findings(self, *, keys_wanted: bool) -> list[Finding]:
        """Reading problems; those of keys only where keys are looked for in this file."""
        if self.read.problem is not None:
            return [self.read.problem]
        skipped = (
            []
            if keys_wanted
            else [key.problem for key in self.contents.keys if key.form != "pkcs12"]
        )
        return [finding for finding in self.contents.findings if finding not in skipped]


def load_identity(
    name: str,
    *,
    certificate: Path,
    key: Path | None = None,
    password: SecretSource | None = None,
    allow_wide_mode: bool = False,
) -> IdentityMaterial:
    """An identity: leaf, chain in order, and decrypted key.

    `certificate` may be PEM, DER, PKCS#7 or PKCS#12; without `key` the key is looked for in it.
    `allow_wide_mode` turns the error about a key file that others may read into a warning.
    """
    secret, no_secret = _password(password)
    certificate_file = _open(certificate, secret, unreadable="certificate-unreadable")
    key_file = None
    if key is not None and key != certificate:
        key_file = _open(key, secret, unreadable="key-unreadable")
    holder = key_file or certificate_file
    chosen, key_findings = _choose_key(holder, certificate_file)
    private_key = chosen.key if chosen else None
    public = private_key.reveal().public_key() if private_key else None
    ordered = order(certificate_file.contents.certificates, key=public)

    findings = _reading_findings(certificate_file, key_file, key_findings)
    if no_secret is not None and chosen is None:
        findings = [_with_reason(finding, no_secret) for finding in findings]
    for file in (certificate_file, *((key_file,) if key_file else ())):
        if file.contents.keys:
            findings += check_key_file(file.read, allow_wide_mode=allow_wide_mode)
    if ordered is not None:
        findings += order_findings(ordered, certificate_file.contents)
    return IdentityMaterial(
        name=name,
        certificate_file=certificate,
        key_file=holder.path,
        leaf=ordered.leaf if ordered else None,
        chain=ordered.chain if ordered else (),
        root=ordered.root if ordered else None,
        unlinked=ordered.unlinked if ordered else (),
        key=private_key,
        encrypted=chosen is not None and chosen.encrypted,
        key_mode=holder.read.mode,
        findings=tuple(dict.fromkeys(findings)),
    )


def _reading_findings(
    certificate: _File, key: _File | None, key_findings: _KeyFindings
) -> list[Finding]:
    findings = certificate.findings(keys_wanted=key is None)
    findings += key.findings(keys_wanted=True) if key else []
    findings += _missing_certificate(certificate, key)
    return [f for f in findings if f not in key_findings.dropped] + list(key_findings.added)


def _open(
    path: Path,
    secret: bytes | None,
    *,
    unreadable: str,
    pipes: bool = False,
    most: int = LIMIT,
) -> _File:
    read = read_file(path, unreadable=unreadable, pipes=pipes, most=most)
    if read.data is None:
        return _File(read=read, contents=Contents(str(path), "unknown"))
    contents = read_objects(read.data, source=str(path), password=secret, most=most)
    return _File(read=read, contents=contents)


def _password(source: SecretSource | None) -> tuple[bytes | None, str | None]:
    # A password that cannot be had matters only if something turns out to need it.
    if source is None:
        return None, None
    try:
        return source.read().reveal(), None
    except UsageError as error:
        return None, error.message


_NEED_PASSWORD = ("key-encrypted-no-passphrase", "keystore-wrong-password")


def _with_reason(finding: Finding, reason: str) -> Finding:
    if finding.slug not in _NEED_PASSWORD:
        return finding
    fix = (
        "Write the password as the only line of the file named under `password: {file: PATH}`, or set"
        " the variable named under `password: {env: NAME}`."
    )
    return found(finding.slug, f"{finding.seen}: {reason}", where=finding.where, fix=fix)


def _missing_certificate(certificate: _File, key: _File | None) -> list[Finding]:
    contents = certificate.contents
    if contents.certificates or certificate.read.data is None:
        return []
    if key is not None and contents.keys and key.contents.certificates:
        seen = f"it holds a private key, and the key file {key.path} holds a certificate"
        return [found("cert-key-swapped", seen, where=certificate.where)]
    if contents.csrs:
        return [found("csr-given-as-cert", "it holds a signing request", where=certificate.where)]
    if any(finding.severity is Severity.ERROR for finding in contents.findings):
        return []
    held = "a private key" if contents.keys else "a CRL" if contents.crls else "other objects"
    seen = f"it holds {held} and no certificate"
    return [found("certificate-unreadable", seen, where=certificate.where)]


def load_token_identity(
    name: str, *, certificate: Path, token: TokenKey, findings: Sequence[Finding] = ()
) -> IdentityMaterial:
    """An identity whose key stays in a token; `findings` are those of looking at the token."""
    file = _open(certificate, None, unreadable="certificate-unreadable")
    ordered = order(file.contents.certificates, key=token.public)
    said = [*file.findings(keys_wanted=False), *_missing_certificate(file, None), *findings]
    if ordered is not None:
        said += order_findings(ordered, file.contents)
    return IdentityMaterial(
        name=name,
        certificate_file=certificate,
        key_file=certificate,
        leaf=ordered.leaf if ordered else None,
        chain=ordered.chain if ordered else (),
        root=ordered.root if ordered else None,
        unlinked=ordered.unlinked if ordered else (),
        token=token,
        findings=tuple(dict.fromkeys(said)),
    )


@dataclass(frozen=True, slots=True)
class _KeyFindings:
    added: tuple[Finding, ...] = ()
    dropped: tuple[Finding, ...] = ()


def _choose_key(holder: _File, certificate: _File) -> tuple[FoundKey | None, _KeyFindings]:
    """The key that fits a certificate, else the only one there is."""
    keys = holder.contents.keys
    usable = [key for key in keys if key.key is not None]
    issued_for = {spki(cert.public_key()) for cert in certificate.contents.certificates}
    for key in usable:
        if key.key is not None and spki(key.key.reveal().public_key()) in issued_for:
            others = tuple(other.problem for other in keys if other.problem is not None)
            return key, _KeyFindings(dropped=others)
    if len(usable) > 1:
        seen = f"it holds {len(usable)} private keys and none of them fits a certificate"
        finding = found("several-keys-in-file", seen, where=holder.where)
        return None, _KeyFindings(added=(finding,))
    if usable:
        return usable[0], _KeyFindings()
    return None, _KeyFindings(added=_no_key(holder, certificate))


def _no_key(holder: _File, certificate: _File) -> tuple[Finding, ...]:
    contents = holder.contents
    if holder.read.data is None or contents.keys:
        return ()  # said already
    if holder is not certificate and contents.certificates and certificate.contents.keys:
        return ()  # cert-key-swapped says it
    if any(finding.severity is Severity.ERROR for finding in contents.findings):
        return ()
    if holder is certificate:
        seen = "it holds no private key, and no key file is named"
        fix = "Name the file with the private key under `key:`."
        return (found("key-not-found-in-file", seen, where=holder.where, fix=fix),)
    held = "a certificate" if contents.certificates else "other objects"
    seen = f"it holds {held} and no private key"
    return (found("key-not-found-in-file", seen, where=holder.where),)


def order_findings(
    ordered: Ordered, contents: Contents, *, as_it_is: bool = False
) -> list[Finding]:
    """A file whose certificates are not in the order TLS wants.

    `as_it_is`: it is to be used by other programs, and where the leaf is not the first they do not start.
    """
    # PKCS#7 is a set and PKCS#12 a bag: their order says nothing.
    if ordered.in_order or contents.format in ("pkcs7", "pkcs12"):
        return []
    first = contents.certificates[0]
    expected = (ordered.leaf, *ordered.chain)
    names = ", ".join(facts.label(certificate) for certificate in expected)
    seen = f"the file starts with {facts.label(first)}"
    if first == ordered.leaf:
        seen = "the certificates of the chain are not in order"
    elif as_it_is:
        told = (
            f"{seen}, not with {facts.label(ordered.leaf)}: nginx and others take the first for the "
            "certificate of the key, and do not start (key values mismatch)"
        )
        fix = (
            "Put it in order: handclasp cert bundle FILE... -o chain.pem. handclasp itself, with the file in "
            "a spec, serves it in order."
        )
        where = Where(file=contents.source)
        return [found("chain-order-wrong", told, where=where, fix=fix)]
    return [
        found(
            "chain-order-wrong",
            f"{seen}; handclasp serves {names}, other programs take the order of the file",
            where=Where(file=contents.source),
            severity=Severity.WARNING,
        )
    ]


def load_trust(
    name: str,
    *,
    certificates: Sequence[Path] = (),
    crls: Sequence[Path] = (),
    public: Literal["system"] | None = None,
    pipes: bool = False,
    title: str | None = None,
) -> TrustMaterial:
    """A trust bundle: every certificate of `certificates`, every CRL of both lists of files.

    `public="system"` adds the bundle of the operating system as bytes, unparsed; with `pipes` they are
    read too (see `read_file`). `title` is what messages call it where no spec names it.
    """
    anchor_files, crl_files = (
        [
            _open(path, None, unreadable="certificate-unreadable", pipes=pipes, most=most)
            for path in paths
        ]
        for paths, most in ((certificates, LIMIT), (crls, LIST_LIMIT))
    )
    findings = [finding for file in anchor_files for finding in _anchor_file_findings(file)]
    findings += [finding for file in crl_files for finding in _crl_file_findings(file)]
    raw, raw_path, problem = read_system_bundle() if public == "system" else (None, None, None)
    if problem is not None:
        findings.append(problem)
    anchors = {cert: file.path for file in anchor_files for cert in file.contents.certificates}
    # The library's CRLs are not hashable, so doubles are found by signature.
    lists = {
        crl.signature: (crl, file.path)
        for file in (*anchor_files, *crl_files)
        for crl in file.contents.crls
    }
    return TrustMaterial(
        name=name,
        files=(*certificates, *crls, *((raw_path,) if raw_path else ())),
        anchors=tuple(anchors),
        anchor_files=tuple(anchors.values()),
        crls=tuple(crl for crl, _ in lists.values()),
        crl_files=tuple(path for _, path in lists.values()),
        findings=tuple(dict.fromkeys(findings)),
        public=public is not None,
        raw=raw,
        title=title,
    )


def _anchor_file_findings(file: _File) -> list[Finding]:
    if file.read.data is not None and not file.read.data.strip():
        return [found("trust-bundle-empty", "the file is empty", where=file.where)]
    findings = file.findings(keys_wanted=False)
    if file.contents.certificates or file.contents.crls or file.read.data is None:
        return findings
    if any(finding.severity is Severity.ERROR for finding in findings):
        return findings
    seen = "the file holds no certificate"
    return [*findings, found("trust-bundle-empty", seen, where=file.where)]


def _crl_file_findings(file: _File) -> list[Finding]:
    findings = file.findings(keys_wanted=False)
    if file.contents.crls or any(finding.severity is Severity.ERROR for finding in findings):
        return findings
    seen = "it holds no revocation list"
    fix = "Name the CRL of the CA, as PEM or DER, under `crl:`."
    return [*findings, found("certificate-unreadable", seen, where=file.where, fix=fix)]
