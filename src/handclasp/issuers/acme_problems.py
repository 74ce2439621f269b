"""What an ACME server says no with, as a sentence (RFC 8555, section 6.7; RFC 7807). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.issuers.protocol import IssuerError
from handclasp.issuers.received import one_line

if TYPE_CHECKING:
    from datetime import timedelta

PASSING = frozenset(
    [
        "badNonce",
        "connection",
        "dns",
        "dnssec",
        "orderNotReady",
        "rateLimited",
        "serverInternal",
        "tls",
    ]
)
"""Problems that may be gone the next time without anybody changing what we ask."""

HINTS = {
    "caa": "A CAA record of the name must name this CA (RFC 8659).",
    "connection": "The name must lead to this machine, and its port 80 be reachable by the CA.",
    "dns": "The name must resolve for the CA, to this machine.",
    "externalAccountRequired": "Write `external_account` with what the CA gave you.",
    "incorrectResponse": "Something else than handclasp answers /.well-known/acme-challenge/ for the name.",
    "rejectedIdentifier": "This CA does not give certificates for the name.",
    "unauthorized": "Something else than handclasp may answer /.well-known/acme-challenge/ for the name.",
    "unsupportedIdentifier": "ACME knows DNS names, and at some CAs IP addresses.",
    "userActionRequired": "Look at the terms of service; agree to them at the CA's site.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem document: `kind` is its type without the prefix of ACME."""

    kind: str
    detail: str = ""
    name: str | None = None
    parts: tuple[Problem, ...] = ()

    @property
    def leading(self) -> Problem:
        """The one to act on: the first of a compound's parts, else itself."""
        return self.parts[0].leading if self.parts else self

    def told(self) -> str:
        """One line, with the name it is about."""
        leading = self.leading
        text = one_line(leading.detail) or leading.kind
        return f"{leading.name}: {text}" if leading.name else text


class Refused(IssuerError):
    """The server answered with a problem."""

    def __init__(
        self, server: str, doing: str, problem: Problem, *, retry_after: timedelta | None = None
    ) -> None:
        kind = problem.leading.kind
        super().__init__(
            f"{server} refuses {doing}: {problem.told()} ({kind})",
            hint=HINTS.get(kind),
            retry_after=retry_after,
            permanent=kind not in PASSING,
        )
        self.kind = kind
