"""Certificates out of what an issuer answered. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.certs.read import read_objects
from handclasp.issuers.protocol import IssuerError

if TYPE_CHECKING:
    from cryptography import x509

MOST_CERTIFICATES = 16
"""A chain of more is no chain: nginx's own limit of depth is far below."""


def chain_from_pem(text: str, *, issuer: str) -> tuple[x509.Certificate, ...]:
    """The certificates of `text` in its order, leaf first; `issuer` is named where it holds none.

    Raises IssuerError.
    """
    contents = read_objects(text.encode("utf-8", "replace"), source=issuer)
    chain = contents.certificates
    if not chain:
        raise IssuerError(f"{issuer} answered without a certificate")
    if len(chain) > MOST_CERTIFICATES:
        raise IssuerError(f"{issuer} answered with {len(chain)} certificates, which is no chain")
    return chain


def one_line(text: str, *, most: int = 300) -> str:
    """Foreign text as part of a sentence: printable, one line, bounded, without a full stop."""
    plain = " ".join(
        "".join(character if character.isprintable() else " " for character in text).split()
    )
    return (plain if len(plain) <= most else f"{plain[: most - 1]}…").rstrip(".")
