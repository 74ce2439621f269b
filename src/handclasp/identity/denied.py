"""Certificates refused before they expire: by fingerprint, or by issuer and serial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.certs.dn import name_text
from handclasp.identity.names import loose_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.identity.caller import Caller


@dataclass(frozen=True, slots=True)
class Denied:
    """`certificates` are SHA-256 in lower-case hex; `serials` pairs of issuer (`loose_key`) and serial."""

    certificates: frozenset[str] = frozenset()
    serials: frozenset[tuple[str, int]] = frozenset()

    def holds(self, caller: Caller) -> bool:
        """Whether the caller is refused."""
        return caller.sha256 in self.certificates or self._by_serial(caller)

    def _by_serial(self, caller: Caller) -> bool:
        """Whether it is refused by issuer and serial."""
        # Asked first since reading the issuer is most of the cost.
        return bool(self.serials) and (loose_key(caller.issuer), caller.serial) in self.serials

    def __or__(self, other: Denied) -> Denied:
        return Denied(self.certificates | other.certificates, self.serials | other.serials)


def denied_certificate(sha256: str) -> Denied:
    """One certificate by its fingerprint, in any case, colons allowed. Raises ValueError."""
    text = sha256.replace(":", "").lower()
    if len(text) != 64 or any(c not in "0123456789abcdef" for c in text):
        raise ValueError(f"{sha256!r} is not a SHA-256 fingerprint: 64 hex digits are needed")
    return Denied(certificates=frozenset([text]))


def denied_serial(issuer: str, serial: int) -> Denied:
    """One certificate by its issuer's name (RFC 4514) and serial."""
    return Denied(serials=frozenset([(loose_key(issuer), serial)]))


def denied_by(crls: Iterable[x509.CertificateRevocationList]) -> Denied:
    """Every certificate that revocation lists name. Whether a list is genuine is the reader's business.

    An entry may name another issuer than the list's (RFC 5280 section 5.3.3), which then holds for
    those that follow.
    """
    serials: set[tuple[str, int]] = set()
    for crl in crls:
        issuer = loose_key(name_text(crl.issuer))
        for entry in crl:
            issuer = _issuer_of(entry) or issuer
            if not _removed(entry):
                serials.add((issuer, entry.serial_number))
    return Denied(serials=frozenset(serials))


def _issuer_of(entry: x509.RevokedCertificate) -> str | None:
    try:
        named = entry.extensions.get_extension_for_class(x509.CertificateIssuer).value
    except x509.ExtensionNotFound:
        return None
    names = named.get_values_for_type(x509.DirectoryName)
    return loose_key(name_text(names[0])) if names else None


def _removed(entry: x509.RevokedCertificate) -> bool:
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return False
    return reason is x509.ReasonFlags.remove_from_crl
