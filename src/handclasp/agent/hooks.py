"""Runs the programs that the spec names when something happens (edge).

Nothing waits for them: they run beside the agent, a few at a time and for so long at most, and are ended with
all that they started in their session. Each program has a queue of its own, so one that hangs keeps no other
from being told. They are given no shell, none of the agent's environment, and the
event as JSON on standard input. One that fails costs one line of the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent import journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.agent.counts import Counts
    from handclasp.monitor.events import Event
    from handclasp.spec.events import Hook
    from handclasp.spec.load import LoadedSpec

AT_MOST_SECONDS = 30.0
AT_ONCE = 4
MOST_WAITING = 64
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
_STDERR_BYTES = 4096
_LAST_WORDS_SECONDS = 0.2


class Hooks:
    """Those of the spec in effect."""

    def __init__(self, counts: Counts, at_most_seconds: float = AT_MOST_SECONDS) -> None:
        """None until `follow`; failures are counted in `counts`."""
        self._counts = counts
        self._at_most_seconds = at_most_seconds
        self._hooks: Sequence[Hook] = ()
        self._instance, self._folder = "", Path("/")
        self._running: dict[tuple[str, ...], set[asyncio.Task[None]]] = {}
        self._turns: dict[tuple[str, ...], asyncio.Semaphore] = {}
        self._dropping = False

    def follow(self, loaded: LoadedSpec) -> None:
        """From now on those of this spec, in whose directory they run."""
        self._hooks, self._instance = loaded.spec.on_event, loaded.name
        self._folder = Path(loaded.source).absolute().parent
        for gone in self._running.keys() - {tuple(hook.command) for hook in self._hooks}:
            if not self._running[gone]:
                del self._running[gone]
                self._turns.pop(gone, None)

    def tell(self, event: Event) -> None:
        """Starts whatever wants to know of it, and returns at once. To be called within the event loop."""
        for hook in self._hooks:
            if hook.events is not None and event.name not in hook.events:
                continue
            running = self._running.setdefault(tuple(hook.command), set())
            if len(running) >= AT_ONCE + MOST_WAITING:
                self._drop(event)
                continue
            self._dropping = False
            task = asyncio.ensure_future(self._run(hook.command, event))
            running.add(task)
            task.add_done_callback(running.discard)

    @property
    def under_way(self) -> set[asyncio.Task[None]]:
        """Those that run, or wait for their turn."""
        return {task for running in self._running.values() for task in running}

    async def stop(self) -> None:
        """Lets those that run go on for a second, then ends them."""
        running = self.under_way
        if running:
            await asyncio.wait(running, timeout=1.0)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _drop(self, event: Event) -> None:
        self._counts.hook_failures += 1
        if not self._dropping:
            journal.warning("too many event hooks are waiting; some are left out", told=event.name)
        self._dropping = True

    async def _run(self, command: Sequence[str], event: Event) -> None:
        async with self._turns.setdefault(tuple(command), asyncio.Semaphore(AT_ONCE)):
            why = await self._failure(command, event)
        if why is not None:
            self._counts.hook_failures += 1
            journal.warning("an event hook failed", command=command[0], told=event.name, why=why)

    async def _failure(self, command: Sequence[str], event: Event) -> str | None:
        """Runs it to its end; what went wrong, if anything did."""
        # A pipe of our own: asyncio would wait for whoever holds its end, not only for the program.
        reading, writing = os.pipe()
        try:
            process = await self._started(command, event, writing)
        except (OSError, ValueError) as error:
            os.close(reading)
            return getattr(error, "strerror", None) or str(error)
        finally:
            os.close(writing)
        said = asyncio.ensure_future(_last_words(FileIO(reading)))
        try:
            async with asyncio.timeout(self._at_most_seconds):
                await _give(process.stdin, event.as_json(self._instance).encode())
                code = await process.wait()
        except TimeoutError:
            return f"it took longer than {self._at_most_seconds:g} s and was ended"
        finally:
            # Also when the agent ends; and what it left running behind itself.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            await asyncio.wait({said}, timeout=_LAST_WORDS_SECONDS)
            said.cancel()
        if code == 0:
            return None
        last = said.result() if said.done() and not said.cancelled() else ""
        how = f"exit code {code}" if code > 0 else f"ended by signal {-code}"
        return f"{how}: {last}" if last else how

    async def _started(
        self, command: Sequence[str], event: Event, stderr: int
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=stderr,
            cwd=self._folder,
            env={**_ENVIRONMENT, "HANDCLASP_EVENT": event.name},
            start_new_session=True,
        )


async def _give(stdin: asyncio.StreamWriter | None, text: bytes) -> None:
    """A program need not read what it is told."""
    assert stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(text)
        await stdin.drain()
    stdin.close()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await stdin.wait_closed()


async def _last_words(pipe: FileIO) -> str:
    """The last line of however much is written to a pipe, which is closed then."""
    end, stream = b"", asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), pipe
    )
    try:
        while piece := await stream.read(_STDERR_BYTES):
            end = (end + piece)[-_STDERR_BYTES:]
    finally:
        transport.close()
    lines = end.decode(errors="replace").strip().splitlines()
    return lines[-1].strip()[:300] if lines else ""
