"""What is in use and ends some day: certificates we present, trust anchors, revocation lists. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from cryptography import x509

from handclasp.certs.dn import name_text, subject_text
from handclasp.certs.private_keys import UNREADABLE, spki

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from datetime import datetime, timedelta

    from handclasp.certs.material import Material, TrustMaterial

Kind = Literal["identity", "chain", "trust", "crl", "caller", "token"]


@dataclass(frozen=True, slots=True)
class Expiring:
    """One of them. `name` is that of the identity or trust in the spec, of a caller's certificate that of the
    link; `subject` the certificate's, or the issuer of a list (RFC 4514). `not_before` and `not_after` of a
    list are thisUpdate and nextUpdate.
    """

    kind: Kind
    name: str
    subject: str
    not_before: datetime
    not_after: datetime
    renewed: bool = False
    """handclasp has it renewed by itself."""

    @property
    def lifetime(self) -> timedelta:
        """From its beginning to its end."""
        return self.not_after - self.not_before

    @property
    def told(self) -> str:
        """What a sentence calls it."""
        match self.kind:
            case "identity":
                return f"the certificate of identity {self.name} ({self.subject})"
            case "chain":
                return f"the intermediate '{self.subject}' of identity {self.name}"
            case "trust":
                return f"the CA '{self.subject}' of trust {self.name}"
            case "crl":
                return f"the revocation list of '{self.subject}' in trust {self.name}"
            case "caller":
                return f"the certificate of caller '{self.subject}' on link {self.name}"
            case "token":
                return f"the token of issuer {self.name}"


def expiring(
    material: Material,
    identities: Iterable[str],
    trust: Iterable[str],
    issued: Container[str] = frozenset(),
) -> tuple[Expiring, ...]:
    """Everything that ends, of the identities and trusts named (those a plan uses), in their order; `issued`
    are the identities that handclasp renews.

    Of several with the same kind, name and subject the one that ends first. The system's public bundle is
    left out: it is not ours to renew. A list without nextUpdate does not end.
    """
    found: dict[tuple[str, str, str], Expiring] = {}
    for one in _all(material, identities, trust, issued):
        key = one.kind, one.name, one.subject
        if key not in found or one.not_after < found[key].not_after:
            found[key] = one
    return tuple(found.values())


def _all(
    material: Material, identities: Iterable[str], trust: Iterable[str], issued: Container[str]
) -> Iterator[Expiring]:
    for name in identities:
        identity = material.identities.get(name)
        if identity is None or identity.leaf is None:
            continue
        leaf = _certificate("identity", name, identity.leaf)
        begin = max(leaf.not_before, identity.had_since or leaf.not_before)
        yield replace(leaf, not_before=begin, renewed=name in issued)
        for between in identity.chain:
            yield _certificate("chain", name, between)
    for name in trust:
        if (believed := material.trust.get(name)) is not None:
            yield from _anchors(believed)
            yield from _lists(believed)


def _certificate(kind: Kind, name: str, certificate: x509.Certificate) -> Expiring:
    return Expiring(
        kind,
        name,
        subject_text(certificate),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def _anchors(trust: TrustMaterial) -> Iterator[Expiring]:
    """A CA renewed with its key takes the place of its older certificate; another key is another CA."""
    newest: dict[tuple[bytes, bytes], x509.Certificate] = {}
    for anchor in trust.lasting:
        ca = anchor.subject.public_bytes(), spki(anchor.public_key())
        if ca not in newest or anchor.not_valid_after_utc > newest[ca].not_valid_after_utc:
            newest[ca] = anchor
    for anchor in newest.values():
        yield replace(_certificate("trust", trust.name, anchor), renewed=trust.renewed)


def _lists(trust: TrustMaterial) -> Iterator[Expiring]:
    """Of each scope the list with the latest nextUpdate: OpenSSL takes one that is in time."""
    latest: dict[tuple[bytes, bytes, bool], Expiring] = {}
    for crl in trust.crls:
        if (end := crl.next_update_utc) is None:
            continue
        scope = (crl.issuer.public_bytes(), *_scope(crl))
        one = Expiring("crl", trust.name, name_text(crl.issuer), crl.last_update_utc, end)
        if scope not in latest or end > latest[scope].not_after:
            latest[scope] = one
    yield from latest.values()


def _scope(crl: x509.CertificateRevocationList) -> tuple[bytes, bool]:
    point, delta = b"", False
    try:
        for extension in crl.extensions:
            if isinstance(extension.value, x509.IssuingDistributionPoint):
                point = extension.value.public_bytes()
            delta = delta or isinstance(extension.value, x509.DeltaCRLIndicator)
    except UNREADABLE:  # whoever uses the list says so
        return crl.signature, False
    return point, delta
