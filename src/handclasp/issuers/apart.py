"""Blocking work in a thread that nobody has to wait for (edge: threads).

``asyncio.to_thread`` shares a few threads with the whole agent, and its end waits for them: a server that
does not answer would hold up both.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


async def apart(work: Callable[P, T], *arguments: P.args, **more: P.kwargs) -> T:
    """What `work` returns or raises; cancelled, it is left to itself, so that it must be bounded.

    The caller bounds how many run at once.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(deliver: Callable[[], None]) -> None:
        if not outcome.done():
            deliver()

    def run() -> None:
        try:
            result = work(*arguments, **more)
        except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
            problem = error
            _tell(loop, lambda: settle(lambda: outcome.set_exception(problem)))
        else:
            _tell(loop, lambda: settle(lambda: outcome.set_result(result)))

    threading.Thread(target=run, name="issuer", daemon=True).start()
    return await outcome


def _tell(loop: asyncio.AbstractEventLoop, deliver: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(deliver)
