"""The path from a leaf to a link's trust bundle, over intermediates that are known here.

nginx hands on the leaf alone. What only the client sent in its handshake is invisible, so a path that
needs it is None: a chain header is left out rather than guessed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handclasp.certs import facts
from handclasp.certs.chain import Path, self_signed
from handclasp.certs.private_keys import UNREADABLE, spki
from handclasp.identity.denied import Denied
from handclasp.identity.issued import (
    issuer_key,
    other_key,
    same_identifier,
    signed,
    subject_key,
    vouched,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cryptography import x509


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A verified path. `intermediates` nearest issuer first, as TLS orders them; the anchor apart."""

    intermediates: tuple[x509.Certificate, ...] = field(repr=False)
    anchor: x509.Certificate = field(repr=False)

    @property
    def issuer(self) -> x509.Certificate:
        """The CA that signed the leaf (the leaf itself when it is an anchor)."""
        return self.intermediates[0] if self.intermediates else self.anchor


class Authorities:
    """A trust bundle with the intermediates that the spec names, ready to be asked for many leaves.

    The way from each CA up to an anchor is found once; a leaf then costs one signature.
    """

    def __init__(
        self,
        anchors: Sequence[x509.Certificate],
        intermediates: Iterable[x509.Certificate] = (),
        *,
        depth: int | None = None,
        refused: Denied | None = None,
    ) -> None:
        """`depth` is the most intermediates a path may have, as the link's `depth`. No path leads over
        a CA that is `refused`."""
        self._depth = depth
        self._anchors = tuple(anchors)
        self._known = tuple(
            one for one in dict.fromkeys((*intermediates, *anchors)) if facts.is_ca(one)
        )
        self._denied = refused or Denied()
        self._refused = _refused(self._known, self._denied)
        self._helpers = tuple(one for one in self._known if one not in self._refused)
        self._roots = frozenset(anchor for anchor in self._anchors if self_signed(anchor))
        self._by_subject: dict[str, list[x509.Certificate]] = defaultdict(list)
        for one in sorted(self._known, key=lambda one: one.not_valid_after_utc, reverse=True):
            self._by_subject[subject_key(one)].append(one)
        self._above = {one: self._issuers(one) for one in self._known}
        self._paths = {one: self._path(one, self._helpers) for one in self._helpers}
        self.closed = self._concerned()
        """Whether who has no known way up is refused (`bars`)."""

    def refusing(self, refused: Denied) -> Authorities:
        """The same without the CAs that are refused."""
        same = refused.authorities == self._denied.authorities and all(
            refused.denies_authority(one) == self._denied.denies_authority(one)
            for one in self._known
        )
        if same and _refused(self._known, refused) == self._refused:
            return self
        return Authorities(self._anchors, self._known, depth=self._depth, refused=refused)

    def bars(self, leaf: x509.Certificate, *, now: datetime) -> bool:
        """Whether a leaf is refused for what is above it: a denied CA signed it, or every known way up
        leads over a CA that is refused. Once a CA is denied that the link knows, or that a CA known here has
        issued, a leaf without a known way up is refused too: it may stand below that one, by way of CAs
        that only the caller sent."""
        if leaf in self._roots or not (self._refused or self._denied.authorities):
            return False
        if any(_of_denied(leaf, one) for one in self._denied.authorities):
            return True
        issuers = self._issuers(leaf)
        if any(self._path_at(one, now) for one in issuers):
            return False
        if issuers and self._refused.issuperset(issuers):
            return True
        if any(self._cut_off(one, now) for one in issuers):
            return True
        if not any(self._leads_up(one) for one in issuers):
            return self.closed or self._of_refused_namesake(leaf)
        return False

    def chain(self, leaf: x509.Certificate, *, now: datetime) -> Chain | None:
        """The shortest path whose certificates are all valid at `now`; None when there is none."""
        if leaf in self._roots:
            return Chain(intermediates=(), anchor=leaf)
        issuers = self._issuers(leaf)
        found = [path for one in issuers if (path := self._path_at(one, now)) is not None]
        if not found:
            return None
        shortest = min(found, key=lambda path: len(path.links))
        assert shortest.anchor is not None
        links = tuple(one for one in shortest.links if one != shortest.anchor)
        if self._depth is not None and len(links) > self._depth:
            return None
        return Chain(intermediates=links, anchor=shortest.anchor)

    def knows(self, authority: x509.Certificate) -> bool:
        """Whether it, or its key in another certificate, is a CA that the link knows or one that such a CA
        has issued."""
        return bool(_same_key(self._known, [authority]) or self._issuers(authority))

    def any_leads_up(self, authorities: Iterable[x509.Certificate]) -> bool:
        """Whether the way of one of these CAs to an anchor is known, be it refused or expired."""
        return any(one in self._above and self._leads_up(one) for one in authorities)

    def _concerned(self) -> bool:
        """Whether a CA that this link has to do with is denied; lists are not asked, since nginx wants one
        of every CA above a caller, and so knows of none that only the caller sent."""
        return any(map(self.knows, self._denied.authorities)) or any(
            map(self._denied.denies_authority, self._refused)
        )

    def _issuers(self, certificate: x509.Certificate) -> list[x509.Certificate]:
        try:
            named = self._by_subject.get(issuer_key(certificate), ())
        except UNREADABLE:  # a leaf that cannot be read whole has no path
            return []
        return [one for one in named if vouched(certificate, one)]

    def _of_refused_namesake(self, leaf: x509.Certificate) -> bool:
        """For a leaf whose signature cannot be verified here: whether all CAs it can be of are refused."""
        try:
            named = self._by_subject.get(issuer_key(leaf), ())
            found = [one for one in named if not other_key(leaf, one)]
        except UNREADABLE:
            return False
        return bool(found) and self._refused.issuperset(found)

    def _cut_off(self, authority: x509.Certificate, now: datetime) -> bool:
        """Whether a CA without an open way has none because of those that are refused."""
        if self._paths.get(authority) is None:
            return self._leads_up(authority)
        current = tuple(one for one in self._known if _current(one, now))
        path = self._path(authority, current)
        return path is not None and _valid(path, now)

    def _leads_up(self, authority: x509.Certificate) -> bool:
        """Whether its way to an anchor is known, be it refused or expired."""
        return self._path(authority, self._known) is not None

    def _path_at(self, authority: x509.Certificate, now: datetime) -> Path | None:
        if authority in self._refused:
            return None
        path = self._paths[authority]
        if path is None or _valid(path, now):
            return path
        # The shortest way has expired; a cross-signed CA may have another one.
        path = self._path(authority, tuple(one for one in self._helpers if _current(one, now)))
        return path if path is not None and _valid(path, now) else None

    def _path(
        self, authority: x509.Certificate, helpers: Sequence[x509.Certificate]
    ) -> Path | None:
        """The shortest way up over `helpers` to a self-signed anchor among them, newer CAs first."""
        open_to = frozenset(helpers)
        roots = self._roots & open_to
        if authority in roots:
            return Path(links=(authority,), anchor=authority)
        # Breadth first, each CA once: loops of cross-signed ones end.
        pending: list[tuple[x509.Certificate, ...]] = [(authority,)]
        seen = {authority}
        for links in pending:
            above = [one for one in self._above[links[-1]] if one in open_to]
            for one in above:
                if one in roots:
                    return Path(links=links, anchor=one)
            for one in above:
                if one not in seen:
                    seen.add(one)
                    pending.append((*links, one))
        return None


def _refused(
    authorities: Iterable[x509.Certificate], refused: Denied
) -> frozenset[x509.Certificate]:
    """Those that are refused. Who denies a CA means its key: every certificate of that key is refused."""
    if refused == Denied():
        return frozenset()
    known = tuple(authorities)
    itself = frozenset(one for one in known if refused.holds_authority(one))
    keys = [*refused.authorities, *(one for one in itself if refused.denies_authority(one))]
    return itself | _same_key(known, keys)


def _same_key(
    known: Iterable[x509.Certificate], others: Iterable[x509.Certificate]
) -> frozenset[x509.Certificate]:
    keys = {_key(one) for one in others} - {None}
    return frozenset(one for one in known if _key(one) in keys) if keys else frozenset()


def _key(certificate: x509.Certificate) -> bytes | None:
    try:
        return spki(certificate.public_key())
    except UNREADABLE:
        return None


def _of_denied(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    """Its key signed the leaf, whichever of its certificates stands between."""
    try:
        may_be = issuer_key(leaf) == subject_key(authority) or same_identifier(leaf, authority)
        return may_be and signed(leaf, authority)
    except UNREADABLE:
        return False


def _valid(path: Path, now: datetime) -> bool:
    assert path.anchor is not None
    return all(_current(one, now) for one in (*path.links, path.anchor))


def _current(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
