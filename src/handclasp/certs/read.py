"""Bytes to certificates, keys, requests and CRLs, told from the bytes and never from the suffix.

Nothing here raises for bad input: what cannot be read becomes a finding that says what was seen.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key

from handclasp.certs import pem
from handclasp.certs.algorithms import is_explicit, is_pss_only, public_key_algorithm
from handclasp.certs.broken import broken_part, readable_part
from handclasp.certs.contents import MOST_FINDINGS, Contents, FoundObject, Signed, bounded
from handclasp.certs.kinds import (
    ELSEWHERE,
    IGNORED_LABELS,
    KEY_KINDS,
    LABELS,
    Foreign,
    Kind,
    decrypt,
    foreign,
    mail,
    told_apart,
)
from handclasp.certs.pkcs7 import read_pkcs7
from handclasp.certs.pkcs12 import read_pkcs12
from handclasp.certs.private_keys import (
    UNREADABLE,
    FoundKey,
    FoundPublicKey,
    key_from_der,
    key_from_legacy_pem,
)
from handclasp.findings import Finding, Severity, Where, found

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 10 * 1024 * 1024
"""Largest input in bytes; the public CA bundle is 0.2 MB."""
LIST_LIMIT = 128 * 1024 * 1024
"""Where revocation lists are expected. From a server 64 MiB are taken, which may be a third more as PEM."""


def read_objects(
    data: bytes, *, source: str, password: bytes | None = None, most: int = LIMIT
) -> Contents:
    """Everything in `data`; findings call it `source`, `password` opens what is encrypted.

    A key that cannot be opened is still in `keys`, with its `problem`, which is in `findings` too.
    """
    with warnings.catch_warnings():
        # The library warns of what RFC 5280 forbids but exists (serial 0); our checks judge that.
        warnings.simplefilter("ignore")
        reader = _Reader(source, password, most)
        form = reader.read(data)
        if not reader.objects and not reader.findings:
            reader.say_nothing_in_it()
    findings = bounded(reader.findings, reader.unlisted)
    return Contents(source, form, tuple(reader.objects), findings)


class _Reader:
    """Collects objects and findings while one input is read."""

    def __init__(self, source: str, password: bytes | None, most: int) -> None:
        self.source = source
        self.password = password
        self.most = most
        self.objects: list[FoundObject] = []
        self.findings: list[Finding] = []
        self.failed = False
        self.unlisted = 0

    def read(self, data: bytes) -> str:
        """Reads all of it and returns the format."""
        if len(data) > self.most:
            told = f"it is larger than {self.most // 2**20} MiB"
            self._say("certificate-unreadable", told, fix=_WRONG_FILE)
            return "unknown"
        data = data.removeprefix(b"\xef\xbb\xbf")
        if not data.strip():
            self._say("pem-empty-or-corrupt", "the file is empty")
            return "unknown"
        known = foreign(data.lstrip(b" \t\r\n"))
        if known is not None:
            self._say_foreign(known)
            return "unknown"
        if pem.has_blocks(data):
            for block in pem.blocks(data):
                self._block(block)
            return "pem"
        if (letter := mail(data)) is not None:
            self._say_foreign(letter)
            return "unknown"
        return self._binary(data)

    def say_nothing_in_it(self) -> None:
        """An empty PKCS#12, or a file of parameters only: well-formed, and of no use."""
        self._say("pem-empty-or-corrupt", "there is no certificate or key in it", fix=_WRONG_FILE)

    def _say_foreign(self, known: Foreign, line: int | None = None) -> None:
        if known.key_form is None:
            self._say("not-pem", known.seen, line=line, fix=known.fix)
            return
        seen = f"{known.seen}, which TLS programs do not read"
        problem = found("key-unreadable", seen, where=self._where(line), fix=known.fix)
        self._add_key(FoundKey(form=known.key_form, encrypted=False, line=line, problem=problem))

    def _block(self, block: pem.Block) -> None:
        if block.label in ELSEWHERE:
            self._say_foreign(ELSEWHERE[block.label], line=block.line)
            return
        if block.problem is not None or block.der is None:
            self._say(
                "pem-empty-or-corrupt", f"the {block.label} block: {block.problem}", line=block.line
            )
            return
        if block.glued:
            self._say(
                "pem-empty-or-corrupt",
                f"the BEGIN or END line of the {block.label} block does not stand alone; "
                "handclasp reads it, nginx and OpenSSL would not",
                line=block.line,
                severity=Severity.WARNING,
            )
        if any("ENCRYPTED" in header for header in block.headers):
            where = self._where(block.line)
            key = key_from_legacy_pem(
                block.text, "pem-encrypted", password=self.password, where=where, line=block.line
            )
            self._add_key(key)
            return
        if block.label in IGNORED_LABELS:
            return
        self._value(bytes(block.der), line=block.line, label=block.label)

    def _binary(self, data: bytes) -> str:
        kind, value, end = told_apart(data)
        if kind is None:
            return self._unknown(data)
        if data[end:].strip(b"\x00\r\n\t "):
            self._say(
                "certificate-unreadable",
                f"{len(data) - end} bytes follow the {kind.value}; they are ignored",
                severity=Severity.WARNING,
            )
        self._value(value)
        return kind.value if kind in (Kind.PKCS7, Kind.PKCS12) else "der"

    def _unknown(self, data: bytes) -> str:
        decoded = pem.bare_base64(data)
        if decoded is not None:
            kind, value, _ = told_apart(decoded)
            if kind is not None:
                self._say(
                    "not-pem",
                    f"it is the base64 of a {kind.value} without BEGIN and END lines; "
                    "handclasp reads it, nginx would not",
                    severity=Severity.WARNING,
                )
                self._value(value)
                return "base64"
        if data[:1] == b"\x30" and len(data) > 1 and data[1] & 0x80:
            self._say(
                "certificate-unreadable", "it starts like DER but is damaged or cut off", fix=_COPY
            )
        else:
            self._say(
                "not-pem",
                "there is no certificate, key or other known object in it",
                fix=_WRONG_FILE,
            )
        return "unknown"

    def _value(self, data: bytes, *, line: int | None = None, label: str | None = None) -> None:
        """One DER value; what it is comes from its shape, since labels are wrong now and then."""
        # `openssl x509 -trustout` appends trust settings to the certificate; they are not for TLS.
        kind, data, _ = told_apart(data)
        if kind is None:
            what = f"the {label} block" if label else "the file"
            self._say(
                "pem-empty-or-corrupt", f"{what} does not hold what it says: damaged", line=line
            )
            return
        if label and label not in LABELS[kind]:
            self._say(
                "pem-empty-or-corrupt",
                f"the block labelled {label} holds a {kind.value}; handclasp goes by the content",
                line=line,
                severity=Severity.WARNING,
            )
        if kind in KEY_KINDS:
            where = self._where(line)
            key = key_from_der(data, kind.value, password=self.password, where=where, line=line)
            self._add_key(key)
        elif kind is Kind.CERTIFICATE:
            self._load(x509.load_der_x509_certificate, data, kind, line)
        elif kind is Kind.CSR:
            self._load(x509.load_der_x509_csr, data, kind, line)
        elif kind is Kind.CRL:
            self._load(x509.load_der_x509_crl, data, kind, line)
        elif kind is Kind.PKCS12:
            self._pkcs12(data)
        elif kind is Kind.PKCS7:
            self._pkcs7(data, line)
        elif kind is Kind.ENCRYPTED_MESSAGE:
            seen = "it is an encrypted message (CMS, PKCS#7); what is in it cannot be seen"
            self._say(
                "certificate-unreadable", seen, line=line, fix=decrypt("PEM" if line else "DER")
            )
        elif kind is Kind.PUBLIC_KEY:
            self._public_key(data, line)

    def _load(
        self, loader: Callable[[bytes], Signed], data: bytes, kind: Kind, line: int | None
    ) -> None:
        try:
            value = loader(data)
        except UNREADABLE as error:
            seen = f"the {kind.value} cannot be used: {error}"
            self._say("certificate-unreadable", seen, line=line)
            return
        self._add(value, kind, line)

    def _add(self, value: Signed, kind: Kind, line: int | None) -> None:
        problem = broken_part(value)
        if problem is None:
            self.objects.append(FoundObject(value, line))
            return
        seen = f"the {kind.value}{readable_part(value)} cannot be used: {problem}"
        self._say("certificate-unreadable", seen, line=line)

    def _pkcs12(self, data: bytes) -> None:
        keys, certificates, findings = read_pkcs12(
            data, password=self.password, where=self._where(None)
        )
        self.objects += [FoundObject(key) for key in keys]
        self.findings += findings
        for certificate in certificates:
            self._add(certificate, Kind.CERTIFICATE, None)

    def _pkcs7(self, data: bytes, line: int | None) -> None:
        try:
            certificates, lists = read_pkcs7(data)
        except UNREADABLE:
            self._say("certificate-unreadable", "the PKCS#7 is damaged", line=line, fix=_COPY)
            return
        if not certificates and not lists:
            seen = "the PKCS#7 has no certificate in it"
            self._say("pem-empty-or-corrupt", seen, line=line, fix=_WRONG_FILE)
        for certificate in certificates:
            self._add(certificate, Kind.CERTIFICATE, line)
        for crl in lists:
            self._add(crl, Kind.CRL, line)

    def _public_key(self, data: bytes, line: int | None) -> None:
        try:
            key = load_der_public_key(data)
        except UNREADABLE as error:
            self._say("key-unreadable", f"the public key cannot be used: {error}", line=line)
            return
        # The library reads PKCS#1 too (RSA PUBLIC KEY), but what comes here is a SubjectPublicKeyInfo.
        identifier = public_key_algorithm(data)
        public = FoundPublicKey(key, pss=is_pss_only(identifier), explicit=is_explicit(identifier))
        self.objects.append(FoundObject(public, line))

    def _add_key(self, key: FoundKey) -> None:
        self.objects.append(FoundObject(key, key.line))
        if key.problem is not None:
            self.findings.append(key.problem)

    def _where(self, line: int | None) -> Where:
        return Where(file=self.source, line=line)

    def _say(
        self,
        slug: str,
        seen: str,
        *,
        line: int | None = None,
        fix: str | None = None,
        severity: Severity | None = None,
    ) -> None:
        if len(self.findings) >= MOST_FINDINGS and (severity is not None or self.failed):
            self.unlisted += 1  # only counted: making hundreds of thousands takes seconds
            return
        finding = found(slug, seen, where=self._where(line), fix=fix, severity=severity)
        self.failed = self.failed or finding.severity is Severity.ERROR
        self.findings.append(finding)


_COPY = "Copy or export it again, in binary mode."
_WRONG_FILE = "Give the file that holds the certificate or key."
