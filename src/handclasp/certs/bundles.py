"""What a server or client sends: its leaf and the intermediates above it, out of a bag. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.certs import facts
from handclasp.certs.chain import build_path, names_issuer, order, self_signed
from handclasp.certs.private_keys import FoundKey, spki

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cryptography import x509


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """`links`: leaf first, then intermediates, as RFC 8446 section 4.4.2 wants them.

    `root` is the self-signed end if it is known and not the leaf itself; `gap` tells that what issued
    `links[-1]` should be there and is not; `left_out` is what does not belong to the chain.
    """

    links: tuple[x509.Certificate, ...]
    root: x509.Certificate | None
    gap: bool
    left_out: tuple[x509.Certificate, ...]


def bundle(
    certificates: Sequence[x509.Certificate],
    *,
    key: FoundKey | None = None,
    anchors: Sequence[x509.Certificate] = (),
) -> Bundle | None:
    """The chain of the leaf, which is that of `key` if given; None when there is no certificate.

    It ends at one of `anchors`, or, without any, at a self-signed certificate of the bag if there is
    a way to one. Of several certificates for the same issuer that which is valid longest is taken.
    """
    public = key.key.reveal().public_key() if key and key.key else None
    ordered = order(certificates, key=public)
    if ordered is None:
        return None
    # A cross-sign comes with a twin; the one that has run out usually is the older.
    bag = sorted(dict.fromkeys(certificates), key=lambda one: one.not_valid_after_utc, reverse=True)
    ends = anchors or [one for one in bag if self_signed(one)]
    path = build_path(ordered.leaf, bag, ends)
    links, root = path.links, path.anchor
    if root is None and len(links) > 1 and self_signed(links[-1]):
        links, root = links[:-1], links[-1]  # a root, though not one that is trusted
    if root == ordered.leaf:
        root = None
    used = {*links, *([root] if root else [])}
    left_out = tuple(one for one in dict.fromkeys(certificates) if one not in used)
    gap = path.anchor is None
    if gap and not anchors:
        # Whether an issuer that was not given is a root cannot be seen; CAs left over speak against.
        gap = any(facts.is_ca(one) for one in left_out)
    return Bundle(links=links, root=root, gap=gap, left_out=left_out)


def fitting_key(
    keys: Iterable[FoundKey], certificates: Sequence[x509.Certificate]
) -> FoundKey | None:
    """The first key that one of the certificates was issued for.

    A key of a certificate that issued one of the others comes last: people keep a CA's key beside it.
    """
    issued: dict[bytes, bool] = {}
    for certificate in dict.fromkeys(certificates):
        issues = any(
            names_issuer(other, certificate) for other in certificates if other != certificate
        )
        own = spki(certificate.public_key())
        issued[own] = issues or issued.get(own, False)
    fitting = [
        (issued[own], one)
        for one in keys
        if one.key is not None and (own := spki(one.key.reveal().public_key())) in issued
    ]
    return min(fitting, key=lambda each: each[0])[1] if fitting else None
