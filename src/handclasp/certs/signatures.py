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


def signed_with(value: Signed, key: PublicKeyTypes) -> bool:
    """The signature verifies with this key. Names are not compared."""
    digest = _REFUSED_BY_LIBRARY.get(value.signature_algorithm_oid.dotted_string)
    try:
        if digest is not None:
            return _by_hand(value, key, digest)
        if isinstance(value, x509.CertificateRevocationList):
            return value.is_signature_valid(key)  # type: ignore[arg-type]
        return _verified(value, key)
    except (*UNREADABLE, InvalidSignature):
        return False  # another key, or one that cannot sign, as X25519
