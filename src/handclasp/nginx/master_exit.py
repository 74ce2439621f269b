"""How a master ended, as a value."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MasterExit:
    """How a master ended; of an adopted one, not being our child, no code is to be had."""

    pid: int
    code: int | None = None
    killed_by: int | None = None
    forced: bool = False

    def __str__(self) -> str:
        if self.killed_by is not None:
            how = f"was killed by {signal.Signals(self.killed_by).name}"
        elif self.code is not None:
            how = f"exited with code {self.code}"
        else:
            how = "ended (adopted, so its exit code is not known)"
        return f"nginx (pid {self.pid}) {how}{', forced' if self.forced else ''}"
