"""Tokens that were given to us for an issuer, kept alive while the agent runs (edge: network, clock).

A certificate is renewed every few weeks or months, and a token that is used no more often dies in between. So
each is renewed when half of its time has gone; one that cannot be renewed any further is told of before it
ends, as a certificate is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.errors import HandclaspError
from handclasp.issuers.secrets import read_secret
from handclasp.issuers.vault import VaultIssuer
from handclasp.monitor.expiring import Expiring
from handclasp.spec.issuer_vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handclasp.agent.prepare import Prepared
    from handclasp.issuers.vault_login import TokenLife
    from handclasp.ports import Clock

LOOK_SECONDS = 5.0
"""Between two looks whether a token is due, or another one is in its place."""
AGAIN = timedelta(seconds=30)
LONGEST = timedelta(hours=1)
"""However long a token has: it may be revoked."""


@dataclass(slots=True)
class _Seen:
    """What is known of the token of an issuer. `due`: monotonic seconds."""

    section: Vault
    token: int = 0
    due: float = 0.0
    life: TokenLife | None = None
    problem: str | None = None


class IssuerTokens:
    """The tokens of the spec in effect."""

    def __init__(self, clock: Clock, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._clock = clock
        self._look_seconds = look_seconds
        self._seen: dict[str, _Seen] = {}

    @property
    def problems(self) -> Mapping[str, str]:
        """Issuer → why its token is not kept alive."""
        return {name: one.problem for name, one in self._seen.items() if one.problem is not None}

    @property
    def ending(self) -> tuple[Expiring, ...]:
        """Those that end some day, as certificates do."""
        return tuple(
            Expiring("token", name, "token", one.life.begin, one.life.end, renewed=True)
            for name, one in self._seen.items()
            if one.life is not None
        )

    async def watch(self, in_effect: Callable[[], Prepared | None]) -> None:
        """Does not end."""
        while True:
            if (prepared := in_effect()) is not None:
                await self.look(prepared.spec.issuers)
            await asyncio.sleep(self._look_seconds)

    async def look(self, issuers: Mapping[str, object]) -> None:
        """Sees to those that are due."""
        wanted = {
            name: one
            for name, one in issuers.items()
            if isinstance(one, Vault) and one.auth.token is not None
        }
        for gone in self._seen.keys() - wanted.keys():
            del self._seen[gone]
        for name, section in wanted.items():
            seen = self._seen.get(name)
            if seen is None or seen.section != section:
                self._seen[name] = _Seen(section)
        await asyncio.gather(*(self._see_to(name, one) for name, one in self._seen.items()))

    async def _see_to(self, name: str, seen: _Seen) -> None:
        try:
            assert seen.section.auth.token is not None
            # In a thread: what it is read from may be a pipe, or a file system that hangs.
            secret = await asyncio.to_thread(read_secret, seen.section.auth.token)
            token = hash(secret.reveal())
            if token == seen.token and self._clock.monotonic() < seen.due:
                return
            seen.token = token
            async with asyncio.timeout(seen.section.timeout.total_seconds()):
                seen.life = await VaultIssuer(seen.section).keep_token(self._clock.now())
        except (HandclaspError, TimeoutError) as error:
            self._failed(name, seen, error)
            return
        if seen.problem is not None:
            journal.info("token is kept alive again", issuer=name)
        seen.problem = None
        wait = LONGEST if seen.life is None else seen.life.look_after(self._clock.now())
        seen.due = self._clock.monotonic() + min(wait, LONGEST).total_seconds()

    def _failed(self, name: str, seen: _Seen, error: Exception) -> None:
        """Tried again before what is left has gone, as far as it is known."""
        why = error.message if isinstance(error, HandclaspError) else "no answer in time"
        if why != seen.problem:
            fix = {"fix": error.hint} if isinstance(error, HandclaspError) and error.hint else {}
            journal.error("token of an issuer is not kept alive", issuer=name, why=why, **fix)
        seen.problem = why
        wait = AGAIN
        if seen.life is not None:
            wait = min(AGAIN, seen.life.look_after(self._clock.now()))
        seen.due = self._clock.monotonic() + wait.total_seconds()
