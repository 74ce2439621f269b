"""Whether a CA issued a certificate, as OpenSSL tells, and so nginx.

Names are one when their canonical forms are (X509_NAME_cmp): a certificate may spell its issuer in another
string type, in other case or with other blanks than the CA spells its subject. The library compares bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa

from handclasp.certs.chain import authority_key_id, subject_key_id
from handclasp.certs.dn import issuer_text, subject_text
from handclasp.certs.private_keys import UNREADABLE
from handclasp.certs.signatures import certificate_signed_by
from handclasp.identity.names import loose_key

if TYPE_CHECKING:
    from cryptography import x509


def issuer_key(certificate: x509.Certificate) -> str:
    """What all spellings of its issuer's name have in common."""
    return loose_key(issuer_text(certificate))


def subject_key(certificate: x509.Certificate) -> str:
    """What all spellings of its subject have in common."""
    return loose_key(subject_text(certificate))


def issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """The CA signed it: names and key identifiers fit and the signature verifies. What cannot be read or
    verified here was not."""
    try:
        return issuer_key(certificate) == subject_key(authority) and vouched(certificate, authority)
    except UNREADABLE:
        return False


def vouched(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """As `issued`, of names that are known to be one."""
    try:
        return not other_key(certificate, authority) and signed(certificate, authority)
    except UNREADABLE:
        return False


def signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """The CA's key signed it, whatever the names."""
    return certificate_signed_by(certificate, authority) or _verified(certificate, authority)


def other_key(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Its key identifiers say that another key signed it. Raises what UNREADABLE lists."""
    wanted, given = authority_key_id(certificate), subject_key_id(authority)
    return wanted is not None and given is not None and wanted != given


def same_identifier(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Its key identifiers say that this key signed it. Raises what UNREADABLE lists."""
    wanted = authority_key_id(certificate)
    return wanted is not None and wanted == subject_key_id(authority)


def _verified(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    signature, body = certificate.signature, certificate.tbs_certificate_bytes
    try:
        key, parameters = authority.public_key(), certificate.signature_algorithm_parameters
        digest = certificate.signature_hash_algorithm
        if isinstance(key, rsa.RSAPublicKey) and digest is not None:
            if not isinstance(parameters, padding.PKCS1v15 | padding.PSS):
                return False
            key.verify(signature, body, parameters, digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
            key.verify(signature, body, parameters)
        elif isinstance(key, dsa.DSAPublicKey) and digest is not None:
            key.verify(signature, body, digest)
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, body)
        else:
            return False
    except (*UNREADABLE, InvalidSignature):
        return False
    return True
