"""What pure code asks of the outside, as protocols. Doubles in tests exist only for these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


class Clock(Protocol):
    """Wall time for certificate dates, monotonic time for durations; never one for the other."""

    def now(self) -> datetime:
        """Aware UTC time."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""
        ...


class Resolver(Protocol):
    """Name resolution as the operating system does it: hosts file, search domains and DNS."""

    async def resolve(self, names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Sorted addresses per name; a name that cannot be resolved maps to an empty tuple."""
        ...
