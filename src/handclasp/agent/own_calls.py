"""Calls of ours that try a new identity: where they come to a link of ours, they are nobody's who calls it.

nginx's log of callers has no place for such a mark that nobody else could set. But until a trial has ended
nobody uses the new certificate in earnest, so a line with it from that time is of the trial. Whoever has the
same certificate elsewhere and comes within those milliseconds is seen when he comes again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handclasp.backend.certificate import serial_text
from handclasp.certs import facts
from handclasp.certs.dn import issuer_text
from handclasp.identity.names import loose_key

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from handclasp.monitor.callers import Caller

_MOST = 1000
_SLACK_SECONDS = 0.01
"""nginx tells milliseconds, and the time at which it woke up for what it then did."""


@dataclass(frozen=True, slots=True)
class _Call:
    issuer: str
    serial: str
    began: float
    ended: float


@dataclass(slots=True)
class OwnCalls:
    """The last ones. They are forgotten with the agent: one that is killed may count them when it reads the
    log again."""

    _calls: deque[_Call] = field(default_factory=lambda: deque(maxlen=_MOST))

    def note(self, leaf: Certificate, began: float, ended: float) -> None:
        """One with this certificate between these moments (Unix time)."""
        serial = serial_text(facts.serial_number(leaf))
        self._calls.append(_Call(loose_key(issuer_text(leaf)), serial, began, ended))

    def made(self, caller: Caller) -> bool:
        """Whether a line of the log is of one of them."""
        at = caller.last_seen.timestamp()
        return any(
            one.serial == caller.serial.upper()
            and one.began - _SLACK_SECONDS <= at <= one.ended + _SLACK_SECONDS
            and one.issuer == loose_key(caller.issuer)
            for one in self._calls
        )
