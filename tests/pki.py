"""A test PKI that can be as wrong as a case needs: every field of a certificate is an argument.

Keys are P-256 and cached by label, since making them is most of the cost; certificates are
made anew.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificateIssuerPrivateKeyTypes,
        CertificatePublicKeyTypes,
    )

NOW = datetime.now(UTC).replace(microsecond=0)
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH


def key(label: str, *, kind: str = "p256") -> CertificateIssuerPrivateKeyTypes:
    """The same key for the same label and kind within one test process."""
    return _key(label, kind)


@functools.cache
def _key(label: str, kind: str) -> CertificateIssuerPrivateKeyTypes:
    if kind == "p256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(kind[3:]))
    raise ValueError(kind)


def dn(common_name: str, organisation: str | None = "Example Org") -> x509.Name:
    """O=…, CN=… in certificate order (RFC 2253 text shows CN first)."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(attributes)


def general_name(text: str) -> x509.GeneralName:
    """`dns:x`, `ip:x`, `uri:x`, `email:x`; without prefix a DNS name."""
    kind, _, value = text.partition(":") if ":" in text else ("dns", "", text)
    if kind == "ip":
        return x509.IPAddress(ipaddress.ip_address(value))
    if kind == "uri":
        return x509.UniformResourceIdentifier(value)
    if kind == "email":
        return x509.RFC822Name(value)
    return x509.DNSName(value)


@dataclass(frozen=True)
class Pair:
    """A certificate with its key and those above it (nearest issuer first, root last)."""

    certificate: x509.Certificate
    private_key: CertificateIssuerPrivateKeyTypes
    issuers: tuple[Pair, ...] = ()

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def chain_pem(self) -> bytes:
        """Leaf and intermediates, root left out."""
        return self.pem + b"".join(
            issuer.pem
            for issuer in self.issuers
            if issuer.certificate.issuer != issuer.certificate.subject
        )

    @property
    def key_pem(self) -> bytes:
        return self.encrypted_key_pem(None)

    def encrypted_key_pem(self, password: bytes | None) -> bytes:
        return self.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password)
            if password
            else serialization.NoEncryption(),
        )

    def write(self, folder: Path, name: str, *, mode: int = 0o600) -> tuple[Path, Path]:
        """NAME.pem (with chain) and NAME.key under folder."""
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key_path = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.chain_pem)
        key_path.touch(mode=0o600)
        key_path.write_bytes(self.key_pem)
        key_path.chmod(mode)
        return certificate, key_path


def authority(
    common_name: str = "Test CA",
    *,
    issuer: Pair | None = None,
    is_ca: bool = True,
    cert_sign: bool = True,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    path_length: int | None = None,
    key_label: str | None = None,
    usages: Sequence[x509.ObjectIdentifier] | None = None,
    organisation: str = "Example Org",
) -> Pair:
    """A root, or an intermediate below `issuer`."""
    private_key = key(key_label or f"ca {common_name}")
    name = dn(common_name, organisation)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or NOW - timedelta(hours=1))
        .not_valid_after(not_after or NOW + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(is_ca, path_length if is_ca else None), critical=True)
        .add_extension(key_usage(cert_sign=cert_sign, digital_signature=False), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(private_key.public_key()), critical=False
        )
    )
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
    signer = issuer.private_key if issuer else private_key
    if issuer:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.private_key.public_key()),
            critical=False,
        )
    certificate = builder.sign(signer, hashes.SHA256())
    return Pair(certificate, private_key, (issuer, *issuer.issuers) if issuer else ())


def leaf(
    issuer: Pair,
    common_name: str = "svc-b",
    *,
    sans: Sequence[str] = (),
    usages: Sequence[x509.ObjectIdentifier] | None = (CLIENT,),
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    subject: x509.Name | None = None,
    serial: int | None = None,
    is_ca: bool | None = False,
    key_kind: str = "p256",
    key_label: str | None = None,
    digest: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None = None,
    ca_issuers: str | None = None,
    usage: x509.KeyUsage | None = None,
) -> Pair:
    """A leaf signed by `issuer`; `usages=None` leaves the extended key usage out."""
    private_key = key(key_label or f"leaf {common_name}", kind=key_kind)
    builder = (
        x509.CertificateBuilder()
        .subject_name(dn(common_name) if subject is None else subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(private_key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(not_before or NOW - timedelta(hours=1))
        .not_valid_after(not_after or NOW + timedelta(days=90))
        .add_extension(usage or key_usage(cert_sign=False, digital_signature=True), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(private_key.public_key()), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.private_key.public_key()),
            critical=False,
        )
    )
    if is_ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
    if sans:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([general_name(san) for san in sans]), critical=False
        )
    if ca_issuers is not None:
        location = x509.UniformResourceIdentifier(ca_issuers)
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, location)
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    certificate = builder.sign(issuer.private_key, digest or hashes.SHA256())
    return Pair(certificate, private_key, (issuer, *issuer.issuers))


def with_extension(
    pair: Pair, issuer: Pair, value: x509.ExtensionType, *, critical: bool = True
) -> Pair:
    """The same certificate with one extension more."""
    old = pair.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(old.serial_number)
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
        .add_extension(value, critical=critical)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return Pair(builder.sign(issuer.private_key, hashes.SHA256()), pair.private_key, pair.issuers)


def version_1(pair: Pair, issuer: Pair) -> Pair:
    """The same certificate without extensions, and so of version 1 (RFC 5280, 4.1.2.1).

    Put together by hand: `openssl x509 -req` makes none from OpenSSL 3.2 on, cryptography never did.
    """
    old = pair.certificate
    der = serialization.Encoding.DER
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    times = [
        f"{time:%y%m%d%H%M%SZ}".encode()
        for time in (old.not_valid_before_utc, old.not_valid_after_utc)
    ]
    serial = old.serial_number.to_bytes(old.serial_number.bit_length() // 8 + 1, "big")
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256
    content = (
        *(_element(0x02, serial), algorithm, old.issuer.public_bytes()),
        _element(0x30, b"".join(_element(0x17, time) for time in times)),
        *(old.subject.public_bytes(), old.public_key().public_bytes(der, spki)),
    )
    signed = _element(0x30, b"".join(content))
    assert isinstance(issuer.private_key, ec.EllipticCurvePrivateKey)
    signature = issuer.private_key.sign(signed, ec.ECDSA(hashes.SHA256()))
    whole = _element(0x30, signed + algorithm + _element(0x03, b"\0" + signature))
    return Pair(x509.load_der_x509_certificate(whole), pair.private_key, pair.issuers)


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def certificate_for(
    public_key: CertificatePublicKeyTypes, common_name: str, *, issuer: Pair | None = None
) -> bytes:
    """A PEM leaf for a key of which only the public half is at hand."""
    signer = issuer or authority("Issuer of tokens")
    builder = (
        x509.CertificateBuilder()
        .subject_name(dn(common_name))
        .issuer_name(signer.certificate.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
    )
    signed = builder.sign(signer.private_key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def crl(
    issuer: Pair,
    revoked: Sequence[Pair] = (),
    *,
    last_update: datetime | None = None,
    next_update: datetime | None = None,
    number: int = 1,
    extensions: Sequence[x509.ExtensionType] = (),
    signer: Pair | None = None,
) -> bytes:
    """A PEM CRL of `issuer`; `extensions` are critical. With `signer` it is a forged one."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(last_update or NOW - timedelta(hours=1))
        .next_update(next_update or NOW + timedelta(days=7))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.private_key.public_key()),
            critical=False,
        )
    )
    for pair in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(pair.certificate.serial_number)
            .revocation_date(NOW - timedelta(minutes=5))
            .build()
        )
    for value in extensions:
        builder = builder.add_extension(value, critical=True)
    return builder.sign((signer or issuer).private_key, hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )


def request(pair: Pair) -> bytes:
    """A PEM signing request with the subject and key of `pair`."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(pair.certificate.subject)
    signed = builder.sign(pair.private_key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def der_from_pem(pem: bytes) -> bytes:
    """The DER inside the one block of `pem`."""
    return base64.b64decode(b"".join(pem.strip().splitlines()[1:-1]))


def key_usage(
    *, cert_sign: bool, digital_signature: bool, content_commitment: bool = False
) -> x509.KeyUsage:
    """The bits that tell a leaf from a CA; CAs sign certificates and lists."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=cert_sign,
        crl_sign=cert_sign,
        encipher_only=False,
        decipher_only=False,
    )
