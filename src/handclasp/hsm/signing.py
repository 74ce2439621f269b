"""A key of a token as a key object of the cryptography library, which then signs certificates with it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NoReturn

import pkcs11
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from handclasp.hsm.login import pin_warnings, session
from handclasp.hsm.token import TokenKey, find_key, find_token, load_module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from handclasp.certs.secret import Secret
    from handclasp.spec.pkcs11_uri import Pkcs11Uri

_RSA_MECHANISMS = {
    "sha256": pkcs11.Mechanism.SHA256_RSA_PKCS,
    "sha384": pkcs11.Mechanism.SHA384_RSA_PKCS,
    "sha512": pkcs11.Mechanism.SHA512_RSA_PKCS,
}


@contextlib.contextmanager
def open_signing_key(
    uri: Pkcs11Uri, *, module: Path, pin: Secret[bytes] | None
) -> Iterator[TokenEcKey | TokenRsaKey]:
    """The key, usable while the context lasts. Raises FindingsError."""
    token = find_token(load_module(module), uri, module=module)
    pin_warnings(token)
    with session(token, pin) as opened:
        yield signing_key(find_key(opened, uri, logged_in=pin is not None))


def signing_key(key: TokenKey) -> TokenEcKey | TokenRsaKey:
    """The object for a key of an open session."""
    if isinstance(key.public, ec.EllipticCurvePublicKey):
        return TokenEcKey(key.private, key.public)
    return TokenRsaKey(key.private, key.public)


class TokenEcKey(ec.EllipticCurvePrivateKey):
    """An EC key that stays in its token. What would export it raises TypeError."""

    def __init__(self, private: Any, public: ec.EllipticCurvePublicKey) -> None:
        self._private = private
        self._public = public

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve of the key."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Bits."""
        return self._public.key_size

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """ECDSA, DER-encoded. The digest is made here: not every token can hash."""
        algorithm = signature_algorithm.algorithm
        digest = bytes(data) if isinstance(algorithm, Prehashed) else _digest(algorithm, data)
        raw = self._private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)
        half = len(raw) // 2
        return encode_dss_signature(
            int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
        )

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:
        """Not for signing keys."""
        raise TypeError("the key is in a token and made for signing")

    def private_numbers(self) -> NoReturn:
        """It has none that could be had."""
        raise TypeError("the key cannot leave its token")

    def private_bytes(self, *_: Any, **__: Any) -> NoReturn:
        """It has none that could be had."""
        raise TypeError("the key cannot leave its token")

    def __copy__(self) -> TokenEcKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> TokenEcKey:
        return self


class TokenRsaKey(rsa.RSAPrivateKey):
    """An RSA key that stays in its token. What would export it raises TypeError."""

    def __init__(self, private: Any, public: rsa.RSAPublicKey) -> None:
        self._private = private
        self._public = public

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half."""
        return self._public

    @property
    def key_size(self) -> int:
        """Bits."""
        return self._public.key_size

    def sign(self, data: Any, padding: padding.AsymmetricPadding, algorithm: Any) -> bytes:
        """PKCS#1 v1.5 with SHA-256, SHA-384 or SHA-512, as certificates have it."""
        if type(padding).__name__ != "PKCS1v15" or algorithm.name not in _RSA_MECHANISMS:
            raise TypeError("keys of tokens sign with PKCS#1 v1.5 and SHA-2 here")
        signature: bytes = self._private.sign(
            bytes(data), mechanism=_RSA_MECHANISMS[algorithm.name]
        )
        return signature

    def decrypt(self, ciphertext: bytes, padding: padding.AsymmetricPadding) -> NoReturn:
        """Not for signing keys."""
        raise TypeError("the key is in a token and made for signing")

    def private_numbers(self) -> NoReturn:
        """It has none that could be had."""
        raise TypeError("the key cannot leave its token")

    def private_bytes(self, *_: Any, **__: Any) -> NoReturn:
        """It has none that could be had."""
        raise TypeError("the key cannot leave its token")

    def __copy__(self) -> TokenRsaKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> TokenRsaKey:
        return self


def _digest(algorithm: hashes.HashAlgorithm, data: Any) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(bytes(data))
    return digest.finalize()
