"""A development CA: one root, and leaves below it with the extensions RFC 5280 wants. P-256 throughout.

For one's own machine: nothing is revoked, no ledger is kept, and the root's key lies beside its
certificate, if it is kept at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from handclasp.ca.names import guessed_name
from handclasp.ca.profile import (
    BACKDATED,
    Leaf,
    Signer,
    Use,
    Validity,
    leaf_certificate,
    root_certificate,
    subject_name,
)
from handclasp.certs.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509

__all__ = [
    "BACKDATED",
    "LEAF_LIFETIME",
    "ROOT_LIFETIME",
    "Issued",
    "Use",
    "Validity",
    "issue",
    "make_root",
]

ROOT_LIFETIME = timedelta(days=365)
LEAF_LIFETIME = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Secret[ec.EllipticCurvePrivateKey]

    def certificate_pem(self) -> bytes:
        """PEM, the certificate alone: the only issuer there is, is the root."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> Secret[bytes]:
        """Unencrypted PKCS#8 PEM."""
        return Secret(
            self.key.reveal().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def make_root(common_name: str, validity: Validity, *, organisation: str | None = None) -> Issued:
    """A self-signed root that signs leaves only (path length 0).

    Give each root a name of its own: two of one name with different keys are told apart by nothing
    but the failure (leaf-and-ca-same-subject, server-does-not-trust-client-ca).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = subject_name(common_name, organisation)
    return Issued(
        certificate=root_certificate(subject, key, validity, path_length=0), key=Secret(key)
    )


def issue(
    root: Issued,
    common_name: str,
    use: Use,
    validity: Validity,
    *,
    names: Sequence[str] = (),
    organisation: str | None = None,
) -> Issued:
    """A leaf below `root`.

    `names` become subjectAltNames: a URI such as a SPIFFE ID by its `://`, an IP address, else a
    DNS name. Raises ValueError for a server without any: clients look nowhere else (RFC 9525).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = Leaf(
        subject=subject_name(common_name, organisation),
        public_key=key.public_key(),
        use=use,
        names=tuple(guessed_name(name) for name in names),
        validity=validity,
    )
    signer = Signer(certificate=root.certificate, key=root.key.reveal())
    return Issued(certificate=leaf_certificate(signer, leaf), key=Secret(key))
