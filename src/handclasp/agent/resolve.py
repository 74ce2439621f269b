"""Names to addresses as the operating system does it: hosts file, search domains, DNS (edge)."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PATIENCE_SECONDS = 5.0


class SystemResolver:
    """getaddrinfo in threads (handclasp.ports.Resolver). A name without answer in time has no address,
    so one dead name never holds up the others."""

    async def resolve(self, names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Sorted addresses per name, IPv4 before IPv6."""
        found = await asyncio.gather(*(self._one(name) for name in names))
        return dict(zip(names, found, strict=True))

    async def _one(self, name: str) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                answers = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError):
            return ()
        return tuple(
            sorted({str(answer[4][0]) for answer in answers}, key=lambda one: (":" in one, one))
        )
