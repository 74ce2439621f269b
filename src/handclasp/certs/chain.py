"""Chains: who issued whom, the order of a bag of certificates, and the path to a trust anchor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from handclasp.certs.private_keys import spki
from handclasp.certs.signatures import certificate_signed_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

# Longer chains do not occur; the bound keeps cross-signed loops from running for ever.
_LONGEST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """A bag of certificates put in order.

    `chain` are intermediates, nearest issuer first; `root` is the self-signed end of the chain if
    it was in the bag; `unlinked` is what does not belong to the chain, duplicates left out.
    `in_order` tells whether the bag was in the order TLS wants.
    """

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    root: x509.Certificate | None
    unlinked: tuple[x509.Certificate, ...]
    in_order: bool

    @property
    def top(self) -> x509.Certificate:
        """The certificate whose issuer must be known to whoever verifies."""
        return self.chain[-1] if self.chain else self.leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The way from a leaf to an anchor. `anchor` None: none of the anchors issued `links[-1]`."""

    links: tuple[x509.Certificate, ...]  # leaf first, then intermediates
    anchor: x509.Certificate | None

    @property
    def intermediates(self) -> int:
        """What `ssl_verify_depth` and `proxy_ssl_verify_depth` count (OpenSSL 1.1.0 and later)."""
        return len(self.links) - 1


def order(
    certificates: Sequence[x509.Certificate], *, key: PublicKeyTypes | None = None
) -> Ordered | None:
    """Order a bag; None for an empty one.

    The leaf is the certificate that fits `key`, else the first that issued none of the others.
    """
    bag = _unique(certificates)
    if not bag:
        return None
    leaf = _leaf(bag, key)
    links = _climb(leaf, bag)
    root = None
    if len(links) > 1 and self_signed(links[-1]):
        root = links[-1]
        links = links[:-1]
    used = [*links, *([root] if root else [])]
    return Ordered(
        leaf=leaf,
        chain=tuple(links[1:]),
        root=root,
        unlinked=tuple(cert for cert in bag if cert not in used),
        in_order=list(bag[: len(used)]) == used,
    )


def build_path(
    leaf: x509.Certificate,
    intermediates: Iterable[x509.Certificate],
    anchors: Sequence[x509.Certificate],
) -> Path:
    """The shortest path up through `intermediates` and `anchors` to a self-signed anchor.

    nginx does not set X509_V_FLAG_PARTIAL_CHAIN, so an intermediate in the bundle does not end it.
    """
    roots = [anchor for anchor in anchors if self_signed(anchor)]
    if leaf in roots:
        return Path(links=(leaf,), anchor=leaf)
    helpers = sorted(_unique((*intermediates, *anchors)), key=_end, reverse=True)
    found = _shortest(leaf, helpers, roots)
    if found is not None:
        return found
    return Path(links=tuple(_climb(leaf, helpers)), anchor=None)


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """`issuer` signed `certificate`: names and key identifiers fit and the signature verifies."""
    return names_issuer(certificate, issuer) and certificate_signed_by(certificate, issuer)


def names_issuer(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """By name and key identifier alone; the signature may still say otherwise."""
    if certificate.issuer != issuer.subject:
        return False
    wanted, given = authority_key_id(certificate), subject_key_id(issuer)
    return wanted is None or given is None or wanted == given


def self_signed(certificate: x509.Certificate) -> bool:
    """Issuer and subject are one name, and its own key signed it."""
    return certificate.issuer == certificate.subject and issued_by(certificate, certificate)


def authority_key_id(
    certificate: x509.Certificate | x509.CertificateRevocationList,
) -> bytes | None:
    """The key identifier of the issuer, if the extension gives one."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return extension.value.key_identifier


def subject_key_id(certificate: x509.Certificate) -> bytes | None:
    """The key identifier of the certificate's own key, if it has the extension."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return extension.value.digest


def issuer_urls(certificate: x509.Certificate) -> tuple[str, ...]:
    """Where the issuer's certificate can be had (AIA caIssuers, RFC 5280 section 4.2.2.1)."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except x509.ExtensionNotFound:
        return ()
    return tuple(
        access.access_location.value
        for access in extension.value
        if access.access_method == AuthorityInformationAccessOID.CA_ISSUERS
        and isinstance(access.access_location, x509.UniformResourceIdentifier)
    )


def _leaf(bag: Sequence[x509.Certificate], key: PublicKeyTypes | None) -> x509.Certificate:
    if key is not None:
        wanted = spki(key)
        for certificate in bag:
            if spki(certificate.public_key()) == wanted:
                return certificate
    for certificate in bag:
        others = (other for other in bag if other is not certificate)
        if not any(names_issuer(other, certificate) for other in others):
            return certificate
    return bag[0]


def _climb(leaf: x509.Certificate, bag: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    links = [leaf]
    while len(links) < _LONGEST and links[-1].issuer != links[-1].subject:
        parents = [c for c in bag if c not in links and issued_by(links[-1], c)]
        if not parents:
            break
        links.append(max(parents, key=_end))  # of a CA that was issued again the newer certificate
    return links


def _shortest(
    leaf: x509.Certificate,
    helpers: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
) -> Path | None:
    # Breadth first: a cross-signed intermediate may lead to an unknown root while another does not.
    # Each certificate is visited once, so loops end and odd bundles cost no more than their square.
    pending: list[tuple[x509.Certificate, ...]] = [(leaf,)]
    seen = {leaf}
    for links in pending:
        for root in roots:
            if issued_by(links[-1], root):
                return Path(links=links, anchor=root)
        for parent in helpers:
            if parent not in seen and parent not in roots and issued_by(links[-1], parent):
                seen.add(parent)
                pending.append((*links, parent))
    return None


def _end(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_after_utc


def _unique(certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    return tuple(dict.fromkeys(certificates))
