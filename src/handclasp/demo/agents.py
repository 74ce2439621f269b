"""`handclasp run` as a process of its own, as a user starts it (edge)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from handclasp.errors import EnvironmentFault, ExitCode, HandclaspError
from handclasp.nginx.log_tail import LogMark
from handclasp.nginx.master_record import MasterRecord
from handclasp.nginx.orphans import end_session

if TYPE_CHECKING:
    from pathlib import Path

_READY_SECONDS = 30.0
_END_SECONDS = 5.0
_POLL_SECONDS = 0.02
_SHOWN_LINES = 12
_OURS = frozenset(ExitCode) - {ExitCode.OK}


class StartFailed(HandclaspError):
    """An agent did not come up; carries its exit code and what it said."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class AgentProcess:
    """One agent with its nginx. `start`, then `ready`; `end` always, whatever happened between."""

    def __init__(self, title: str, spec: Path, nginx: Path) -> None:
        self.title = title
        self.spec = spec
        self.state = spec.with_suffix("")
        self._log = spec.with_suffix(".log")
        self._nginx = nginx
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, in a session of its own: a Ctrl-C at the terminal is ours to pass on."""
        # -P: a file named as one of our modules in the user's folder must not be taken for it.
        command = [sys.executable, "-P", "-m", "handclasp", "run", "-c", str(self.spec)]
        command += ["--nginx", str(self._nginx), "--state-dir", str(self.state), "--drain", "1"]
        environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def ready(self) -> dict[str, Any]:
        """Its status once it is ready. Raises StartFailed when it ends before or takes too long."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if self.ended:
                raise self._failure("ended at once")
            try:
                status = await self.status()
            except EnvironmentFault:
                await asyncio.sleep(_POLL_SECONDS)
                continue
            if status["ready"]:
                return status
            await asyncio.sleep(_POLL_SECONDS)
        raise self._failure(f"was not ready within {_READY_SECONDS:g} s")

    async def status(self) -> dict[str, Any]:
        """What `handclasp status` would say. Raises EnvironmentFault while nobody answers."""
        from handclasp.agent.control import CONTROL_SOCKET, ask_status

        return await ask_status(self.state / "run" / CONTROL_SOCKET)

    @property
    def ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def error_log(self) -> LogMark:
        """The present end of nginx's error log."""
        return LogMark.at_end(self.state / "nginx" / "logs" / "error.log")

    def access_log(self) -> LogMark:
        """The present end of nginx's access log."""
        return LogMark.at_end(self.state / "nginx" / "logs" / "access.log")

    async def end(self) -> None:
        """Ends the agent and its nginx: asked first, then made to. Nothing of it runs afterwards."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            deadline = time.monotonic() + _END_SECONDS
            while process.poll() is None:
                if time.monotonic() > deadline:
                    break
                await asyncio.sleep(_POLL_SECONDS)
            if process.poll() is None:
                process.kill()
                process.wait()
        record = MasterRecord.read(self.state / "nginx")
        if record is not None:
            await end_session(record, patience=0.5)

    def _failure(self, how: str) -> StartFailed:
        said = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        # Warnings that came before are no reason.
        first = next((number for number, line in enumerate(said) if "error: " in line), 0)
        lines = said[first:][-_SHOWN_LINES:]
        shown = "\n".join(f"  {line}" for line in lines) or "  (it said nothing)"
        code = self._process.returncode if self._process else None
        exit_code = ExitCode(code) if code in _OURS else ExitCode.ENVIRONMENT
        return StartFailed(f"the agent of {self.title} {how}; it said:\n{shown}", exit_code)
