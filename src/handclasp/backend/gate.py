"""The decision every middleware makes: may this peer tell who is calling, and what does it tell.

Refusals are logged on `handclasp.backend` with their reason; the answer holds only its code.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Required, TypedDict

from handclasp.backend import peers
from handclasp.backend.identity import IdentityError, Reason, shown
from handclasp.backend.parsing import IdentityReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from handclasp.backend.identity import ClientIdentity
    from handclasp.backend.parsing import Collected
    from handclasp.backend.readers.reader import Hop

LOG: Final = logging.getLogger("handclasp.backend")

# 403: understood, and not let in. Everything else is a request that no proxy of ours sends.
_FORBIDDEN: Final = frozenset(
    {Reason.NOT_VERIFIED, Reason.UNTRUSTED_PEER, Reason.REWRITTEN_PEER, Reason.NO_IDENTITY}
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a request that is not let through: 400 or 403, plain text."""

    code: Reason

    @property
    def status(self) -> int:
        """HTTP status."""
        return 403 if self.code in _FORBIDDEN else 400

    @property
    def phrase(self) -> str:
        """HTTP reason phrase."""
        return "Forbidden" if self.status == 403 else "Bad Request"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """For `body`."""
        return (
            ("Content-Type", "text/plain; charset=us-ascii"),
            ("Content-Length", str(len(self.body))),
            ("Cache-Control", "no-store"),
        )

    @property
    def body(self) -> bytes:
        """One line."""
        return f"The client's identity was refused: {self.code}\n".encode("ascii")


class GateOptions(TypedDict, total=False):
    """What every middleware takes.

    `trusted_peers`: the proxies, as `unix`, `loopback`, addresses or networks; no default. `headers`: other
    header names, as in the link's `forward`. `hop`: which element of `xfcc`. With `required=False` a
    request without identity goes through, and the application is told None. `remembered`: how many callers.
    Headers of other dialects are removed from what the application sees, unless `keep_other_dialects`.
    """

    dialect: Required[str]
    trusted_peers: Required[Iterable[str]]
    required: bool
    hop: Hop
    headers: Mapping[str, str] | None
    remembered: int
    keep_other_dialects: bool


class Gate:
    """One dialect, from named peers. Stateless but for what the reader remembers."""

    def __init__(
        self,
        *,
        dialect: str,
        trusted_peers: Iterable[str],
        required: bool = True,
        hop: Hop = "only",
        headers: Mapping[str, str] | None = None,
        remembered: int = 512,
        keep_other_dialects: bool = False,
    ) -> None:
        """As GateOptions. Raises ValueError for an unknown dialect or peer. Loads `cryptography`, so that
        the first request need not.
        """
        import cryptography.x509  # noqa: F401

        self.reader = IdentityReader(dialect, hop=hop, headers=headers, remembered=remembered)
        self.removed = frozenset() if keep_other_dialects else self.reader.other_names
        """Lower-case names of headers that the application is not to see."""
        self._peers = peers.trusted_peers(trusted_peers)
        self._required = required

    def admit(self, peer: str | None, collected: Collected) -> ClientIdentity | Refusal | None:
        """`peer` is an address, "unix", or None where the server does not tell it.

        None only if no identity is required. A peer that is not trusted is refused if it sends a
        header of the dialect, or if an identity is required.
        """
        if peer not in self._peers:
            if not collected and not self._required:
                return None
            return self.refuse(
                peer, IdentityError(Reason.UNTRUSTED_PEER, "not one of trusted_peers")
            )
        reads = self.reader.reads
        try:
            identity = self.reader.read_collected(collected)
        except IdentityError as error:
            return self.refuse(peer, error)
        if identity is None:
            if self._required:
                return self.refuse(
                    peer,
                    IdentityError(
                        Reason.NO_IDENTITY, f"no identity in dialect {self.reader.dialect}"
                    ),
                )
        elif identity.notes and self.reader.reads != reads:
            LOG.warning(
                "identity of %s from %s was repaired: %s",
                shown(identity.subject),
                shown(str(peer)),
                ", ".join(identity.notes),
            )
        return identity

    def refuse(self, peer: str | None, error: IdentityError) -> Refusal:
        """Logs it."""
        LOG.warning(
            "refused a request from %s (dialect %s): %s",
            shown(peer) if peer else "an unknown peer",
            self.reader.dialect,
            error,
        )
        return Refusal(error.code)
