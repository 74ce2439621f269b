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
    because: str = ""  # why we ended it, when nobody had asked for that

    @classmethod
    def of(cls, pid: int, returncode: int | None) -> MasterExit:
        """From what Popen has: negative for a signal, None when it was not our child."""
        if returncode is not None and returncode < 0:
            return cls(pid, killed_by=-returncode)
        return cls(pid, code=returncode)

    @property
    def how(self) -> str:
        """As in a sentence about it."""
        if self.killed_by is not None:
            return f"killed by {signal.Signals(self.killed_by).name}"
        if self.code is not None:
            return f"exit code {self.code}"
        return "adopted, so its exit code is not known"

    def __str__(self) -> str:
        forced = ", forced" if self.forced else ""
        because = f": {self.because}" if self.because else ""
        return f"nginx (pid {self.pid}) ended ({self.how}{forced}){because}"
