"""Before a reload: callers are told to use the connections they have no more (edge).

Only where nginx cannot do so itself (nginx.render.draining), and no longer than somebody has an old one.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.connections import open_connections
from handclasp.agent.sockets import listen_addresses
from handclasp.nginx.render.draining import LOOK_SECONDS, announces_reloads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import PurePath

    from handclasp.agent.carrier import Applied

DRAIN_SECONDS = 6.0
"""As long as `keepalive_min_timeout` gives callers on newer builds, and the look at the file before that."""
_POLL_SECONDS = 0.1


@contextlib.asynccontextmanager
async def announced(applied: Applied | None) -> AsyncIterator[None]:
    """Returns once no connection is left of those that were open before, at most 6 s later. Every answer says
    that its connection ends with it until the block is left; for what is in effect now."""
    if applied is None or not announces_reloads(applied.prepared.facts, own=_own(applied)):
        yield
        return
    addresses = listen_addresses(applied.plan)
    flag = applied.prepared.layout.draining

    async def connected() -> frozenset[str]:
        return await asyncio.to_thread(open_connections, addresses)

    if not (before := await connected()) or not await asyncio.to_thread(_raise_flag, flag):
        yield
        return
    journal.info("callers are told to open other connections", open=len(before))
    try:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DRAIN_SECONDS
        # Until every worker has looked, an answer on a new connection may not say so yet.
        await asyncio.sleep(LOOK_SECONDS + _POLL_SECONDS)
        before = await connected()
        while before and loop.time() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
            before &= await connected()
        yield
    finally:
        lower_flag(flag)


def lower_flag(flag: PurePath) -> None:
    """Callers may keep their connections again. A killed agent may have left it up."""
    with contextlib.suppress(OSError):
        Path(flag).unlink(missing_ok=True)


def _raise_flag(flag: PurePath) -> bool:
    try:
        Path(flag).touch(0o644)
    except OSError as error:
        journal.warning("callers are not told of the reload", because=error.strerror)
        return False
    return True


def _own(applied: Applied) -> bool:
    return applied.prepared.spec.nginx.mode == "own"
