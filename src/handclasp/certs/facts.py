"""Single facts of a certificate that several checks ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from handclasp.backend.certificate import serial_text as hexadecimal
from handclasp.certs import der
from handclasp.certs.chain import self_signed
from handclasp.certs.dn import subject_text
from handclasp.certs.private_keys import UNREADABLE

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes


_NETSCAPE_TYPE = "2.16.840.1.113730.1.1"
PURPOSE_NAMES = {
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
}
"""Extended key usages by the names RFC 5280 section 4.2.1.12 gives them."""


def label(certificate: x509.Certificate) -> str:
    """The certificate in a sentence: its subject, or its serial when the subject is empty."""
    text = subject_text(certificate)
    return f"'{text}'" if text else f"with serial {serial_text(certificate)}"


def date(moment: datetime) -> str:
    """`2026-11-24 06:00 UTC`."""
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def serial_number(certificate: x509.Certificate) -> int:
    """The serial as it stands there, which may be zero or negative.

    Read from the DER, since the library warns at, and is going to refuse, such serials.
    """
    content = _serial_content(certificate)
    return int.from_bytes(content, "big", signed=True)


def serial_text(certificate: x509.Certificate) -> str:
    """The serial in hexadecimal, whole bytes, as OpenSSL and nginx write it."""
    return hexadecimal(serial_number(certificate))


def serial_problem(certificate: x509.Certificate) -> str | None:
    """What is wrong with the serial by RFC 5280 section 4.1.2.2, if anything."""
    content = _serial_content(certificate)
    value = int.from_bytes(content, "big", signed=True)
    if value <= 0:
        return "zero" if value == 0 else "negative"
    return f"{len(content)} bytes long" if len(content) > 20 else None


def is_ca(certificate: x509.Certificate) -> bool:
    """basicConstraints say CA:TRUE, or it is a self-signed version 1 root (OpenSSL's check_ca)."""
    constraints = basic_constraints(certificate)
    if constraints is not None:
        return constraints.ca
    if certificate.version is x509.Version.v1:
        return self_signed(certificate)
    usage = key_usage(certificate)
    return usage is not None and usage.key_cert_sign


def basic_constraints(certificate: x509.Certificate) -> x509.BasicConstraints | None:
    """The extension's value."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None


def key_usage(
    certificate: x509.Certificate | x509.CertificateSigningRequest,
) -> x509.KeyUsage | None:
    """The extension's value."""
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def extended_key_usages(
    certificate: x509.Certificate | x509.CertificateSigningRequest,
) -> tuple[x509.ObjectIdentifier, ...] | None:
    """The purposes in certificate order; None when the extension is absent (any purpose)."""
    try:
        return tuple(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return None


# X509_supported_extension of OpenSSL 3 (crypto/x509/v3_purp.c); everything else that is critical is refused.
_KNOWN_EXTENSIONS = frozenset(
    {
        _NETSCAPE_TYPE,
        *("2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31"),
        *("2.5.29.32", "2.5.29.33", "2.5.29.35", "2.5.29.36", "2.5.29.37", "2.5.29.54"),
        *("1.3.6.1.5.5.7.1.7", "1.3.6.1.5.5.7.1.8", "1.3.6.1.5.5.7.1.14"),
    }
)


def unknown_critical(certificate: x509.Certificate) -> tuple[str, ...]:
    """OIDs of critical extensions that OpenSSL does not know."""
    return tuple(
        extension.oid.dotted_string
        for extension in certificate.extensions
        if extension.critical and extension.oid.dotted_string not in _KNOWN_EXTENSIONS
    )


def netscape_type_allows(certificate: x509.Certificate, *, server: bool) -> bool:
    """The nsCertType of the nineties, which OpenSSL still reads: bit 0 is a client, bit 1 a server, bit 5
    a CA of either. True without the extension."""
    for extension in certificate.extensions:
        value = extension.value
        if extension.oid.dotted_string == _NETSCAPE_TYPE and isinstance(
            value, x509.UnrecognizedExtension
        ):
            bits = value.value[3] if len(value.value) > 3 else 0
            wanted = 0x04 if is_ca(certificate) else 0x40 if server else 0x80
            return bool(bits & wanted)
    return True


def crl_urls(certificate: x509.Certificate) -> tuple[str, ...]:
    """Where the issuer's revocation list can be had (RFC 5280 section 4.2.1.13)."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(
        name.value
        for point in points
        for name in point.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier)
    )


def weak_digest(certificate: x509.Certificate) -> str | None:
    """The digest's name when OpenSSL 3 refuses it at security level 1: MD5 and SHA-1."""
    oid = certificate.signature_algorithm_oid.dotted_string
    digest = pss_digest(certificate)
    if digest in _WEAK_SIGNATURES.values():
        return digest
    return _WEAK_SIGNATURES.get(oid)


def pss_digest(
    value: x509.Certificate | x509.CertificateSigningRequest | x509.CertificateRevocationList,
) -> str | None:
    """The digest of an RSA-PSS signature, which stands in its parameters (RFC 4055 section 3.1); None for
    other signatures."""
    if value.signature_algorithm_oid != SignatureAlgorithmOID.RSASSA_PSS:
        return None
    try:
        digest = value.signature_hash_algorithm
    except UNREADABLE:
        return None
    if digest is None:
        return None
    name = digest.name.upper()
    return name.replace("SHA", "SHA-", 1) if not name.startswith("SHA3") else name


def short_key(public_key: PublicKeyTypes) -> str | None:
    """The key in words when security level 2 refuses it: below 112 bits (RSA 2048, EC 224).

    Level 2 is the default of Debian, Ubuntu and OpenSSL 3.2 and later.
    """
    if isinstance(public_key, rsa.RSAPublicKey) and public_key.key_size < 2048:
        return f"RSA with {public_key.key_size} bits (2048 are needed)"
    if isinstance(public_key, dsa.DSAPublicKey) and public_key.key_size < 2048:
        return f"DSA with {public_key.key_size} bits (2048 are needed)"
    if isinstance(public_key, ec.EllipticCurvePublicKey) and public_key.key_size < 224:
        return f"EC with {public_key.key_size} bits (224 are needed)"
    return None


_WEAK_SIGNATURES = {
    "1.2.840.113549.1.1.2": "MD2",
    "1.2.840.113549.1.1.4": "MD5",
    "1.2.840.113549.1.1.5": "SHA-1",
    "1.3.14.3.2.29": "SHA-1",
    "1.2.840.10040.4.3": "SHA-1",
    "1.2.840.10045.4.1": "SHA-1",
}


def _serial_content(certificate: x509.Certificate) -> bytes:
    data = certificate.tbs_certificate_bytes
    fields = der.children(data, der.read_element(data))
    field = fields[1] if fields[0].tag == der.CONTEXT_0 else fields[0]
    return field.content(data)
