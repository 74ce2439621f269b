"""New identities tried in an nginx of their own, before the one that carries the traffic sees them (edge).

`nginx -t` reads files as the master. Here a worker reads them, as it will at each handshake: a key it may
not read, or that does not do for a handshake, is noticed while nobody depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.agent.private_nginx import end_private, private_nginx
from handclasp.errors import HandclaspError
from handclasp.nginx.process import ERROR_LOG
from handclasp.nginx.render.trial import trial_configuration, trial_name
from handclasp.wire.client import observe
from handclasp.wire.observation import Target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from handclasp.agent.prepare import Prepared
    from handclasp.nginx.parts import Plan
    from handclasp.nginx.state import StateDirectory

_HANDSHAKE_SECONDS = 5.0
_AT_ONCE = 16
_SOCKET = "sock"


async def served_privately(
    state: StateDirectory, prepared: Prepared, plan: Plan, versions: Mapping[str, str]
) -> dict[str, str]:
    """Identity → why it cannot be served; those that can are left out. `versions`: name → staged version."""
    if not versions:
        return {}
    folders = {name: prepared.layout.identity(name, version) for name, version in versions.items()}
    try:
        configuration = trial_configuration(
            folders,
            plan.lookups,
            prefix=PurePosixPath(state.trial),
            socket=PurePosixPath(state.trial / _SOCKET),
            process=plan.process,
            facts=prepared.facts,
        )
        async with private_nginx(state.trial, prepared, configuration):
            seen = await _handshakes(state, prepared, tuple(folders))
    except HandclaspError as error:
        return dict.fromkeys(versions, f"nginx on a private listener: {error.message}")
    return {name: why for name, why in seen.items() if why is not None}


async def end_abandoned(state: StateDirectory) -> None:
    """Ends what an agent that was killed had running for a moment: a trial, or answers to challenges."""
    await end_private(state.trial)
    await end_private(state.answering)


async def _handshakes(
    state: StateDirectory, prepared: Prepared, names: tuple[str, ...]
) -> dict[str, str | None]:
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, name: str) -> str | None:
        target = Target(unix_path=str(state.trial / _SOCKET), server_name=trial_name(number))
        async with turn:
            seen = await observe(target, timeout=_HANDSHAKE_SECONDS, first_read=0.0)
        leaf = prepared.material.identities[name].leaf
        assert leaf is not None
        if seen.peer is not None and seen.failure is None:
            wanted = hashlib.sha256(leaf.public_bytes(Encoding.DER)).hexdigest()
            return None if seen.peer.sha256 == wanted else "another certificate was served"
        said = await asyncio.to_thread(_last_words, state.trial / ERROR_LOG)
        why = seen.failure.text if seen.failure else "no certificate was served"
        return f"a handshake on a private listener failed: {said or why}"

    outcomes = await asyncio.gather(*(one(number, name) for number, name in enumerate(names)))
    return dict(zip(names, outcomes, strict=True))


def _last_words(log: Path) -> str | None:
    """The last line nginx logged as an error or worse, which is about one of the identities tried."""
    with contextlib.suppress(OSError):
        grave = [
            line
            for line in log.read_text(errors="replace").splitlines()
            if any(f"[{level}]" in line for level in ("error", "crit", "alert", "emerg"))
        ]
        if grave:
            return grave[-1].split(": ", 1)[-1].partition(", client:")[0]
    return None
