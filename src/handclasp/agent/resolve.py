"""Names to addresses as the operating system does it: hosts file, search domains, DNS (edge)."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PATIENCE_SECONDS = 5.0
_DOES_NOT_EXIST = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})


class SystemResolver:
    """getaddrinfo in threads (handclasp.ports.Resolver), with a limit in time, so one dead name never
    holds up the others.

    A name that is said not to exist has no address. Where nobody could be asked it keeps those it had
    last: an outage of DNS must not take down links that work, and nginx's own resolver does the same.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, ...]] = {}

    async def resolve(self, names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Sorted addresses per name, IPv4 before IPv6."""
        found = await asyncio.gather(*(self._one(name) for name in names))
        return dict(zip(names, found, strict=True))

    async def _one(self, name: str) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                answers = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno in _DOES_NOT_EXIST:
                self._last.pop(name, None)
            return self._last.get(name, ())
        except (OSError, TimeoutError):
            return self._last.get(name, ())
        except UnicodeError:  # no name that DNS could hold
            return ()
        self._last[name] = tuple(
            sorted({str(answer[4][0]) for answer in answers}, key=lambda one: (":" in one, one))
        )
        return self._last[name]
