"""Listens to issuers that say by themselves when a certificate is to be replaced (edge: tasks).

What cannot be listened to is tried again later, without a word: the renewal at its time says what fails.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handclasp.errors import HandclaspError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cryptography import x509

AGAIN_SECONDS = 30.0
"""Between two attempts to listen to one issuer."""


@dataclass(frozen=True, slots=True)
class Listened:
    """For what is listened: another order, or another certificate, is another matter."""

    order: object
    current: x509.Certificate


class Summons:
    """One task for each identity whose issuer is listened to.

    `wait` returns True once the issuer wants the certificate replaced, False at once for an issuer that
    never says; `called` is told the identity then.
    """

    def __init__(
        self,
        wait: Callable[[Any, str, x509.Certificate], Awaitable[bool]],
        called: Callable[[str], None],
    ) -> None:
        self._wait = wait
        self._called = called
        self._tasks: dict[str, tuple[Listened, asyncio.Task[None]]] = {}

    def listen(self, prepared: Any, wanted: Mapping[str, Listened]) -> None:
        """From now on for exactly these, of the spec of `prepared`."""
        for name, (what, task) in list(self._tasks.items()):
            if wanted.get(name) != what:
                task.cancel()
                del self._tasks[name]
        for name, what in wanted.items():
            if name not in self._tasks:
                task = asyncio.ensure_future(self._hear(prepared, name, what.current))
                self._tasks[name] = what, task

    async def close(self) -> None:
        """Hang up everywhere."""
        tasks = [task for _, task in self._tasks.values()]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear(self, prepared: Any, name: str, current: x509.Certificate) -> None:
        while True:
            with contextlib.suppress(HandclaspError):
                if await self._wait(prepared, name, current):
                    self._called(name)
                return
            await asyncio.sleep(AGAIN_SECONDS)
