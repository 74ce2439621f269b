"""The one clock (edge)."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Wall time in UTC, and monotonic seconds (handclasp.ports.Clock)."""

    def now(self) -> datetime:
        """Aware UTC time, cut to seconds: certificates know no finer unit."""
        return datetime.now(UTC).replace(microsecond=0)  # noqa: TID251  this is the clock

    def monotonic(self) -> float:
        """Seconds, never going back."""
        return time.monotonic()
