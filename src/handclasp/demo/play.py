"""From the first line to the last, and what signals do (edge)."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from handclasp.demo.cast import make_cast
from handclasp.demo.curl import curl_lines, status_lines
from handclasp.demo.scenes import carry_out, cross
from handclasp.demo.stage import Stage
from handclasp.demo.tries import TRIES
from handclasp.errors import EnvironmentFault, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime
    from pathlib import Path

    from handclasp.demo.drawing import Page

T = TypeVar("T")

_WATCH_SECONDS = 0.2
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the command line chose, and what was found out for it.

    `build` is the nginx in words, `command` how handclasp was called.
    """

    nginx: Path
    build: str
    keep: bool
    command: str


class Interrupted(Exception):
    """A signal to end came; `number` is which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Stop:
    """INT, TERM and HUP: the first one counts, those that come while all is taken down are ignored."""

    def __init__(self) -> None:
        self._number = 0
        self._asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Ignored by whoever started us, as nohup does: the terminal may go, we stay.
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            loop.add_signal_handler(number, self._note, number)

    def _note(self, number: int) -> None:
        self._number = self._number or number
        self._asked.set()

    async def before(self, work: Coroutine[None, None, T]) -> T:
        """The result of `work`; raises Interrupted, with `work` cancelled, when a signal is first."""
        task = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if task.cancelled():
            raise Interrupted(self._number)
        return task.result()


async def play(choices: Choices, page: Page, say: Callable[[str], None], now: datetime) -> int:
    """The whole demo; returns its exit code.

    However it ends, nothing is left running or on disk. Raises what forbids the start.
    """
    began = time.monotonic()
    stop = _Stop()
    stage = Stage.set_up(make_cast(now), choices.nginx)
    signalled: Interrupted | None = None
    failed: tuple[str, ...] = ()
    try:
        failed = await stop.before(_scenes(stage, choices, page, say))
        say(page.result(len(TRIES) + 1, failed, time.monotonic() - began))
        if choices.keep:
            say(_invitation(stage, choices, page))
            await _kept(stage, stop)
    except Interrupted as interrupted:
        signalled = interrupted
    finally:
        await stage.tear_down()
    if signalled or choices.keep:
        say("\nStopped: everything that was started has ended, everything written is removed.")
    if signalled:
        return 128 + signalled.number
    return int(ExitCode.FINDINGS if failed else ExitCode.OK)


async def _scenes(
    stage: Stage, choices: Choices, page: Page, say: Callable[[str], None]
) -> tuple[str, ...]:
    """Shows everything; returns what was not as it must be."""
    stage.start()
    say(page.opening(choices.build, str(choices.nginx), str(stage.folder), stage.cast))
    for name, job in (
        ("a.yaml", "A, in front of the backend"),
        ("b.yaml", "B, for the application"),
    ):
        text = (stage.folder / name).read_text(encoding="utf-8")
        say(page.listing(f"{name}: {job}", text))
    status_a, status_b = await stage.ready()
    crossing = await cross(stage)
    say(page.crossing(crossing, status_a, status_b))
    failed = [f"A request crosses it: {one}" for one in crossing.differences]
    say(page.refusals_heading())
    for number, attempt in enumerate(TRIES, 1):
        outcome = await carry_out(stage, attempt)
        say(page.outcome(number, outcome))
        failed += [f"{attempt.title}: {one}" for one in outcome.differences]
    return tuple(failed)


def _invitation(stage: Stage, choices: Choices, page: Page) -> str:
    proxied = any(os.environ.get(name) for name in _PROXIES)
    pairs = curl_lines(stage.folder, stage.ports, proxied=proxied)
    pairs += status_lines(stage.folder, choices.command)
    text = page.commands("Everything stays up. Try it yourself:", pairs)
    return f"{text}\n\nCtrl-C (or: kill {os.getpid()}) ends it and removes {stage.folder}"


async def _kept(stage: Stage, stop: _Stop) -> None:
    """Until a signal. Raises EnvironmentFault when an agent ends by itself."""

    async def watch() -> None:
        while True:
            if stage.a.ended or stage.b.ended:
                return
            await asyncio.sleep(_WATCH_SECONDS)

    try:
        await stop.before(watch())
    except Interrupted:
        return
    which = stage.a if stage.a.ended else stage.b
    raise EnvironmentFault(f"the agent of {which.title} has ended by itself")
