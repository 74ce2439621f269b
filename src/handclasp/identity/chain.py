"""The path from a leaf to a link's trust bundle, over intermediates that are known here.

nginx hands on the leaf alone. What only the client sent in its handshake is invisible, so a path that
needs it is None: a chain header is left out rather than guessed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handclasp.certs import facts
from handclasp.certs.chain import build_path, issued_by, names_issuer, self_signed
from handclasp.certs.private_keys import UNREADABLE
from handclasp.identity.denied import Denied

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cryptography import x509

    from handclasp.certs.chain import Path


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
        self._refused = _refused(self._known, refused or Denied())
        self._helpers = tuple(one for one in self._known if one not in self._refused)
        self._roots = frozenset(anchor for anchor in self._anchors if self_signed(anchor))
        self._by_subject: dict[bytes, list[x509.Certificate]] = defaultdict(list)
        for one in self._known:
            self._by_subject[one.subject.public_bytes()].append(one)
        self._paths = {one: self._path(one, self._helpers) for one in self._helpers}

    def refusing(self, refused: Denied) -> Authorities:
        """The same without the CAs that are refused."""
        if _refused(self._known, refused) == self._refused:
            return self
        return Authorities(self._anchors, self._known, depth=self._depth, refused=refused)

    def bars(self, leaf: x509.Certificate, *, now: datetime) -> bool:
        """Whether every known way from the leaf up leads over a CA that is refused. False for a leaf
        whose issuer is not known here."""
        if not self._refused:
            return False
        issuers = self._issuers(leaf) or self._namesakes(leaf)
        if not issuers or any(self._path_at(one, now) for one in issuers):
            return False
        if self._refused.issuperset(issuers):
            return True
        return any(self._cut_off(one, now) for one in issuers)

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

    def _issuers(self, leaf: x509.Certificate) -> list[x509.Certificate]:
        try:
            named = self._by_subject.get(leaf.issuer.public_bytes(), ())
            return [one for one in named if issued_by(leaf, one)]
        except UNREADABLE:  # a leaf that cannot be read whole has no path
            return []

    def _namesakes(self, leaf: x509.Certificate) -> list[x509.Certificate]:
        """For a leaf whose signature cannot be verified here: the CAs it can be of, if all are refused."""
        try:
            named = self._by_subject.get(leaf.issuer.public_bytes(), ())
            found = [one for one in named if names_issuer(leaf, one)]
        except UNREADABLE:
            return []
        return found if self._refused.issuperset(found) else []

    def _cut_off(self, authority: x509.Certificate, now: datetime) -> bool:
        """Whether a CA without an open way has none because of those that are refused."""
        if self._paths.get(authority) is None:
            return self._path(authority, self._known) is not None
        current = tuple(one for one in self._known if _current(one, now))
        path = self._path(authority, current)
        return path is not None and _valid(path, now)

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
        anchors = [one for one in self._anchors if one in helpers]
        path = build_path(authority, helpers, anchors)
        return None if path.anchor is None else path


def _refused(
    authorities: Iterable[x509.Certificate], refused: Denied
) -> frozenset[x509.Certificate]:
    if refused == Denied():
        return frozenset()
    return frozenset(one for one in authorities if refused.holds_authority(one))


def _valid(path: Path, now: datetime) -> bool:
    assert path.anchor is not None
    return all(_current(one, now) for one in (*path.links, path.anchor))


def _current(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
