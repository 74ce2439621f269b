"""Certificates, requests and lists as the library does not make them: another signature algorithm, another
SubjectPublicKeyInfo. Taken apart, put together anew, and signed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.certs import der
from tests import pki

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

SHA256_ECDSA = bytes.fromhex("300a06082a8648ce3d040302")
SHA1_ECDSA = bytes.fromhex("300906072a8648ce3d0401")
SHA1_RSA = bytes.fromhex("300d06092a864886f70d0101050500")
MD5_RSA = bytes.fromhex("300d06092a864886f70d0101040500")
PSS_ONLY = bytes.fromhex("300b06092a864886f70d01010a")
DIGESTS: dict[bytes, hashes.HashAlgorithm] = {
    SHA256_ECDSA: hashes.SHA256(),
    SHA1_ECDSA: hashes.SHA1(),
    SHA1_RSA: hashes.SHA1(),
    MD5_RSA: hashes.MD5(),
}
_INFO = 6  # subjectPublicKeyInfo of a version 3 TBSCertificate


def signed_anew(
    whole: bytes,
    key: CertificateIssuerPrivateKeyTypes,
    algorithm: bytes,
    *,
    inside: bytes | None = None,
    info: bytes | None = None,
) -> bytes:
    """The same content under another algorithm; `inside` is what the signed part says it is, and `info`
    another SubjectPublicKeyInfo for a certificate."""
    content = der.children(whole, der.read_element(whole))[0]
    fields = [field.whole(whole) for field in der.children(whole, content)]
    if fields[0][0] != der.INTEGER or fields[1] in DIGESTS:  # a request names no algorithm inside
        place = next(n for n, field in enumerate(fields) if field in DIGESTS)
        fields[place] = inside or algorithm
    if info is not None:
        fields[_INFO] = info
    signed = der.encoded(der.SEQUENCE, b"".join(fields))
    signature = b"\0" + _signature(signed, key, DIGESTS[algorithm])
    return der.encoded(der.SEQUENCE, signed + algorithm + der.encoded(der.BIT_STRING, signature))


def _signature(
    signed: bytes, key: CertificateIssuerPrivateKeyTypes, digest: hashes.HashAlgorithm
) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(signed, padding.PKCS1v15(), digest)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.sign(signed, ec.ECDSA(digest))


def for_pss_alone(pair: pki.Pair, issuer: pki.Pair) -> pki.Pair:
    """The same certificate for the same RSA key, which may now be used for RSA-PSS alone (RFC 4055)."""
    content = der.children(pair.der, der.read_element(pair.der))[0]
    info = der.children(pair.der, content)[_INFO]
    numbers = der.children(pair.der, info)[1].whole(pair.der)
    made = signed_anew(
        pair.der,
        issuer.private_key,
        SHA256_ECDSA,
        info=der.encoded(der.SEQUENCE, PSS_ONLY + numbers),
    )
    certificate = x509.load_der_x509_certificate(made)
    assert certificate.public_bytes(Encoding.DER) == made
    return pki.Pair(certificate, pair.private_key, pair.issuers)
