"""Private keys out of DER or PEM, with the reason when one cannot be had."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from handclasp.certs.algorithms import (
    is_explicit,
    is_pss_only,
    private_key_algorithm,
    sec1_explicit,
)
from handclasp.certs.secret import Secret
from handclasp.findings import Finding, found

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

    from handclasp.findings import Where

UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What pyca/cryptography raises for input that is not what it should be; found by fuzzing."""


_DEK_INFO = re.compile(rb"DEK-Info:[ \t]*([A-Z0-9-]+)[ \t]*,[ \t]*([0-9A-Fa-f]*)")  # RFC 1421


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundKey:
    """A private key as it was found: the key itself, or the finding that says why not.

    `form` is `pkcs8`, `pkcs1`, `sec1`, `pkcs12`, `openssh`, `putty`, … and `encrypted` tells
    whether it was encrypted where it was found, not whether it could be decrypted. `name` is the friendly
    name (alias) of a PKCS#12 file. `pss`: it says that it is for RSA-PSS alone (RFC 4055), which `key` has
    forgotten, `explicit`: its curve is written out; where it was encrypted neither is seen.
    """

    form: str
    encrypted: bool
    line: int | None = None
    key: Secret[PrivateKeyTypes] | None = None
    problem: Finding | None = None
    name: str | None = None
    pss: bool = False
    explicit: bool = False


@dataclass(frozen=True, slots=True)
class FoundPublicKey:
    """A public key by itself. Nothing here needs one; people are handed them all the same."""

    key: PublicKeyTypes
    pss: bool = False
    explicit: bool = False


def key_from_der(
    data: bytes, form: str, *, password: bytes | None, where: Where, line: int | None = None
) -> FoundKey:
    """A PKCS#8 (encrypted or not), PKCS#1 or SEC1 key."""
    encrypted = form == "pkcs8-encrypted"
    key = _load(load_der_private_key, data, form, encrypted, password, where, line)
    if key.key is not None and form == "pkcs8":
        identifier = private_key_algorithm(data)
        return replace(key, pss=is_pss_only(identifier), explicit=is_explicit(identifier))
    if key.key is not None and form == "sec1":
        return replace(key, explicit=sec1_explicit(data))
    return key


def key_from_legacy_pem(
    text: bytes, form: str, *, password: bytes | None, where: Where, line: int | None = None
) -> FoundKey:
    """A PEM key encrypted the traditional way (`Proc-Type: 4,ENCRYPTED`)."""
    if not _dek_info_holds(text):
        seen = "the DEK-Info line of the encrypted private key is damaged or of an unknown cipher"
        problem = found("key-unreadable", seen, where=where)
        return FoundKey(form=form, encrypted=True, line=line, problem=problem)
    return _load(load_pem_private_key, text, form, True, password, where, line)


def spki(public_key: PublicKeyTypes) -> bytes:
    """SubjectPublicKeyInfo DER: what is compared to tell whether key and certificate fit."""
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_type(public_key: PublicKeyTypes) -> str:
    """`RSA`, `EC`, `Ed25519`, …"""
    return type(public_key).__name__.removesuffix("PublicKey")


def describe_key(public_key: PublicKeyTypes) -> str:
    """`RSA 2048`, `EC secp256r1`, `Ed25519`: type and size for messages."""
    size = getattr(public_key, "key_size", None)
    curve = getattr(public_key, "curve", None)
    told = curve.name if curve is not None else size or ""
    return f"{key_type(public_key)} {told}".rstrip()


def _dek_info_holds(text: bytes) -> bool:
    """One DEK-Info header with an initialisation vector as long as its cipher wants it; the library
    does not look, and ends in a Rust panic, which no handler of exceptions catches."""
    lines = _DEK_INFO.findall(text)
    return len(lines) == 1 and len(lines[0][1]) == (32 if lines[0][0].startswith(b"AES") else 16)


def _load(
    loader: Callable[..., PrivateKeyTypes],
    data: bytes,
    form: str,
    encrypted: bool,
    password: bytes | None,
    where: Where,
    line: int | None,
) -> FoundKey:
    def refused(slug: str, seen: str) -> FoundKey:
        problem = found(slug, seen, where=where)
        return FoundKey(form=form, encrypted=encrypted, line=line, problem=problem)

    if encrypted and not password:
        given = "no passphrase is given" if password is None else "the passphrase given is empty"
        return refused("key-encrypted-no-passphrase", f"the private key is encrypted and {given}")
    try:
        # RSA validation is a primality test of 30 ms (2048 bits) to 180 ms (4096); nginx does not
        # make it either. What damage would show is caught by _consistent.
        key = loader(data, password if encrypted else None, unsafe_skip_rsa_key_validation=True)
        if not _consistent(key):
            return refused("key-unreadable", "the numbers of the RSA key do not fit together")
    except UnsupportedAlgorithm as error:
        return refused("key-unreadable", f"the private key's algorithm is not supported: {error}")
    except UNREADABLE:
        # The library's text is dropped on purpose: it may quote what it read.
        if encrypted:
            seen = "the private key is encrypted and the passphrase given does not open it"
            return refused("key-wrong-passphrase", seen)
        seen = f"the private key ({form}) is damaged or of an unknown kind"
        return refused("key-unreadable", seen)
    return FoundKey(form=form, encrypted=encrypted, line=line, key=Secret(key))


def check_key(key: PrivateKeyTypes) -> str | None:
    """What is wrong with the numbers of a key, None when they are right: for RSA the tests of
    RSA_check_key, the primality ones included, which take 30 ms to 200 ms."""
    if isinstance(key, rsa.RSAPrivateKey):
        try:
            key.private_numbers().private_key()
        except ValueError:
            return "the numbers of the RSA key do not make a key (a factor is no prime, for one)"
    return None


def _consistent(key: PrivateKeyTypes) -> bool:
    if not isinstance(key, rsa.RSAPrivateKey):
        return True
    numbers = key.private_numbers()
    p, q, d = numbers.p, numbers.q, numbers.d
    if min(p, q) < 2 or p * q != numbers.public_numbers.n:
        return False
    exponent = numbers.public_numbers.e
    return (
        d * exponent % (p - 1) == 1 % (p - 1)
        and d * exponent % (q - 1) == 1 % (q - 1)
        and numbers.dmp1 == d % (p - 1)
        and numbers.dmq1 == d % (q - 1)
        and numbers.iqmp * q % p == 1
    )
