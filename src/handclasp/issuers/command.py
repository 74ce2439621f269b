"""`type: command`: any program that reads a signing request and prints PEM (edge: a child process).

The request is on its standard input, what it is for in variables HANDCLASP_IDENTITY, HANDCLASP_NAMES,
HANDCLASP_USE and HANDCLASP_LIFETIME; the certificate and its chain are expected on its standard output.
Its whole process group is ended with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.certs.read import read_objects
from handclasp.certs.secret import Secret
from handclasp.issuers.protocol import Issued, IssuerError
from handclasp.issuers.received import MOST_CERTIFICATES, one_line

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence
    from pathlib import Path

    from handclasp.certs.contents import Contents
    from handclasp.issuers.protocol import IssuedKey, Wanted

_MOST_OUTPUT = 1024 * 1024
"""Bytes: a chain of sixteen certificates has a fiftieth of it."""
_KEPT_COMPLAINT = 4096
_CHUNK = 65_536
_END_SECONDS = 2.0
_EXIT_LOOK_SECONDS = 0.02
_LAST_WORDS_SECONDS = 0.5
"""What a program wrote is in the pipes when it has ended; so long it takes to read that, and no longer."""
_TEMPORARY = 75  # EX_TEMPFAIL of sysexits.h: the program itself says to try again


class CommandIssuer:
    """A program as an issuer. It runs in `folder`, without a shell."""

    def __init__(self, command: Sequence[str], *, folder: Path, makes_key: bool = False) -> None:
        self._command = tuple(command)
        self._folder = folder
        self._makes_key = makes_key

    @property
    def makes_key(self) -> bool:
        """As the spec says."""
        return self._makes_key

    async def issue(self, wanted: Wanted) -> Issued:
        """What the program prints. Raises IssuerError; cancelled, it ends the program first."""
        request = b""
        if wanted.request is not None:
            request = wanted.request.public_bytes(Encoding.PEM)
        output, complaint, status = await self._run(request, variables(wanted))
        if status != 0:
            raise self._failed(status, complaint)
        return self._read(output)

    async def _run(self, request: bytes, environment: dict[str, str]) -> tuple[bytes, bytes, int]:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self._folder,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        except (OSError, ValueError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else str(problem)
            raise IssuerError(
                f"the command {self._command[0]} cannot be started: {reason}",
                hint=f"It is looked for from {self._folder}, and must be executable.",
                permanent=True,
            ) from problem
        output, complaint = bytearray(), bytearray()
        reading = asyncio.gather(
            self._output(process, output), _complaint(process, complaint), _feed(process, request)
        )
        try:
            await _read_out(process, reading)
            return bytes(output), bytes(complaint), await _exit_of(process)
        finally:
            reading.cancel()
            try:
                await asyncio.gather(reading, return_exceptions=True)
            finally:  # whoever cancels twice must not leave the program behind
                await _end(process)

    async def _output(self, process: Process, output: bytearray) -> None:
        assert process.stdout is not None
        while chunk := await process.stdout.read(_CHUNK):
            output += chunk
            if len(output) > _MOST_OUTPUT:
                raise IssuerError(
                    f"the command {self._command[0]} prints more than {_MOST_OUTPUT // 1024} KiB",
                    hint="It is to print certificates and nothing else.",
                    permanent=True,
                )

    def _failed(self, status: int, complaint: bytes) -> IssuerError:
        lines = [line for line in complaint.decode(errors="replace").splitlines() if line.strip()]
        said = f": {one_line(lines[-1])}" if lines else ", and says nothing"
        how = (
            f"ended with status {status}" if status > 0 else f"was ended by {_signal_name(-status)}"
        )
        return IssuerError(
            f"the command {self._command[0]} {how}{said}",
            hint="Run it by hand with a signing request on its standard input.",
        )

    def _read(self, output: bytes) -> Issued:
        program = self._command[0]
        contents = read_objects(output, source=f"the output of {program}")
        if not contents.certificates:
            raise IssuerError(f"the command {program} printed no certificate", permanent=True)
        if len(contents.certificates) > MOST_CERTIFICATES:
            count = len(contents.certificates)
            raise IssuerError(
                f"the command {program} printed {count} certificates, which is no chain",
                permanent=True,
            )
        return Issued(chain=contents.certificates, key=self._key(contents))

    def _key(self, contents: Contents) -> IssuedKey | None:
        program = self._command[0]
        keys = [one.key for one in contents.keys if one.key is not None]
        if not self._makes_key:
            if contents.keys:
                raise IssuerError(
                    f"the command {program} printed a private key, and the key is made here",
                    hint="Have it sign the request, or write `makes_key: true`.",
                    permanent=True,
                )
            return None
        if len(keys) != 1:
            raise IssuerError(
                f"the command {program} is to print one private key, and printed {len(keys)}"
                " that can be used",
                permanent=True,
            )
        return Secret(keys[0].reveal())  # type: ignore[arg-type]  # the judge compares it with the leaf


def variables(wanted: Wanted) -> dict[str, str]:
    """What the program is told beside the request. Names are separated by blanks, which none holds."""
    seconds = "" if wanted.lifetime is None else str(int(wanted.lifetime.total_seconds()))
    return {
        "HANDCLASP_IDENTITY": wanted.identity,
        "HANDCLASP_NAMES": " ".join(str(getattr(name, "value", "")) for name in wanted.names),
        "HANDCLASP_USE": wanted.use.value,
        "HANDCLASP_LIFETIME": seconds,
    }


async def _feed(process: Process, request: bytes) -> None:
    """A program that does not read its input is no fault."""
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(request)
        await process.stdin.drain()
    process.stdin.close()


async def _complaint(process: Process, kept: bytearray) -> None:
    """The end of what it says on standard error; read to the end, so that it does not block."""
    assert process.stderr is not None
    while chunk := await process.stderr.read(_CHUNK):
        kept += chunk
        del kept[:-_KEPT_COMPLAINT]


async def _read_out(process: Process, reading: asyncio.Future[Any]) -> None:
    """Until its output has ended, or else the program itself: something that it started and that has its
    pipes is not waited for. Raises what reading does."""
    exit_ = asyncio.ensure_future(_exit_of(process))
    try:
        await asyncio.wait((reading, exit_), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((reading,), timeout=_LAST_WORDS_SECONDS)
        if reading.done():
            reading.result()
    finally:
        exit_.cancel()


async def _exit_of(process: Process) -> int:
    """Its status, as soon as it has ended; `Process.wait` waits for the end of the pipes too."""
    while process.returncode is None:  # noqa: ASYNC110  there is no event for it
        await asyncio.sleep(_EXIT_LOOK_SECONDS)
    return process.returncode


async def _end(process: Process) -> None:
    """Its group, and the pipes: what it started may be what hangs, with our pipes in its hands."""
    try:
        if process.returncode is None or not _at_end(process):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await _exit_of(process)
    finally:
        # A process that has left the group may hold the pipes open; there is no public way to close them.
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001


def _at_end(process: Process) -> bool:
    """Nobody has its pipes any more: then its group may be another's by now."""
    return all(one is None or one.at_eof() for one in (process.stdout, process.stderr))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
