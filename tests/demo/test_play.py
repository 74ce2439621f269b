"""Signals: the first one ends the work, and one that was ignored before us stays so."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from handclasp.demo.play import Interrupted, _Stop


def test_a_signal_cancels_the_work_and_is_named() -> None:
    async def run() -> bool:
        stop, cleaned = _Stop(), False

        async def work() -> None:
            nonlocal cleaned
            os.kill(os.getpid(), signal.SIGTERM)
            try:
                await asyncio.sleep(30)
            finally:
                await asyncio.sleep(0)  # cleaning up may wait
                cleaned = True

        with pytest.raises(Interrupted) as caught:
            await stop.before(work())
        assert caught.value.number == signal.SIGTERM
        return cleaned

    assert asyncio.run(run())


def test_without_a_signal_the_work_gives_its_result_or_its_error() -> None:
    async def run() -> None:
        stop = _Stop()
        assert await stop.before(asyncio.sleep(0, "done")) == "done"

        async def fails() -> None:
            raise LookupError("gone")

        with pytest.raises(LookupError, match="gone"):
            await stop.before(fails())

    asyncio.run(run())


def test_a_hangup_that_nohup_ignores_does_not_end_it() -> None:
    async def run() -> str:
        stop = _Stop()
        os.kill(os.getpid(), signal.SIGHUP)
        return await stop.before(asyncio.sleep(0.05, "stayed"))

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert asyncio.run(run()) == "stayed"
    finally:
        signal.signal(signal.SIGHUP, before)
