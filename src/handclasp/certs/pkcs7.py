"""PKCS#7 (.p7b, .p7c; RFC 2315 and RFC 5652): its certificates and revocation lists."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from handclasp.certs import ber, der
from handclasp.certs.private_keys import UNREADABLE

_LISTS = 0xA1  # crls [1] IMPLICIT, after certificates [0]


def read_pkcs7(
    data: bytes,
) -> tuple[tuple[x509.Certificate, ...], tuple[x509.CertificateRevocationList, ...]]:
    """Everything in a SignedData, in its order; signatures are not looked at.

    Raises ValueError, or another of UNREADABLE, when it is damaged.
    """
    try:
        lists = _lists(data)
    except der.IndefiniteLengthError:  # below what tells the kind; Outlook writes such
        data, _ = ber.definite(data)
        lists = _lists(data)
    try:
        certificates = tuple(pkcs7.load_der_pkcs7_certificates(data))
    except UNREADABLE as error:
        if "no certificate data" not in str(error):
            raise
        certificates = ()
    return certificates, tuple(map(x509.load_der_x509_crl, lists))


def _lists(data: bytes) -> list[bytes]:
    """ContentInfo, its content [0], the SignedData in that, and the lists there (RFC 5652, 5.1)."""
    inside = der.read_element(data)
    for position in (1, 0):
        parts = der.children(data, inside)
        if len(parts) <= position:
            raise der.DerError("cut off")
        inside = parts[position]
    # A SEQUENCE is a revocation list, anything else one of another format (OCSP, say; RFC 5940).
    return [
        one.whole(data)
        for part in der.children(data, inside)
        if part.tag == _LISTS
        for one in der.children(data, part)
        if one.tag == der.SEQUENCE
    ]
