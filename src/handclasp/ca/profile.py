"""Certificate profiles: what each kind of certificate has in it, by RFC 5280. Pure.

The one place where extensions are put together; everything that issues asks here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from handclasp.ca.names import subject_below

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificateIssuerPrivateKeyTypes,
        CertificatePublicKeyTypes,
    )

BACKDATED = timedelta(minutes=5)
"""Certificates begin this much earlier than they are made, for clocks that are behind."""
LONGEST_COMMON_NAME = 64
"""Characters of a commonName or organizationName (RFC 5280 appendix A.1, ub-common-name)."""


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

    def within(self, issuer: x509.Certificate) -> Validity:
        """Begins no earlier and ends no later than the issuer's certificate."""
        return Validity(
            begin=max(self.begin, issuer.not_valid_before_utc),
            end=min(self.end, issuer.not_valid_after_utc),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A CA's certificate with the key that signs for it, which may live in a token."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What a leaf shall say."""

    subject: x509.Name
    public_key: CertificatePublicKeyTypes
    use: Use
    names: tuple[x509.GeneralName, ...]
    validity: Validity
    crl_url: str | None = None


def subject_name(common_name: str | None, organisation: str | None) -> x509.Name:
    """O=…, CN=…, as UTF8String. A name over 64 characters does not fit and is left out."""
    attributes = []
    if organisation:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    if common_name and len(common_name) <= LONGEST_COMMON_NAME:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def root_certificate(
    subject: x509.Name,
    key: CertificateIssuerPrivateKeyTypes,
    validity: Validity,
    *,
    path_length: int,
    constraints: x509.NameConstraints | None = None,
) -> x509.Certificate:
    """A self-signed CA certificate with `path_length` CAs below it."""
    builder = _builder(subject, subject, key.public_key(), validity)
    builder = _as_authority(builder, path_length, constraints)
    return builder.sign(key, digest_for(key))


def intermediate_certificate(
    root: Signer,
    subject: x509.Name,
    public_key: CertificatePublicKeyTypes,
    validity: Validity,
    *,
    constraints: x509.NameConstraints | None = None,
    crl_url: str | None = None,
) -> x509.Certificate:
    """A CA certificate below `root` that signs leaves only."""
    builder = _builder(subject, root.certificate.subject, public_key, validity)
    builder = _as_authority(builder, 0, constraints)
    builder = _issued_by(builder, root.certificate, crl_url)
    return builder.sign(root.key, digest_for(root.key))


def leaf_certificate(issuer: Signer, leaf: Leaf) -> x509.Certificate:
    """A leaf below `issuer`, without a commonName that its constraints would be held against.

    Raises ValueError for a leaf that would have neither subject nor name, and for a server without a
    name: clients look nowhere else (RFC 9525).
    """
    if not leaf.names and (leaf.use is not Use.CLIENT or not leaf.subject.rdns):
        raise ValueError(f"the {leaf.use.value} certificate needs a name")
    subject = subject_below(issuer.certificate, leaf.names, leaf.subject)
    builder = _builder(subject, issuer.certificate.subject, leaf.public_key, leaf.validity)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_leaf_usage(leaf), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(_PURPOSES[leaf.use]), critical=False)
    builder = _issued_by(builder, issuer.certificate, leaf.crl_url)
    if leaf.names:
        # RFC 5280 section 4.2.1.6: critical where it is all there is.
        alternatives = x509.SubjectAlternativeName(leaf.names)
        builder = builder.add_extension(alternatives, critical=not subject.rdns)
    return builder.sign(issuer.key, digest_for(issuer.key))


def digest_for(
    key: CertificateIssuerPrivateKeyTypes,
) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """The digest to sign with: as strong as the curve, none of its own for Ed25519."""
    if isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256:
        return hashes.SHA384() if key.curve.key_size <= 384 else hashes.SHA512()
    return hashes.SHA256()


def use_of(certificate: x509.Certificate) -> Use:
    """The use a leaf was issued for."""
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return next(use for use, wanted in _PURPOSES.items() if set(wanted) == set(purposes))


def key_identifier(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """How what `certificate` signs names its key (RFC 5280 section 4.2.1.1)."""
    identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: CertificatePublicKeyTypes,
    validity: Validity,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        # 159 random bits: positive, at most 20 octets, never the same twice.
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.begin)
        .not_valid_after(validity.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _as_authority(
    builder: x509.CertificateBuilder, path_length: int, constraints: x509.NameConstraints | None
) -> x509.CertificateBuilder:
    # RFC 5280 sections 4.2.1.9, 4.2.1.3 and 4.2.1.10: all three are critical in a CA.
    builder = builder.add_extension(x509.BasicConstraints(True, path_length), critical=True)
    builder = builder.add_extension(_usage(certificates=True, crls=True), critical=True)
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    return builder


def _issued_by(
    builder: x509.CertificateBuilder, issuer: x509.Certificate, crl_url: str | None
) -> x509.CertificateBuilder:
    builder = builder.add_extension(key_identifier(issuer), critical=False)
    if crl_url is not None:
        point = _distribution_point(crl_url)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    return builder


def _distribution_point(url: str) -> x509.DistributionPoint:
    return x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)


def _leaf_usage(leaf: Leaf) -> x509.KeyUsage:
    """Every handshake is signed; in TLS 1.2's RSA key exchange the client encrypts to the server."""
    encipherment = isinstance(leaf.public_key, rsa.RSAPublicKey) and leaf.use is not Use.CLIENT
    return _usage(handshakes=True, encipherment=encipherment)


def _usage(
    *,
    handshakes: bool = False,
    encipherment: bool = False,
    certificates: bool = False,
    crls: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=handshakes,
        content_commitment=False,
        key_encipherment=encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=crls,
        encipher_only=False,
        decipher_only=False,
    )


def general_names(certificate: x509.Certificate) -> Sequence[x509.GeneralName]:
    """The subject alternative names, none when there is no such extension."""
    try:
        return tuple(
            certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        )
    except x509.ExtensionNotFound:
        return ()
