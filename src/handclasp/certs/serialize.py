"""Certificates and keys to bytes, in the formats that other programs read. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)

from handclasp.certs import der, pem
from handclasp.certs.private_keys import FoundKey, FoundPublicKey
from handclasp.errors import InternalFault, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from handclasp.certs.contents import Value
    from handclasp.certs.secret import Secret

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_PKCS7_DATA = bytes.fromhex("06092a864886f70d010701")
_CERTIFICATES, _LISTS = 0xA0, 0xA1
_ITERATIONS = 50_000
"""Rounds of the key derivation in PKCS#12; what OpenSSL and Java of today read in a moment."""


def encode(value: Value, encoding: Encoding, *, password: Secret[bytes] | None = None) -> bytes:
    """One object as PEM or DER; keys as PKCS#8, encrypted when there is a password (RFC 5958)."""
    if isinstance(value, FoundKey):
        if value.key is None:
            raise InternalFault("a key that could not be opened cannot be written")
        return encode_key(value.key, encoding, password=password)
    if isinstance(value, FoundPublicKey):
        return value.key.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    return value.public_bytes(encoding)


def encode_key(
    key: Secret[PrivateKeyTypes], encoding: Encoding, *, password: Secret[bytes] | None = None
) -> bytes:
    """PKCS#8; with a password PBES2 with AES-256."""
    encryption: KeySerializationEncryption = NoEncryption()
    if password is not None:
        encryption = BestAvailableEncryption(password.reveal())
    return key.reveal().private_bytes(encoding, PrivateFormat.PKCS8, encryption)


def encode_pkcs7(
    certificates: Sequence[x509.Certificate],
    encoding: Encoding,
    lists: Sequence[x509.CertificateRevocationList] = (),
) -> bytes:
    """A PKCS#7 of certificates and revocation lists that nobody signed (RFC 2315 section 9.1, "degenerate"
    SignedData)."""
    if not lists:
        return pkcs7.serialize_certificates(list(certificates), encoding)  # it takes no lists
    held = (_set_of(_CERTIFICATES, certificates) if certificates else b"") + _set_of(_LISTS, lists)
    content = der.encoded(der.SEQUENCE, _PKCS7_DATA)
    nobody = der.encoded(der.SET, b"")
    signed = der.encoded(der.INTEGER, b"\1") + nobody + content + held + nobody
    inside = der.encoded(der.CONTEXT_0, der.encoded(der.SEQUENCE, signed))
    whole = der.encoded(der.SEQUENCE, _SIGNED_DATA + inside)
    return pem.armoured("PKCS7", whole) if encoding is Encoding.PEM else whole


def _set_of(
    tag: int, values: Sequence[x509.Certificate] | Sequence[x509.CertificateRevocationList]
) -> bytes:
    # DER wants the members of a set sorted (X.690 section 11.6).
    return der.encoded(tag, b"".join(sorted(value.public_bytes(Encoding.DER) for value in values)))


def encode_pkcs12(
    key: Secret[PrivateKeyTypes] | None,
    certificates: Sequence[x509.Certificate],
    *,
    password: Secret[bytes] | None,
    name: str | None = None,
    legacy: bool = False,
) -> bytes:
    """A PFX (RFC 7292): the first certificate is the key's; without a key all are trust anchors, marked so
    that Java takes them for such (`trustedKeyUsage`; without it keytool shows no entry).

    AES-256 and SHA-256; with `legacy` 3DES and SHA-1, for Java before 8u301 and Windows before 2019.
    Raises UsageError when the key is of a kind that PKCS#12 writers here do not take.
    """
    leaf, others = (certificates[0], certificates[1:]) if certificates else (None, ())
    encryption: KeySerializationEncryption = NoEncryption()
    if password is not None:
        builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(_ITERATIONS)
        if legacy:
            builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
            builder = builder.hmac_hash(hashes.SHA1())  # noqa: S303  asked for by that name
        else:
            builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
            builder = builder.hmac_hash(hashes.SHA256())
        encryption = builder.build(password.reveal())
    if key is None:
        return _trust_store(certificates, name, encryption)
    try:
        return pkcs12.serialize_key_and_certificates(
            name.encode() if name else None,
            key.reveal(),  # type: ignore[arg-type]
            leaf,
            list(others) or None,
            encryption,
        )
    except TypeError as error:
        raise UsageError(f"a key of this kind cannot be put into PKCS#12: {error}") from None


def _trust_store(
    certificates: Sequence[x509.Certificate],
    name: str | None,
    encryption: KeySerializationEncryption,
) -> bytes:
    # Java's aliases must differ; those without a name are numbered by it.
    named = [
        (one, f"{name}-{place}" if place > 1 else name) for place, one in enumerate(certificates, 1)
    ]
    return pkcs12.serialize_java_truststore(
        [
            pkcs12.PKCS12Certificate(one, alias.encode() if name and alias else None)
            for one, alias in named
        ],
        encryption,
    )
