"""From the first line to the last, and what signals do (edge)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.demo.cast import make_cast
from handclasp.demo.curl import curl_lines, status_lines
from handclasp.demo.scenes import carry_out, cross
from handclasp.demo.stage import Stage
from handclasp.demo.tries import TRIES
from handclasp.errors import EnvironmentFault, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from handclasp.demo.drawing import Page

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WATCH_SECONDS = 0.2
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the command line chose. `nginx` has been found; `said` is what it is called."""

    nginx: Path
    said: str
    keep: bool
    command: str


class _Stop:
    """A signal to end. The first one counts; until all is taken down the others are heard and ignored."""

    def __init__(self) -> None:
        self.number = 0
        self.asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._note, number)

    def _note(self, number: int) -> None:
        self.number = self.number or number
        self.asked.set()


async def play(choices: Choices, page: Page, say: Callable[[str], None], now: datetime) -> int:
    """The whole demo; returns its exit code. Whatever happens, nothing is left running or on disk."""
    stop = _Stop()
    performance = asyncio.ensure_future(_perform(choices, page, say, now, stop))
    interrupted = asyncio.ensure_future(stop.asked.wait())
    await asyncio.wait({performance, interrupted}, return_when=asyncio.FIRST_COMPLETED)
    interrupted.cancel()
    if not performance.done() and not choices.keep_reached(stop):
        performance.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        return await performance
    return 128 + stop.number
