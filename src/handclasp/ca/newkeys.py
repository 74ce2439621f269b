"""New private keys. Pure but for the system's random numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

KEY_TYPES = ("p256", "p384", "rsa2048", "rsa3072", "rsa4096", "ed25519")
"""P-256 first: every TLS program of the last ten years takes it. Ed25519 is not taken by Java before
15, nor by many appliances."""


def new_key(kind: str) -> CertificateIssuerPrivateKeyTypes:
    """A key of one of KEY_TYPES. Raises ValueError for another word."""
    match kind:
        case "p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "rsa2048" | "rsa3072" | "rsa4096":
            return rsa.generate_private_key(public_exponent=65537, key_size=int(kind[3:]))
    raise ValueError(f"{kind} is no kind of key; there are {', '.join(KEY_TYPES)}")


def kind_of_key(key: object) -> str:
    """The word for a key's type, public or private, as near as there is one."""
    if isinstance(key, (rsa.RSAPublicKey, rsa.RSAPrivateKey)):
        return f"rsa{key.key_size}"
    if isinstance(key, (ec.EllipticCurvePublicKey, ec.EllipticCurvePrivateKey)):
        return f"p{key.curve.key_size}"
    return "ed25519"
