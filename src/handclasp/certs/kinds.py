"""What a DER value or a file is, told from its shape and its first bytes (never its name)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from handclasp.certs import ber, der

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_PKCS7_DATA = "1.2.840.113549.1.7.1"
_ENCRYPTED_DATA = frozenset(
    {
        "1.2.840.113549.1.7.3",  # EnvelopedData (RFC 5652 section 6)
        "1.2.840.113549.1.7.4",  # SignedAndEnvelopedData (RFC 2315)
        "1.2.840.113549.1.7.6",  # EncryptedData
        "1.2.840.113549.1.9.16.1.23",  # AuthEnvelopedData (RFC 5083)
    }
)
_ENOUGH = 10  # fields: no kind needs more to be told, and a hostile file may have millions


class Kind(StrEnum):
    """Kinds of object that are told apart."""

    CERTIFICATE = "certificate"
    CSR = "signing request"
    CRL = "revocation list"
    PKCS7 = "pkcs7"
    PKCS12 = "pkcs12"
    KEY_PKCS8 = "pkcs8"
    KEY_PKCS8_ENCRYPTED = "pkcs8-encrypted"
    KEY_PKCS1 = "pkcs1"
    KEY_SEC1 = "sec1"
    KEY_DSA = "dsa"
    PUBLIC_KEY = "public key"
    ENCRYPTED_MESSAGE = "encrypted message"


KEY_KINDS = frozenset(
    {Kind.KEY_PKCS8, Kind.KEY_PKCS8_ENCRYPTED, Kind.KEY_PKCS1, Kind.KEY_SEC1, Kind.KEY_DSA}
)


def kind_of(data: bytes) -> tuple[Kind | None, int]:
    """The kind of the DER value at the start of `data`, and where that value ends.

    Raises DerError when it is no well-formed value, IndefiniteLengthError for BER.
    """
    top = der.read_element(data)
    if top.tag != der.SEQUENCE:
        return None, top.end
    parts = der.children(data, top, most=_ENOUGH)
    tags = [part.tag for part in parts]
    if tags == [der.SEQUENCE, der.SEQUENCE, der.BIT_STRING]:
        return _signed_kind(data, parts[0]), top.end
    return _plain_kind(data, parts, tags), top.end


def told_apart(data: bytes) -> tuple[Kind | None, bytes, int]:
    """The kind of the value at the start of `data`, None when there is none that is known; the value,
    BER made definite; and where it ended."""
    try:
        try:
            kind, end = kind_of(data)
        except der.IndefiniteLengthError:
            value, end = ber.definite(data)
            return kind_of(value)[0], value, end
    except der.DerError:
        return None, b"", 0
    return kind, data[:end], end


def _plain_kind(data: bytes, parts: list[der.Element], tags: list[int]) -> Kind | None:
    first_oid = der.oid_text(parts[0].content(data)) if tags[:1] == [der.OID] else ""
    if first_oid == _SIGNED_DATA:
        return Kind.PKCS7
    if first_oid in _ENCRYPTED_DATA:
        return Kind.ENCRYPTED_MESSAGE
    if tags == [der.SEQUENCE, der.OCTET_STRING]:
        return Kind.KEY_PKCS8_ENCRYPTED
    if tags == [der.SEQUENCE, der.BIT_STRING]:
        return Kind.PUBLIC_KEY
    if tags[:3] == [der.INTEGER, der.SEQUENCE, der.OCTET_STRING]:
        return Kind.KEY_PKCS8
    if tags[:2] == [der.INTEGER, der.OCTET_STRING]:
        return Kind.KEY_SEC1
    if tags[:2] == [der.INTEGER, der.SEQUENCE]:
        inner = der.children(data, parts[1], most=_ENOUGH)
        wrapped = inner and inner[0].tag == der.OID and der.oid_text(inner[0].content(data))
        return Kind.PKCS12 if wrapped in (_PKCS7_DATA, _SIGNED_DATA) else None
    if tags and set(tags) == {der.INTEGER} and len(tags) >= 9:
        return Kind.KEY_PKCS1
    if tags == [der.INTEGER] * 6:
        return Kind.KEY_DSA
    return None


def _signed_kind(data: bytes, to_be_signed: der.Element) -> Kind | None:
    tags = [part.tag for part in der.children(data, to_be_signed, most=_ENOUGH)]
    if tags[:1] == [der.CONTEXT_0]:
        return Kind.CERTIFICATE
    times = (der.UTC_TIME, der.GENERALIZED_TIME)
    if any(tag in times for tag in tags[2:4]):
        return Kind.CRL
    if tags[:3] == [der.INTEGER, der.SEQUENCE, der.SEQUENCE]:
        # Version 1 certificates have no version field, so they start as a request does.
        return Kind.CERTIFICATE if len(tags) >= 6 else Kind.CSR
    return None


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file of another world: what it is and the way out; `key_form` when it is a private key."""

    seen: str
    fix: str
    key_form: str | None = None


def foreign(data: bytes) -> Foreign | None:
    """What a file of another world is; None when it does not look like one."""
    return next((known for magic, known in _FOREIGN if data.startswith(magic)), None)


def mail(data: bytes) -> Foreign | None:
    """What an S/MIME message is (RFC 8551); None when the text is none."""
    header = _SMIME.search(data[:_LETTER_HEAD])
    if header is None:
        return None
    return _ENCRYPTED_MAIL if b"enveloped-data" in header[0].lower() else _SIGNED_MAIL


OPENSSH_KEY = Foreign(
    "it is an OpenSSH private key",
    "Convert a copy to PEM: ssh-keygen -p -m PKCS8 -f COPY.",
    "openssh",
)
ELSEWHERE = {
    "OPENSSH PRIVATE KEY": OPENSSH_KEY,
    "TSS2 PRIVATE KEY": Foreign(
        "it is the handle of a key in a TPM (TSS2 PRIVATE KEY)",
        "Only programs with the tpm2 provider or engine can use it; handclasp takes keys in files and "
        "keys in PKCS#11 tokens (tpm2-pkcs11 offers a TPM as one).",
        "tpm",
    ),
    "PKCS#11 PROVIDER URI": Foreign(
        "it is not a key but names one in a PKCS#11 token (PKCS#11 PROVIDER URI)",
        "Give the URI itself: `key: pkcs11:…` in the spec, --key pkcs11:… for `handclasp hsm`.",
        "pkcs11-uri",
    ),
}
"""PEM labels of keys that are elsewhere, or in a form that TLS programs do not read."""
_PUTTY_KEY = Foreign(
    "it is a PuTTY key",
    "Convert it: puttygen KEY.ppk -O private-openssh-new -o COPY, then "
    "ssh-keygen -p -m PKCS8 -f COPY.",
    "putty",
)
_KEYTOOL = (
    "Convert it: keytool -importkeystore -srckeystore FILE -destkeystore out.p12 "
    "-deststoretype PKCS12, and use out.p12."
)


def decrypt(form: str) -> str:
    """The way out for an encrypted message; `form` is DER, PEM or SMIME."""
    return (
        f"Decrypt it with the key of the one it was sent to: openssl cms -decrypt -inform {form} -in FILE "
        "-recip CERT.pem -inkey KEY.pem -out OUT; then give OUT."
    )


_LETTER_HEAD = 8192  # the header lines of a mail stand there
_SMIME = re.compile(
    rb"^Content-Type:(?:[^\n]|\n[ \t])*?pkcs7-(?:mime|signature)(?:[^\n]|\n[ \t])*",
    re.IGNORECASE | re.MULTILINE,
)
_ENCRYPTED_MAIL = Foreign("it is an encrypted S/MIME message", decrypt("SMIME"))
_SIGNED_MAIL = Foreign(
    "it is an S/MIME message, in which certificates may be",
    "Take them out: openssl smime -pk7out -in FILE -out certificates.p7b, and use that file.",
)
_UTF16 = Foreign(
    "it is UTF-16 text",
    "Save it as UTF-8 or ASCII without a byte order mark (PowerShell: Out-File -Encoding ascii).",
)
_SSH_PUBLIC = Foreign(
    "it is an SSH public key", "Give the certificate or the private key in PEM form."
)
_HTML = Foreign("it is an HTML page", "Download the certificate itself, not the page around it.")
_UNPACK = "Unpack it and name the file inside."

_FOREIGN: tuple[tuple[bytes, Foreign], ...] = (
    (b"\xff\xfe", _UTF16),
    (b"\xfe\xff", _UTF16),
    (b"-\x00-\x00", _UTF16),
    (b"\x00-\x00-", _UTF16),
    (b"\xfe\xed\xfe\xed", Foreign("it is a Java key store (JKS)", _KEYTOOL)),
    (b"\xce\xce\xce\xce", Foreign("it is a Java key store (JCEKS)", _KEYTOOL)),
    (b"PuTTY-User-Key-File-", _PUTTY_KEY),
    (b"---- BEGIN SSH2 ", _SSH_PUBLIC),
    (b"ssh-", _SSH_PUBLIC),
    (b"ecdsa-sha2-", _SSH_PUBLIC),
    (b"PK\x03\x04", Foreign("it is a ZIP archive", _UNPACK)),
    (b"\x1f\x8b", Foreign("it is a gzip file", _UNPACK)),
    (b"%PDF-", Foreign("it is a PDF document", "Ask for the certificate itself, as PEM.")),
    (b"<!DOCTYPE", _HTML),
    (b"<html", _HTML),
)

IGNORED_LABELS = frozenset(
    {"DH PARAMETERS", "X9.42 DH PARAMETERS", "EC PARAMETERS", "DSA PARAMETERS"}
)
LABELS: dict[Kind, frozenset[str]] = {
    Kind.CERTIFICATE: frozenset({"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"}),
    Kind.CSR: frozenset({"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"}),
    Kind.CRL: frozenset({"X509 CRL"}),
    Kind.PKCS7: frozenset({"PKCS7", "PKCS #7 SIGNED DATA", "CMS"}),
    Kind.PKCS12: frozenset(),
    Kind.KEY_PKCS8: frozenset({"PRIVATE KEY"}),
    Kind.KEY_PKCS8_ENCRYPTED: frozenset({"ENCRYPTED PRIVATE KEY"}),
    Kind.KEY_PKCS1: frozenset({"RSA PRIVATE KEY"}),
    Kind.KEY_SEC1: frozenset({"EC PRIVATE KEY"}),
    Kind.KEY_DSA: frozenset({"DSA PRIVATE KEY"}),
    Kind.PUBLIC_KEY: frozenset({"PUBLIC KEY", "RSA PUBLIC KEY"}),
    Kind.ENCRYPTED_MESSAGE: frozenset({"PKCS7", "CMS"}),
}
"""PEM labels each kind may bear; others are taken for a mistake, and the content counts."""
