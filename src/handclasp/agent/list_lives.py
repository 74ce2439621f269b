"""Until when the revocation lists of a link count for a caller, as the agent knows them. Pure.

nginx asks for a list of every CA above a caller, root included, and for one that is in force
(X509_V_FLAG_CRL_CHECK_ALL in ngx_ssl_crl). Where it holds the lists it decides so itself, by those it loaded;
the agent says the same by the newest. Where lists are honoured past their end nginx has none, since OpenSSL
refuses whom an expired one would cover (error 12), and what the agent says is all there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.certs.dn import issuer_text, subject_text
from handclasp.certs.facts import date
from handclasp.certs.list_scopes import other_scope, scope_problem
from handclasp.certs.private_keys import UNREADABLE
from handclasp.certs.trust_checks import signed_crl
from handclasp.spec.access import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from handclasp.certs.material import TrustMaterial
    from handclasp.identity.chain import Chain

_List = x509.CertificateRevocationList


@dataclass(frozen=True, slots=True)
class Standing:
    """Why a caller is refused for want of a list in force, if so (`reason`), else until when the lists hold
    (None: for ever)."""

    reason: Reason | None = None
    sentence: str = ""
    until: datetime | None = None


_NO_MATTER = Standing()


@dataclass(frozen=True, slots=True)
class ListLives:
    """`lists` by the CA that signed them; `kept`: how long they count after their end, None where nginx has
    them as well and decides."""

    lists: Mapping[x509.Certificate, Sequence[_List]]
    kept: timedelta | None

    @classmethod
    def of(cls, trust: TrustMaterial, authorities: Iterable[x509.Certificate]) -> ListLives | None:
        """None where no lists are asked for."""
        if not trust.crls:
            return None
        lists = {
            one: tuple(crl for crl in trust.crls if _whole(crl) and _signed(one, crl))
            for one in authorities
        }
        return cls({one: signed for one, signed in lists.items() if signed}, trust.lists_kept)

    def standing(self, leaf: x509.Certificate, chain: Chain | None, *, now: datetime) -> Standing:
        """Of a caller whose path to the trust is `chain`, as far as it is known here."""
        if chain is None:
            if self.kept is None:
                return _NO_MATTER
            told = f"no way from '{issuer_text(leaf)}' to the trust is known here, so no list covers it"
            return Standing(Reason.LIST_MISSING, told)
        until: datetime | None = None
        for certificate, issuer in _steps(leaf, chain):
            lists = [crl for crl in self.lists.get(issuer, ()) if _is_for(crl, certificate)]
            if not lists:
                if self.kept is None:
                    continue
                told = f"there is no revocation list of '{subject_text(issuer)}'"
                return Standing(Reason.LIST_MISSING, told)
            if (last := _latest(lists)) is None:
                continue
            last += self.kept or timedelta()
            if now > last:
                name = subject_text(issuer)
                told = f"the revocation list of '{name}' counted until {date(last)}"
                return Standing(Reason.LIST_EXPIRED, told)
            until = last if until is None else min(until, last)
        return Standing(until=until)


def _steps(
    leaf: x509.Certificate, chain: Chain
) -> Iterator[tuple[x509.Certificate, x509.Certificate]]:
    """Every certificate of the path with the CA whose list is asked about it; the root is its own."""
    path = list(dict.fromkeys((leaf, *chain.intermediates, chain.anchor)))
    yield from zip(path, [*path[1:], path[-1]], strict=True)


def _whole(crl: _List) -> bool:
    """Whether a list is one that says who is not revoked: no delta, and none for a part of the reasons."""
    try:
        delta = any(isinstance(one.value, x509.DeltaCRLIndicator) for one in crl.extensions)
        return not delta and scope_problem(crl) is None
    except UNREADABLE:
        return False


def _signed(authority: x509.Certificate, crl: _List) -> bool:
    try:
        return signed_crl(authority, crl)
    except UNREADABLE:
        return False


def _is_for(crl: _List, certificate: x509.Certificate) -> bool:
    """Whether the list says something about a certificate; nothing of one that cannot be read whole."""
    try:
        return other_scope(crl, certificate) is None
    except UNREADABLE:
        return False


def _latest(lists: Sequence[_List]) -> datetime | None:
    """When the last of them ends; None when one of them never does."""
    ends = [crl.next_update_utc for crl in lists]
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None
