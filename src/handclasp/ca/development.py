"""A development CA: one root, and leaves below it with the extensions RFC 5280 wants. P-256 throughout.

For one's own machine: nothing is revoked, no ledger is kept, and the root's key lies beside its
certificate, if it is kept at all.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from handclasp.certs.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

ROOT_LIFETIME = timedelta(days=365)
LEAF_LIFETIME = timedelta(days=90)
BACKDATED = timedelta(minutes=5)
"""Certificates begin this much earlier than they are made, for clocks that are behind."""


class Use(StrEnum):
    """What a leaf is for, in the spec's words."""

    CLIENT = "client"
    SERVER = "server"
    BOTH = "both"


_PURPOSES = {
    Use.CLIENT: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    Use.SERVER: (ExtendedKeyUsageOID.SERVER_AUTH,),
    Use.BOTH: (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """From when to when a certificate is valid (aware datetimes, RFC 5280 section 4.1.2.5)."""

    begin: datetime
    end: datetime

    @classmethod
    def starting(cls, now: datetime, lifetime: timedelta) -> Validity:
        """A little before `now`, for as long as told from it."""
        return cls(begin=now - BACKDATED, end=now + lifetime)


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
    name = _name(common_name, organisation)
    builder = _builder(name, name, key, validity)
    # RFC 5280 sections 4.2.1.9 and 4.2.1.3
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    return Issued(certificate=builder.sign(key, hashes.SHA256()), key=Secret(key))


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
    if not names and use is not Use.CLIENT:
        raise ValueError(f"the server certificate {common_name} needs a name")
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = root.certificate
    builder = _builder(_name(common_name, organisation), issuer.subject, key, validity)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(_PURPOSES[use]), critical=False)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
    )
    if names:
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    certificate = builder.sign(root.key.reveal(), hashes.SHA256())
    return Issued(certificate=certificate, key=Secret(key))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, validity: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.begin)
        .not_valid_after(validity.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common_name: str, organisation: str | None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation is not None:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(attributes)


def _general_name(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """A CA signs certificates and revocation lists, a leaf with an EC key signs handshakes only."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
