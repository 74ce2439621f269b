"""The end of an agent's nginx: requests answered, time up, or somebody in a hurry (edge)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from handclasp.agent import journal

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from handclasp.agent.carrier import Carrier


async def drain(carrier: Carrier, within: float, told_again: Coroutine[None, None, None]) -> None:
    """Ends nginx, and what is left of one it replaced, in so many seconds; at once when `told_again` ends."""
    ending = asyncio.ensure_future(carrier.end(within))
    hurry = asyncio.ensure_future(told_again)
    await asyncio.wait({ending, hurry}, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    if not ending.done():
        journal.warning("told again to stop: requests under way are cut")
        if carrier.master is not None and carrier.master.running:
            await carrier.master.terminate()
        await carrier.retirees.end(0.0)
    await ending
