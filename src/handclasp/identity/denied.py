"""Certificates refused before they expire: by fingerprint, or by issuer and serial."""

from __future__ import annotations

import functools
import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from handclasp.certs import facts
from handclasp.certs.dn import issuer_text, name_text
from handclasp.certs.private_keys import UNREADABLE
from handclasp.identity.names import loose_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from handclasp.identity.caller import Caller

MOST_RECENT = 10_000
"""As many entries of a list are told apart as its latest."""
_REMEMBERED = 32
_SHA256 = hashes.SHA256()


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

    def holds_authority(self, authority: x509.Certificate) -> bool:
        """Whether a CA's own certificate is refused, and with it what stands below."""
        if authority.fingerprint(_SHA256).hex() in self.certificates:
            return True
        if not self.serials:
            return False
        named = (loose_key(issuer_text(authority)), facts.serial_number(authority))
        return named in self.serials

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
    return Denied(serials=frozenset().union(*(_named(_List(crl)).every for crl in crls)))


def denied_lately_by(crls: Iterable[x509.CertificateRevocationList]) -> Denied:
    """As `denied_by`, but of a list with more than `MOST_RECENT` entries only those revoked last."""
    return Denied(serials=frozenset().union(*(_named(_List(crl)).latest for crl in crls)))


@dataclass(frozen=True, slots=True)
class _Named:
    """Issuer and serial of what a list names, and of the latest among them."""

    every: frozenset[tuple[str, int]]
    latest: frozenset[tuple[str, int]]


class _List:
    """A list as a key: the library's own cannot be one."""

    __slots__ = ("crl", "digest")

    def __init__(self, crl: x509.CertificateRevocationList) -> None:
        self.crl, self.digest = crl, crl.fingerprint(_SHA256)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _List) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@functools.lru_cache(_REMEMBERED)
def _named(asked: _List) -> _Named:
    """Remembered: half a second for a list of 100,000, and asked for at every denial."""
    dated = list(_entries(asked.crl))
    every = frozenset(named for _, named in dated)
    if len(dated) <= MOST_RECENT:
        return _Named(every, every)
    latest = heapq.nlargest(MOST_RECENT, dated)
    return _Named(every, frozenset(named for _, named in latest))


def _entries(
    crl: x509.CertificateRevocationList,
) -> Iterator[tuple[datetime, tuple[str, int]]]:
    issuer = loose_key(name_text(crl.issuer))
    for entry in crl:
        issuer = _issuer_of(entry) or issuer
        if not _removed(entry):
            yield entry.revocation_date_utc, (issuer, entry.serial_number)


def _issuer_of(entry: x509.RevokedCertificate) -> str | None:
    try:
        named = entry.extensions.get_extension_for_class(x509.CertificateIssuer).value
    except (*UNREADABLE, x509.ExtensionNotFound):
        return None
    names = named.get_values_for_type(x509.DirectoryName)
    return loose_key(name_text(names[0])) if names else None


def _removed(entry: x509.RevokedCertificate) -> bool:
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except (*UNREADABLE, x509.ExtensionNotFound):
        return False  # what cannot be read takes nothing back
    return reason is x509.ReasonFlags.remove_from_crl
