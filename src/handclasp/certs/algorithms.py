"""What an AlgorithmIdentifier says beyond what the certificate library keeps of it (RFC 5280, 4.1.1.2).

The library reads an RSA-PSS key as a plain RSA one and a curve that is written out as the named one; other
programs tell them apart, so the DER is looked at.
"""

from __future__ import annotations

from typing import TypeAlias

from cryptography import x509

from handclasp.certs import der

_RSASSA_PSS = "1.2.840.113549.1.1.10"  # RFC 4055
_EC_PUBLIC_KEY = "1.2.840.10045.2.1"  # RFC 5480
_PARAMETERS, _PUBLIC_KEY = 0xA0, 5
KeyHolder: TypeAlias = x509.Certificate | x509.CertificateSigningRequest


def key_algorithm(value: KeyHolder) -> bytes:
    """The AlgorithmIdentifier of the SubjectPublicKeyInfo, DER."""
    if isinstance(value, x509.Certificate):
        data = value.tbs_certificate_bytes
        fields = der.children(data, der.read_element(data), most=7)
        versioned = fields[0].tag == der.CONTEXT_0
        info = fields[_PUBLIC_KEY + versioned]
    else:
        data = value.tbs_certrequest_bytes
        info = der.children(data, der.read_element(data), most=3)[2]
    return der.children(data, info, most=1)[0].whole(data)


def is_pss_only(identifier: bytes) -> bool:
    """The key may sign by RSA-PSS and do nothing else."""
    return _oid(identifier) == _RSASSA_PSS


def is_explicit(identifier: bytes) -> bool:
    """An elliptic curve that is written out in numbers instead of being named (RFC 5480, 2.1.1)."""
    parts = der.children(identifier, der.read_element(identifier), most=2)
    return _oid(identifier) == _EC_PUBLIC_KEY and len(parts) == 2 and parts[1].tag == der.SEQUENCE


def pss_only(value: KeyHolder) -> bool:
    """The key of a certificate or request is for RSA-PSS alone."""
    return is_pss_only(key_algorithm(value))


def explicit_curve(value: KeyHolder) -> bool:
    """The key of a certificate or request is on a curve that is written out."""
    return is_explicit(key_algorithm(value))


def public_key_algorithm(spki: bytes) -> bytes:
    """The AlgorithmIdentifier of a SubjectPublicKeyInfo by itself, DER."""
    return der.children(spki, der.read_element(spki), most=1)[0].whole(spki)


def private_key_algorithm(pkcs8: bytes) -> bytes:
    """The AlgorithmIdentifier of an unencrypted PKCS#8 key, DER (RFC 5958 section 2)."""
    return der.children(pkcs8, der.read_element(pkcs8), most=2)[1].whole(pkcs8)


def sec1_explicit(key: bytes) -> bool:
    """An ECPrivateKey whose curve is written out (RFC 5915 section 3)."""
    for part in der.children(key, der.read_element(key), most=4):
        if part.tag == _PARAMETERS:
            inside = der.children(key, part, most=1)
            return bool(inside) and inside[0].tag == der.SEQUENCE
    return False


def pss_private_key(identifier: bytes, rsa_private_key: bytes) -> bytes:
    """PKCS#8 around an RSAPrivateKey (RFC 8017, A.1.2) under the identifier of its certificate.

    OpenSSL takes a key for that of an RSA-PSS certificate only if it says RSA-PSS too.
    """
    version = der.encoded(der.INTEGER, b"\0")
    wrapped = der.encoded(der.OCTET_STRING, rsa_private_key)
    return der.encoded(der.SEQUENCE, version + identifier + wrapped)


def _oid(identifier: bytes) -> str:
    first = der.children(identifier, der.read_element(identifier), most=1)
    return der.oid_text(first[0].content(identifier)) if first else ""
