"""Blocking work holds nobody up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from handclasp.issuers.apart import apart


def test_what_the_work_returns_is_returned_and_what_it_raises_is_raised() -> None:
    assert asyncio.run(apart(pow, 2, 5)) == 32
    with pytest.raises(ZeroDivisionError):
        asyncio.run(apart(divmod, 1, 0))


def test_many_that_hang_hold_up_neither_each_other_nor_the_end() -> None:
    release = threading.Event()

    async def run() -> float:
        hanging = [asyncio.ensure_future(apart(release.wait, 20)) for _ in range(40)]
        await asyncio.sleep(0.05)
        begin = time.monotonic()
        assert await asyncio.to_thread(pow, 3, 2) == 9
        assert await apart(pow, 3, 2) == 9
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        return begin

    begin = asyncio.run(run())
    assert time.monotonic() - begin < 5
    release.set()


def test_work_that_ends_after_the_loop_harms_nobody() -> None:
    release, ended = threading.Event(), threading.Event()

    def work() -> None:
        release.wait(20)
        ended.set()

    async def run() -> None:
        task = asyncio.ensure_future(apart(work))
        await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(run())
    release.set()
    assert ended.wait(5)


def test_work_that_was_given_up_is_not_heard_of_again() -> None:
    release, complaints = threading.Event(), list[object]()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        task = asyncio.ensure_future(apart(release.wait, 20))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        release.set()
        await asyncio.sleep(0.1)

    asyncio.run(run())
    assert not complaints


def test_a_program_ends_without_waiting_for_it() -> None:
    program = """
import asyncio, threading
from handclasp.issuers.apart import apart

async def run():
    asyncio.ensure_future(apart(threading.Event().wait, 60))
    await asyncio.sleep(0.05)

asyncio.run(run())
"""
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)
    assert time.monotonic() - begin < 30
