"""Certificates refused before they expire: by fingerprint, or by issuer and serial."""

from __future__ import annotations

import functools
import hashlib
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
    """`certificates` are SHA-256 in lower-case hex, `bodies` those of what is signed in a certificate;
    `serials` pairs of issuer (`loose_key`) and serial. `authorities` are CAs whose key is not to be
    believed. `listed` are the pairs that revocation lists name, a set for each list: they may be long, and
    are never copied."""

    certificates: frozenset[str] = frozenset()
    serials: frozenset[tuple[str, int]] = frozenset()
    bodies: frozenset[str] = frozenset()
    authorities: frozenset[x509.Certificate] = frozenset()
    listed: frozenset[frozenset[tuple[str, int]]] = frozenset()

    def holds(self, caller: Caller) -> bool:
        """Whether the caller is refused."""
        if caller.sha256 in self.certificates:
            return True
        if self.bodies and body_digest(caller.certificate) in self.bodies:
            return True
        # Asked first since reading the issuer is most of the cost.
        return bool(self.serials or self.listed) and self._named(
            loose_key(caller.issuer), caller.serial
        )

    def holds_authority(self, authority: x509.Certificate) -> bool:
        """Whether a CA's own certificate is refused, and with it what stands below."""
        return self.denies_authority(authority) or bool(
            self.listed and self._named(*_issuer_and_serial(authority))
        )

    def denies_authority(self, authority: x509.Certificate) -> bool:
        """As `holds_authority`, without what revocation lists say."""
        if authority.fingerprint(_SHA256).hex() in self.certificates:
            return True
        if self.bodies and body_digest(authority) in self.bodies:
            return True
        return bool(self.serials) and _issuer_and_serial(authority) in self.serials

    def digest(self) -> str:
        """What stands for all of it. What lists name counts, not which lists."""
        told = [*self.certificates, *(f"body {one}" for one in self.bodies)]
        told += (f"key of {one.fingerprint(_SHA256).hex()}" for one in self.authorities)
        told += map(repr, self.serials)
        told += {_list_digest(one) for one in self.listed if one}
        return hashlib.sha256("\n".join(sorted(told)).encode()).hexdigest()[:32]

    def _named(self, issuer: str, serial: int) -> bool:
        named = (issuer, serial)
        return named in self.serials or any(named in one for one in self.listed)

    def __or__(self, other: Denied) -> Denied:
        return joined((self, other))


def joined(several: Iterable[Denied]) -> Denied:
    """Several as one."""
    all_of = tuple(several)
    return Denied(
        frozenset().union(*(one.certificates for one in all_of)),
        frozenset().union(*(one.serials for one in all_of)),
        frozenset().union(*(one.bodies for one in all_of)),
        frozenset().union(*(one.authorities for one in all_of)),
        frozenset().union(*(one.listed for one in all_of)),
    )


@functools.lru_cache(_REMEMBERED)
def _list_digest(listed: frozenset[tuple[str, int]]) -> str:
    return hashlib.sha256("\n".join(sorted(map(repr, listed))).encode()).hexdigest()


def body_digest(certificate: x509.Certificate) -> str:
    """SHA-256 of what is signed in a certificate. Whoever has its key can write an ECDSA signature in a
    second way, and so give the same certificate another fingerprint; not this."""
    return hashlib.sha256(certificate.tbs_certificate_bytes).hexdigest()


def denied_certificate(sha256: str) -> Denied:
    """One certificate by its fingerprint, in any case, colons allowed. Raises ValueError."""
    text = sha256.replace(":", "").lower()
    if len(text) != 64 or any(c not in "0123456789abcdef" for c in text):
        raise ValueError(f"{sha256!r} is not a SHA-256 fingerprint: 64 hex digits are needed")
    return Denied(certificates=frozenset([text]))


def denied_serial(issuer: str, serial: int) -> Denied:
    """One certificate by its issuer's name (RFC 4514) and serial."""
    return Denied(serials=frozenset([(loose_key(issuer), serial)]))


def listed_by(crls: Iterable[x509.CertificateRevocationList]) -> Denied:
    """What revocation lists name, as `denied_by`, kept apart by list."""
    return Denied(listed=frozenset(_named(_List(crl)).every for crl in crls))


def denied_by(crls: Iterable[x509.CertificateRevocationList]) -> Denied:
    """Every certificate that revocation lists name. Whether a list is genuine is the reader's business.

    An entry of an indirect list may name another issuer than the list's, which then holds for those that
    follow (RFC 5280 sections 5.2.5 and 5.3.3). In any other list a CA speaks for itself alone.
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


class Same:
    """A value as a key that is equal to itself alone, for what is dear to compute of values that are large or
    cannot be keys."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


class _List:
    """A list as a key: the library's own cannot be one."""

    __slots__ = ("crl", "digest")

    def __init__(self, crl: x509.CertificateRevocationList) -> None:
        self.crl, self.digest = crl, _fingerprint(Same(crl))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _List) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@functools.lru_cache(_REMEMBERED)
def _fingerprint(crl: Same) -> bytes:
    assert isinstance(crl.value, x509.CertificateRevocationList)
    return crl.value.fingerprint(_SHA256)


@functools.lru_cache(_REMEMBERED)
def _named(asked: _List) -> _Named:
    """Remembered: half a second for a list of 100,000, and asked for at every denial."""
    dated = list(_entries(asked.crl))
    every = frozenset(named for _, named in dated)
    _list_digest(every)  # here, where a thread reads the list, and not when it is put in force
    if len(dated) <= MOST_RECENT:
        return _Named(every, every)
    latest = heapq.nlargest(MOST_RECENT, dated)
    return _Named(every, frozenset(named for _, named in latest))


def _issuer_and_serial(certificate: x509.Certificate) -> tuple[str, int]:
    return loose_key(issuer_text(certificate)), facts.serial_number(certificate)


def _entries(
    crl: x509.CertificateRevocationList,
) -> Iterator[tuple[datetime, tuple[str, int]]]:
    issuer, indirect = loose_key(name_text(crl.issuer)), _is_indirect(crl)
    for entry in crl:
        if indirect:
            issuer = _issuer_of(entry) or issuer
        if not _removed(entry):
            yield entry.revocation_date_utc, (issuer, entry.serial_number)


def _is_indirect(crl: x509.CertificateRevocationList) -> bool:
    try:
        point = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except (*UNREADABLE, x509.ExtensionNotFound):
        return False
    return point.indirect_crl


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
