"""Outages of a token: noticed while nginx runs, ended by its restart once the key works again (edge).

A key that nginx loaded at its start refers to a session with the token. When the token goes away that
session is dead, and neither the token's return nor a reload makes another (docs/decisions/0012). With the
engine every such handshake leaves a line in the error log. With the provider an egress link goes on without
its certificate and logs nothing, so the token itself is looked at from time to time.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.tokens import NO_MORE_TRIES, look
from handclasp.findings import Severity
from handclasp.hsm.openssl_conf import Way
from handclasp.nginx.errorlog import parse_line
from handclasp.nginx.log_tail import LogMark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from pathlib import Path

    from handclasp.agent.prepare import Prepared
    from handclasp.ports import Clock

LOOK_SECONDS = 2.0
ROUTINE_SECONDS = 60.0
"""Between looks at the token where a failure may leave no line."""
_LONGEST_PAUSE_SECONDS = 30.0
_FIRST_HOLD_SECONDS = 10.0
_SETTLING_SECONDS = 15.0
_LONGEST_HOLD_SECONDS = 600.0
"""Restarts are this far apart at least, each twice as far as the one before."""

# What OpenSSL says when the engine, the provider or the module itself fails: the name of the library of
# the error, which only these have (libp11's ERR_load strings; pkcs11-provider's "pkcs11").
_FAILURE = re.compile(r"SSL_do_handshake\(\) failed \(SSL: .*pkcs ?#?11", re.IGNORECASE)
# How it shows with the provider; but a caller can bring it about too, so it only makes us look.
_SUSPICION = re.compile(r"SSL_do_handshake\(\) failed \(SSL: .*no suitable signature algorithm")


def is_token_failure(line: str) -> bool:
    """A line of the error log that tells of a handshake which failed in the token."""
    parsed = parse_line(line)
    return parsed is not None and _FAILURE.search(parsed.message) is not None


def may_be_token_failure(line: str) -> bool:
    """A line that tells of a handshake in which no key of ours could sign, for whatever reason."""
    parsed = parse_line(line)
    return parsed is not None and _SUSPICION.search(parsed.message) is not None


@dataclass(frozen=True, slots=True)
class Outage:
    """Since when handshakes fail in the token, and what the token said when it was last asked."""

    since: datetime
    seen: str


class TokenWatch:
    """Watches while a plan has keys in tokens. `outage` is None when all is well."""

    def __init__(
        self,
        clock: Clock,
        every_seconds: float = LOOK_SECONDS,
        routine_seconds: float = ROUTINE_SECONDS,
    ) -> None:
        self.outage: Outage | None = None
        self.restarts = 0
        self._clock = clock
        self._every_seconds = every_seconds
        self._routine_seconds = routine_seconds
        self._next_routine = clock.monotonic() + routine_seconds
        self._suspicion_until = 0.0
        self._watched: Prepared | None = None
        self._given_up: Prepared | None = None
        self._mark: LogMark | None = None
        self._next_look = 0.0
        self._pause = every_seconds
        self._next_restart = 0.0
        self._hold = _FIRST_HOLD_SECONDS
        self._settled = 0.0

    @property
    def news(self) -> tuple[Outage | None, int]:
        """For the status."""
        return self.outage, self.restarts

    async def watch(
        self, in_effect: Callable[[], Prepared | None], log: Path, back: Callable[[], None]
    ) -> None:
        """Calls `back` when nginx has to be restarted because the token is back. Does not end."""
        self._mark = LogMark.at_end(log)
        while True:
            await asyncio.sleep(self._every_seconds)
            end, before = LogMark.at_end(log), self._mark
            self._mark = end
            prepared = in_effect()
            if prepared is None or prepared.plan is None or prepared.plan.tokens is None:
                self.outage = None
                continue
            if prepared is not self._watched:
                # Another spec or another PIN: what was given up is tried again.
                self._watched, self._next_look = prepared, 0.0
            if prepared is self._given_up:
                continue
            lines = before.lines()
            now = self._clock.monotonic()
            # Right after a restart the log still has lines of the nginx before.
            if now >= self._settled and any(map(is_token_failure, lines)):
                self._note_failure("handshakes fail in the token")
            if self.outage is not None:
                if now >= self._next_look:
                    await self._follow(prepared, back)
            elif self._routine_due(prepared, lines, now):
                self._next_routine = now + self._routine_seconds
                if (trouble := await self._trouble(prepared)) is not None:
                    self._note_failure(trouble[0])
                    self._still_away(prepared, *trouble)

    def _routine_due(self, prepared: Prepared, lines: Iterable[str], now: float) -> bool:
        if prepared.tokens.leading is None or prepared.tokens.leading.way is Way.ENGINE:
            return False
        if now >= self._suspicion_until and any(map(may_be_token_failure, lines)):
            self._suspicion_until = now + _LONGEST_PAUSE_SECONDS
            return True
        return now >= self._next_routine

    def _note_failure(self, seen: str) -> None:
        if self.outage is not None:
            return
        self.outage = Outage(self._clock.now(), seen)
        self._next_look, self._pause = 0.0, self._every_seconds
        if self._clock.monotonic() > self._next_restart + _LONGEST_HOLD_SECONDS:
            self._hold = _FIRST_HOLD_SECONDS
        journal.warning("a key in a token does not work; it is watched until it does", why=seen)

    async def _trouble(self, prepared: Prepared) -> tuple[str, set[str]] | None:
        """One look at every key in use, in a process of its own: what is wrong, and its slugs."""
        tokens = prepared.plan.tokens if prepared.plan else None
        for name, _ in tokens.keys if tokens else ():
            token = prepared.material.identities[name].token
            assert token is not None
            answer = await asyncio.to_thread(look, prepared.tokens, token)
            grave = [one for one in answer.findings if one.severity is Severity.ERROR]
            if grave:
                return f"{name}: {grave[0].seen}", {one.slug for one in grave}
        return None

    async def _follow(self, prepared: Prepared, back: Callable[[], None]) -> None:
        if (trouble := await self._trouble(prepared)) is not None:
            self._still_away(prepared, *trouble)
            return
        now = self._clock.monotonic()
        if now < self._next_restart:
            return
        self._next_restart = now + self._hold
        self._hold = min(2 * self._hold, _LONGEST_HOLD_SECONDS)
        self.outage = None
        self.restarts += 1
        self._settled = now + _SETTLING_SECONDS
        back()

    def _still_away(self, prepared: Prepared, seen: str, tried: set[str]) -> None:
        assert self.outage is not None
        if seen != self.outage.seen:
            journal.warning("the token is away", why=seen)
        self.outage = Outage(self.outage.since, seen)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        self._next_look = self._clock.monotonic() + self._pause
        if tried & NO_MORE_TRIES:
            # A wrong PIN is not tried a second time: the token would lock itself.
            self._given_up = prepared
            journal.error("the token is not asked again until the spec is read again", why=seen)
