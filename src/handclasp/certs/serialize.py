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

from handclasp.certs.private_keys import FoundKey, FoundPublicKey
from handclasp.errors import InternalFault, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from handclasp.certs.contents import Value
    from handclasp.certs.secret import Secret

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


def encode_pkcs7(certificates: Sequence[x509.Certificate], encoding: Encoding) -> bytes:
    """A certificates-only PKCS#7 (RFC 2315, "degenerate" SignedData)."""
    return pkcs7.serialize_certificates(list(certificates), encoding)


def encode_pkcs12(
    key: Secret[PrivateKeyTypes] | None,
    certificates: Sequence[x509.Certificate],
    *,
    password: Secret[bytes] | None,
    name: str | None = None,
    legacy: bool = False,
) -> bytes:
    """A PFX (RFC 7292): the first certificate is the key's.

    AES-256 and SHA-256; with `legacy` 3DES and SHA-1, for Java before 8u301 and Windows before 2019.
    Raises UsageError when the key is of a kind that PKCS#12 writers here do not take.
    """
    leaf, others = (
        (certificates[0], certificates[1:]) if key and certificates else (None, certificates)
    )
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
    try:
        return pkcs12.serialize_key_and_certificates(
            name.encode() if name else None,
            key.reveal() if key else None,  # type: ignore[arg-type]
            leaf,
            list(others) or None,
            encryption,
        )
    except TypeError as error:
        raise UsageError(f"a key of this kind cannot be put into PKCS#12: {error}") from None
