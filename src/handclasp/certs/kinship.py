"""Who issued whom among certificates from anywhere, and which objects hold one key."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.certs import facts
from handclasp.certs.chain import issued_by, issuer_urls, self_signed
from handclasp.certs.dn import issuer_text
from handclasp.certs.signatures import list_signed_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cryptography import x509


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One chain as far as it goes: leaf first; `missing` names the issuer that was not given."""

    links: tuple[x509.Certificate, ...]
    missing: str | None
    urls: tuple[str, ...] = ()  # where the missing one can be had, as its child says


class Family:
    """Certificates with their issuers, as far as these are among them.

    A certificate that several of the others may have issued (a cross-signed CA under one name and
    key) is put below the first of them.
    """

    def __init__(self, certificates: Sequence[x509.Certificate]) -> None:
        self.members = tuple(dict.fromkeys(certificates))
        self._issuer = self._issuers()
        self._issued: dict[x509.Certificate, list[x509.Certificate]] = defaultdict(list)
        for member in self.members:
            issuer = self._issuer.get(member)
            if issuer is not None:
                self._issued[issuer].append(member)

    def lines(self) -> Iterator[Line]:
        """One for each certificate that issued none of the others."""
        for member in self.members:
            if member in self._issued:
                continue
            links = [member]
            while (issuer := self._issuer.get(links[-1])) is not None:
                links.append(issuer)
            top = links[-1]
            if self_signed(top):
                yield Line(links=tuple(links), missing=None)
            else:
                yield Line(links=tuple(links), missing=issuer_text(top), urls=issuer_urls(top))

    def drawing(self) -> list[tuple[str, x509.Certificate | Line]]:
        """The trees, issuers first: each line's branch characters and its certificate, and a Line above
        those whose issuer is missing."""
        drawn: list[tuple[str, x509.Certificate | Line]] = []
        tops = [member for member in self.members if member not in self._issuer]
        for top in tops:
            if self_signed(top):
                drawn += self._tree(top, "", "")
                continue
            gap = Line(links=(top,), missing=issuer_text(top), urls=issuer_urls(top))
            drawn += [("", gap), *self._tree(top, "└─ ", "   ")]
        return drawn

    def _tree(
        self, top: x509.Certificate, branch: str, indent: str
    ) -> Iterator[tuple[str, x509.Certificate]]:
        # No recursion: a chain may be given that is longer than Python's stack.
        pending = [(branch, indent, top)]
        while pending:
            branch, indent, member = pending.pop()
            yield branch, member
            children = self._issued.get(member, [])
            for child in reversed(children):
                last = child is children[-1]
                inner = f"{indent}{'   ' if last else '│  '}"
                pending.append((f"{indent}{'└─ ' if last else '├─ '}", inner, child))

    def _issuers(self) -> dict[x509.Certificate, x509.Certificate]:
        by_subject: dict[bytes, list[x509.Certificate]] = defaultdict(list)
        for member in self.members:
            by_subject[member.subject.public_bytes()].append(member)
        issuers: dict[x509.Certificate, x509.Certificate] = {}
        above: dict[x509.Certificate, x509.Certificate] = {}
        for member in self.members:
            # Asked first and once: thousands of self-signed certificates may have one name.
            if self_signed(member):
                continue
            for candidate in by_subject.get(member.issuer.public_bytes(), ()):
                # CAs that signed each other would make a ring, of which no tree can be drawn.
                if candidate == member or not issued_by(member, candidate):
                    continue
                if _top(candidate, above) != member:
                    issuers[member] = above[member] = candidate
                    break
        return issuers


def _top(
    certificate: x509.Certificate, above: dict[x509.Certificate, x509.Certificate]
) -> x509.Certificate:
    """The end of the line above; ways gone are shortened, so that long lines cost no square."""
    gone = []
    while (upper := above.get(certificate)) is not None:
        gone.append(certificate)
        certificate = upper
    for passed in gone:
        above[passed] = certificate
    return certificate


def signers(
    crl: x509.CertificateRevocationList, certificates: Iterable[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """Those of the certificates whose key signed the revocation list (a renewed CA may be two)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd names, as in the reader
        issuer = crl.issuer
    return tuple(
        certificate
        for certificate in certificates
        if certificate.subject == issuer and list_signed_by(crl, certificate.public_key())
    )


def title(certificate: x509.Certificate) -> str:
    """Subject and what kind of certificate it is."""
    if self_signed(certificate):
        kind = "root" if facts.is_ca(certificate) else "self-signed leaf"
    else:
        kind = "intermediate CA" if facts.is_ca(certificate) else "leaf"
    return f"{facts.label(certificate).strip(chr(39))} ({kind})"
