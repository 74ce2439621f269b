"""Whether challenges of ACME servers are answered at an address, with the files of our directory (edge).

It is tried with a file of our own. So it does not matter who answers: the nginx that carries the traffic, one
that an agent which was killed has left, an existing one with our include.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent.targets import reachable
from handclasp.issuers.acme_challenges import ChallengeFiles, answers_access
from handclasp.wire.client import observe
from handclasp.wire.offer import HttpRequest

if TYPE_CHECKING:
    from handclasp.agent.prepare import Prepared
    from handclasp.spec.values import ListenAddress
    from handclasp.wire.observation import Observation

PATH = "/.well-known/acme-challenge/"
_HOST = "proof.handclasp.invalid"
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.2
_TIMEOUT_SECONDS = 5.0


async def unanswered(
    prepared: Prepared, address: ListenAddress, *, attempts: int = _ATTEMPTS
) -> str | None:
    """What is wrong with the answers there; None when they are ours. Raises EnvironmentFault when our own
    file cannot be written."""
    group = prepared.account.gid if prepared.account else None
    files = ChallengeFiles(Path(prepared.layout.challenges), access=answers_access(group))
    token, content = f"handclasp-{secrets.token_hex(16)}", secrets.token_hex(16)
    await files.publish(token, content)
    why: str | None = None
    try:
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(_PAUSE_SECONDS)
            request = HttpRequest(path=f"{PATH}{token}", host=_HOST)
            target = reachable(address, tls=False)
            seen = await observe(target, request=request, timeout=_TIMEOUT_SECONDS)
            if (why := _wrong(seen, content)) is None:
                break
    finally:
        await files.withdraw(token, content)
    return why


def _wrong(seen: Observation, content: str) -> str | None:
    if seen.answer is None:
        return seen.failure.text if seen.failure else "no answer"
    if seen.answer.status != 200:
        return f"a file for a challenge is answered with HTTP {seen.answer.status}"
    if seen.answer.body != content.encode():
        return "another file than ours is given there"
    return None
