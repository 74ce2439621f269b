"""A change refused for what somebody else may cure, without touching the spec, is tried again (edge)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.tokens import TOKEN_AWAY
from handclasp.agent.trial import TrialFailed
from handclasp.findings import FindingsError, errors_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from handclasp.errors import HandclaspError

AGAIN_DUE = "change is due again"
AGAIN_SECONDS = 30.0


def may_pass(failure: HandclaspError) -> str | None:
    """Until when the same spec is worth another try: a token may come back, and an identity that failed its
    trial may be replaced, or be accepted by then. None: somebody has to change the spec."""
    if isinstance(failure, TrialFailed):
        return "the identity does"
    grave = errors_in(failure.findings) if isinstance(failure, FindingsError) else ()
    away = bool(grave) and all(one.slug in TOKEN_AWAY for one in grave)
    return "the token is back" if away else None


def sentence(failure: HandclaspError) -> str:
    """What it says, in one line."""
    return " ".join(str(failure).split())


class TryAgain:
    """Tells of AGAIN_DUE, at most once every 30 s, while the change last refused may be taken by waiting."""

    def __init__(self, spec: Path, tell: Callable[[str], None]) -> None:
        self._spec = spec
        self._tell = tell
        self._asked: tuple[int, int, int] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def asked(self) -> None:
        """The spec is about to be read because somebody wants that."""
        self.stop()
        self._asked = self._seen()

    def refused(self, failure: HandclaspError | None) -> str | None:
        """What is to be said of it; None when it was not refused."""
        if failure is None:
            return None
        if (until := may_pass(failure)) is None:
            return sentence(failure)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(AGAIN_SECONDS, self._tell, AGAIN_DUE)
        journal.info("the change is tried again", in_seconds=AGAIN_SECONDS, until=until)
        return f"{sentence(failure)} (tried again every {AGAIN_SECONDS:g} s until {until})"

    def is_due(self) -> bool:
        """Whether the spec is still the one that was refused: another one is not read unasked, since it may
        be in the middle of an edit."""
        self.stop()
        if self._seen() == self._asked:
            return True
        journal.info("the spec is another one now; it is read when a reload is asked")
        return False

    def stop(self) -> None:
        """Forgets what would be due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _seen(self) -> tuple[int, int, int] | None:
        """Which file it is and since when. Its content is not read: a pipe would hold everything up."""
        try:
            status = self._spec.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns
