"""Starting, watching and stopping servers, by process id, bounded in time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PROC = Path("/proc")
START_SECONDS = 10.0
STOP_SECONDS = 5.0


class StartError(Exception):
    """A server did not come up; the message holds the last lines it wrote."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def descendants(pid: int) -> tuple[int, ...]:
    """The process and everything below it that is alive now."""
    parents: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError, IndexError, ValueError):
            # The command name is in parentheses and may hold anything: read after the last one.
            after = (entry / "stat").read_text().rpartition(")")[2].split()
            parents.setdefault(int(after[1]), []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        queue.extend(parents.get(current, ()))
    return tuple(found)


def cpu_us(pids: Sequence[int]) -> float:
    """CPU time in microseconds of all threads of these processes so far.

    `schedstat` counts nanoseconds per thread (Documentation/scheduler/sched-stats.rst); where the
    kernel lacks it, the clock ticks of `stat` do.
    """
    total = 0.0
    for pid in pids:
        threads = list((_PROC / str(pid) / "task").iterdir()) if (_PROC / str(pid)).exists() else []
        for thread in threads:
            with suppress(FileNotFoundError, ProcessLookupError):
                total += _thread_us(thread)
    return total


def _thread_us(thread: Path) -> float:
    try:
        return int((thread / "schedstat").read_text().split()[0]) / 1000
    except FileNotFoundError:
        after = (thread / "stat").read_text().rpartition(")")[2].split()
        return (int(after[11]) + int(after[12])) / os.sysconf("SC_CLK_TCK") * 1e6


def proportional_kib(pids: Sequence[int]) -> int:
    """Memory in KiB, pages shared between processes counted once (Pss of smaps_rollup)."""
    total = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total


@dataclass(slots=True)
class Running:
    """A started server. `settle` after its first answer, when the workers exist, fixes `pids`.

    `only` is the process whose tree is measured when that is not the one that was started.
    """

    process: subprocess.Popen[bytes]
    log: Path
    pids: tuple[int, ...] = ()
    only: int | None = None

    def alive(self) -> bool:
        return self.process.poll() is None

    def settle(self) -> None:
        self.pids = descendants(self.only or self.process.pid)

    def cpu_us(self) -> float:
        return cpu_us(self.pids)

    def memory_kib(self) -> int:
        return proportional_kib(self.pids)

    def stop(self) -> None:
        """Ask, wait, then insist. Takes `only` along, which may outlive its agent by design."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS)
        left = descendants(self.only) if self.only in self.pids else ()
        for pid in left:
            if (_PROC / str(pid)).exists():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)


def start(
    command: Sequence[str],
    *,
    folder: Path,
    ports: Sequence[int],
    environment: Mapping[str, str] | None = None,
) -> Running:
    """Start a server and wait until it accepts on all ports. Raises StartError."""
    log = folder / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
        )
    running = Running(process, log)
    try:
        for port in ports:
            _wait_listening(running, port)
    except StartError:
        running.stop()
        raise
    running.settle()
    return running


def _wait_listening(running: Running, port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        if not running.alive():
            raise StartError(f"exited with {running.process.returncode}: {_tail(running.log)}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise StartError(f"not listening in time: {_tail(running.log)}") from None
            time.sleep(0.02)
        else:
            return


def _tail(log: Path) -> str:
    written = log.read_text(errors="backslashreplace").strip().splitlines()
    beside = log.with_name("error.log")
    if beside.exists():
        written += beside.read_text(errors="backslashreplace").strip().splitlines()
    return " | ".join(written[-3:]) or "it said nothing"
