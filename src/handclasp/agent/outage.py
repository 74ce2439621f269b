"""Outages of a token: noticed while nginx runs, ended by its restart once the key works again (edge).

A key that nginx loaded at its start refers to a session with the token. When the token goes away that
session is dead, and neither the token's return nor a reload makes another (docs/decisions/0012). With the
engine every such handshake leaves a line in the error log. With the provider an egress link goes on without
its certificate and logs nothing, so the token itself is looked at from time to time.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.tokens import NO_MORE_TRIES, look
from handclasp.errors import HandclaspError
from handclasp.findings import errors_in
from handclasp.hsm.openssl_conf import Way
from handclasp.nginx.errorlog import parse_line
from handclasp.nginx.log_tail import LogMark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from handclasp.agent.prepare import Prepared
    from handclasp.agent.tokens import TokensSeen
    from handclasp.certs.material import TokenKey
    from handclasp.hsm.isolated import Answer
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


UNASKED = "handshakes fail in the token"
"""What is known of a key before its token was asked."""


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
    """Since when handshakes fail in a token, and what was said when the tokens were last asked.

    `reasons` are those whose keys do not work, each with what was said of it.
    """

    since: datetime
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def seen(self) -> str:
        """All of it in one line."""
        if {*self.reasons.values()} == {UNASKED}:
            return UNASKED
        return "; ".join(f"{name}: {seen}" for name, seen in self.reasons.items())

    @property
    def identities(self) -> tuple[str, ...]:
        """Those whose keys do not work."""
        return tuple(self.reasons)


class TokenWatch:
    """Watches while a plan has keys in tokens. `outage` is None when all is well."""

    def __init__(
        self,
        clock: Clock,
        every_seconds: float = LOOK_SECONDS,
        routine_seconds: float = ROUTINE_SECONDS,
        look: Callable[[TokensSeen, TokenKey], Answer] = look,
    ) -> None:
        """`look` asks a token and blocks."""
        self.outage: Outage | None = None
        self.restarts = 0
        self._clock = clock
        self._look = look
        self._every_seconds = every_seconds
        self._routine_seconds = routine_seconds
        self._next_routine = clock.monotonic() + routine_seconds
        self._suspicion_until = 0.0
        self._watched: Prepared | None = None
        self._left_alone: dict[str, str] = {}  # by identity: what its token said against the PIN
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
            await self.follow(prepared, before.lines(), back)

    async def follow(
        self, prepared: Prepared, lines: Sequence[str], back: Callable[[], None]
    ) -> None:
        """What to do about the lines that nginx wrote since the last time, and about the time that passed."""
        if prepared is not self._watched:
            # Another spec or another PIN: what was left alone is asked again.
            self._watched, self._next_look, self._left_alone = prepared, 0.0, {}
        now = self._clock.monotonic()
        # Right after a restart the log still has lines of the nginx before.
        if now >= self._settled and any(map(is_token_failure, lines)):
            self._note_failure(dict.fromkeys(_identities(prepared), UNASKED))
        if self.outage is not None:
            if now >= self._next_look:
                await self._asked(prepared, back)
        elif self._routine_due(prepared, lines, now):
            self._next_routine = now + self._routine_seconds
            if trouble := await self._trouble(prepared):
                self._note_failure(trouble)
                self._still_away(trouble)

    def _routine_due(self, prepared: Prepared, lines: Iterable[str], now: float) -> bool:
        if prepared.tokens.leading is None or prepared.tokens.leading.way is Way.ENGINE:
            return False
        if now >= self._suspicion_until and any(map(may_be_token_failure, lines)):
            self._suspicion_until = now + _LONGEST_PAUSE_SECONDS
            return True
        return now >= self._next_routine

    def _note_failure(self, reasons: Mapping[str, str]) -> None:
        if self.outage is not None:
            return
        self.outage = Outage(self._clock.now(), reasons)
        self._next_look, self._pause = 0.0, self._every_seconds
        if self._clock.monotonic() > self._next_restart + _LONGEST_HOLD_SECONDS:
            self._hold = _FIRST_HOLD_SECONDS
        journal.warning(
            "a key in a token does not work; it is watched until it does", why=self.outage.seen
        )

    async def _trouble(self, prepared: Prepared) -> dict[str, str] | None:
        """One look at every key in use, each in a process of its own: what is wrong, by identity.

        A key whose PIN was refused is left alone. None when no look could be taken.
        """
        trouble = dict(self._left_alone)
        for name in _identities(prepared):
            token = prepared.material.identities[name].token
            assert token is not None
            if name in self._left_alone:
                continue
            try:
                answer = await asyncio.to_thread(self._look, prepared.tokens, token)
            except HandclaspError as failure:
                journal.error("a token could not be looked at", why=" ".join(str(failure).split()))
                return None
            grave = errors_in(answer.findings)
            if not answer.asked:
                journal.warning("a token could not be looked at", why=grave[0].seen)
                return None
            if grave:
                trouble[name] = grave[0].seen
            if {one.slug for one in grave} & NO_MORE_TRIES:
                # A wrong PIN is not tried a second time: the token would lock itself.
                self._left_alone[name] = grave[0].seen
                journal.error(
                    "this token is not asked again until the spec is read again",
                    identity=name,
                    why=grave[0].seen,
                )
        return trouble

    async def _asked(self, prepared: Prepared, back: Callable[[], None]) -> None:
        trouble = await self._trouble(prepared)
        if trouble is None:
            self._next_look = self._clock.monotonic() + self._pause
            return
        if trouble:
            # While one PIN is refused nginx is not restarted for other keys either: it would try that PIN.
            self._still_away(trouble)
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

    def _still_away(self, trouble: Mapping[str, str]) -> None:
        assert self.outage is not None
        outage = Outage(self.outage.since, trouble)
        if outage.seen != self.outage.seen:
            journal.warning("the token is away", why=outage.seen)
        self.outage = outage
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        self._next_look = self._clock.monotonic() + self._pause


def _identities(prepared: Prepared) -> tuple[str, ...]:
    """Those in use whose keys are in tokens."""
    tokens = prepared.plan.tokens if prepared.plan else None
    return tuple(name for name, _ in tokens.keys) if tokens else ()
