"""How often something happened since the agent started. Only numbers that never go down are kept here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.monitor.metrics import Result


class Counts:
    """Told by whoever sees it happen; read by /metrics."""

    def __init__(self) -> None:
        """All at zero."""
        self.rotations: Counter[tuple[str, Result]] = Counter()
        """By identity and how it ended."""
        self.handshake_failures: Counter[tuple[str, str]] = Counter()
        """By link and slug of the cause."""
        self.unread_log_bytes = 0
        """Of nginx's error log: what was written faster than it is read."""
        self.hook_failures = 0

    def rotation(self, names: Iterable[str], *, ok: bool) -> None:
        """Identities were replaced together, or all put back."""
        for name in names:
            self.rotations[name, "committed" if ok else "rolled_back"] += 1

    def handshake_failure(self, link: str, cause: str) -> None:
        """A handshake or its late refusal; both labels come from bounded sets."""
        self.handshake_failures[link, cause] += 1
