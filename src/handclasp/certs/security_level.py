"""OpenSSL's security levels: from which level on a key or a signature is refused.

Bits of security are those of OpenSSL (SSL_CTX_set_security_level(3); rsa_security_bits and
X509_get_signature_info in its sources): level 1 wants 80, level 2 wants 112. A level that refuses is
the reason for "ee key too small", "ca md too weak" and their like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from handclasp.certs import facts

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

Release = tuple[int, int]

_LEVELS = ((1, 80), (2, 112))
# Bits of a signature with this digest: half its length, less for those with known collisions; since
# OpenSSL 3.0 MD5 counts 39 and SHA-1 63 (CHANGES of 3.0, "SHA1 and MD5 signatures").
_DIGEST_BITS = {"MD2": 0, "MD5": 39, "SHA-1": 63}
_DIGEST_BITS_BEFORE_3 = {"MD2": 0, "MD5": 64, "SHA-1": 80}


@dataclass(frozen=True, slots=True)
class Peer:
    """The OpenSSL of whoever verifies, as far as its default matters. `release` None: not known."""

    release: Release | None = None

    @property
    def level(self) -> int:
        """The default level: 2 since OpenSSL 3.2 and, before, in Debian and Ubuntu; 0 before 1.1.

        Not known is judged by what is installed most: level 2.
        """
        if self.release is None or self.release >= (3, 2):
            return 2
        return 1 if self.release >= (1, 1) else 0

    @property
    def told(self) -> str:
        """The default in words."""
        if self.release is None:
            return "2, the default of Debian, Ubuntu and OpenSSL 3.2 or newer"
        number = ".".join(str(part) for part in self.release)
        own = "" if self.level == 2 else " (Debian and Ubuntu set 2)"
        return f"{self.level}, the default of OpenSSL {number}{own}"


UNKNOWN_PEER = Peer()
"""Judged by the default that is installed most."""


def key_refused_from(key: PublicKeyTypes) -> int | None:
    """The lowest level that refuses the key for its size; None when neither 1 nor 2 does."""
    return _refusing(_key_bits(key))


def digest_refused_from(certificate: x509.Certificate, peer: Peer) -> int | None:
    """The lowest level that refuses the signature for its digest; None when neither 1 nor 2 does."""
    digest = facts.weak_digest(certificate)
    if digest is None:
        return None
    old = peer.release is not None and peer.release < (3, 0)
    return _refusing((_DIGEST_BITS_BEFORE_3 if old else _DIGEST_BITS)[digest])


def _refusing(bits: int) -> int | None:
    return next((level for level, wanted in _LEVELS if bits < wanted), None)


def _key_bits(key: PublicKeyTypes) -> int:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.key_size // 2
    if isinstance(key, (rsa.RSAPublicKey, dsa.DSAPublicKey)):
        size = key.key_size
        return 112 if size >= 2048 else 80 if size >= 1024 else 0
    return 128  # Ed25519, Ed448 and what came after them
