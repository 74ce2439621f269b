"""dns-01 by a program that sets and clears TXT records (edge: a child process).

It is called as `PROGRAM… set NAME VALUE` and, when the CA has looked, as `PROGRAM… clear NAME VALUE`; NAME
is _acme-challenge. and the name that is proven (RFC 8555, section 8.4). A name and its wildcard want two
values at one NAME.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from typing import TYPE_CHECKING, Any

from handclasp.issuers.protocol import IssuerError
from handclasp.issuers.received import one_line

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence
    from pathlib import Path

SECONDS = {"set": 120.0, "clear": 10.0}
"""How long the program may take: records take a while to be seen; an agent that ends waits for clearing."""
_KEPT = 4096


class DnsProgram:
    """Such a program, as acme_challenges.Challenges. It runs in `folder`, without a shell."""

    def __init__(self, command: Sequence[str], *, folder: Path) -> None:
        self._command = tuple(command)
        self._folder = folder

    @property
    def kind(self) -> str:
        """As the protocol has it."""
        return "dns-01"

    async def publish(self, place: str, content: str) -> None:
        """As the protocol has it. Raises IssuerError when the program fails."""
        await self._run("set", place, content)

    async def withdraw(self, place: str, content: str) -> None:
        """As the protocol has it. Raises IssuerError when the program fails."""
        await self._run("clear", place, content)

    async def _run(self, verb: str, place: str, content: str) -> None:
        with tempfile.TemporaryFile() as said:
            status = await self._status((verb, place, content), said)
            if status == 0:
                return
            said.seek(max(0, said.seek(0, os.SEEK_END) - _KEPT))
            lines = [
                line for line in said.read().decode(errors="replace").splitlines() if line.strip()
            ]
        reason = one_line(lines[-1]) if lines else "it says nothing"
        raise IssuerError(
            f"the program {self._command[0]} {verb} {place} ended with status {status}: {reason}",
            hint="Run it by hand with these arguments and a value.",
        )

    async def _status(self, arguments: tuple[str, str, str], said: Any) -> int:
        verb = arguments[0]
        try:
            process = await asyncio.create_subprocess_exec(
                *(*self._command, *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self._folder,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise IssuerError(
                f"the program {self._command[0]} cannot be started: {reason}",
                hint=f"It is looked for from {self._folder}, and must be executable.",
                permanent=True,
            ) from error
        try:
            async with asyncio.timeout(SECONDS[verb]):
                return await process.wait()
        except TimeoutError as error:
            await _end(process)
            told = f"the program {self._command[0]} {verb} did not end within {SECONDS[verb]:g} s"
            raise IssuerError(told) from error
        except BaseException:
            await _end(process)
            raise


async def _end(process: Process) -> None:
    """With what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
