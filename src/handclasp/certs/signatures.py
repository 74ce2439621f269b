"""Whether a key signed a certificate, request or revocation list; what the digest is worth is another
question (`digest-too-weak`), which OpenSSL asks apart as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.certs import der
from handclasp.certs.private_keys import UNREADABLE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from handclasp.certs.contents import Signed

# The library verifies no signature by these on certificates, requests and lists.
_SHA1, _MD5 = hashes.SHA1(), hashes.MD5()  # noqa: S303  to be verified, not to be made
_REFUSED_BY_LIBRARY: dict[str, hashes.HashAlgorithm] = {
    "1.2.840.113549.1.1.4": _MD5,
    "1.2.840.113549.1.1.5": _SHA1,
    "1.3.14.3.2.29": _SHA1,  # sha-1WithRSAEncryption of the OIW, in old certificates of Windows
    "1.2.840.10040.4.3": _SHA1,
    "1.2.840.10045.4.1": _SHA1,
}


def certificate_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """The certificate names this issuer, and the issuer's key signed it."""
    digest = _digest_by_hand(certificate)
    try:
        if digest is None:
            certificate.verify_directly_issued_by(issuer)
            return True
        return certificate.issuer == issuer.subject and _verified(
            certificate, certificate.tbs_certificate_bytes, issuer.public_key(), digest
        )
    except (*UNREADABLE, InvalidSignature):
        return False


def list_signed_by(crl: x509.CertificateRevocationList, key: PublicKeyTypes) -> bool:
    """This key signed the revocation list. Names are not compared."""
    digest = _digest_by_hand(crl)
    try:
        if digest is None:
            # A key that cannot sign, as X25519, is a TypeError.
            return crl.is_signature_valid(key)  # type: ignore[arg-type]
        return _verified(crl, crl.tbs_certlist_bytes, key, digest)
    except (*UNREADABLE, InvalidSignature):
        return False


def signed_by_itself(request: x509.CertificateSigningRequest) -> bool | None:
    """A signing request's own key signed it (RFC 2986); None where that cannot be told here."""
    digest = _digest_by_hand(request)
    try:
        if digest is None:
            return request.is_signature_valid
        return _verified(request, request.tbs_certrequest_bytes, request.public_key(), digest)
    except InvalidSignature:
        return False
    except UNREADABLE:
        return None  # an algorithm the library cannot verify


def _digest_by_hand(value: Signed) -> hashes.HashAlgorithm | None:
    return _REFUSED_BY_LIBRARY.get(value.signature_algorithm_oid.dotted_string)


def _verified(
    value: Signed, signed: bytes, key: PublicKeyTypes, digest: hashes.HashAlgorithm
) -> bool:
    """Raises InvalidSignature where the library does."""
    if not _same_algorithm(value, signed):
        return False
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(value.signature, signed, padding.PKCS1v15(), digest)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(value.signature, signed, ec.ECDSA(digest))
    elif isinstance(key, dsa.DSAPublicKey):
        key.verify(value.signature, signed, digest)
    else:
        return False
    return True


def _same_algorithm(value: Signed, signed: bytes) -> bool:
    """What is signed names the algorithm that stands beside the signature (RFC 5280, 4.1.1.2); a request
    has no such field."""
    if isinstance(value, x509.CertificateSigningRequest):
        return True
    whole = value.public_bytes(Encoding.DER)
    beside = der.children(whole, der.read_element(whole), most=2)[1].whole(whole)
    fields = der.children(signed, der.read_element(signed), most=3)
    first = next(field for field in fields if field.tag == der.SEQUENCE)
    return first.whole(signed) == beside
