"""The nginx master as a process: test, start, adopt, reload, end. The edge to `lifecycle`.

nginx is made to outlive us: a session of its own, no terminal, no pipe to us. So a killed agent
leaves it serving, and the next one adopts it by what `master_record` says. It is watched through a
pidfd, which speaks of exactly one process for ever; whether it has workers is looked up now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from handclasp.errors import InternalFault
from handclasp.nginx import handover, launch, orphans
from handclasp.nginx.log_tail import LogMark, grave
from handclasp.nginx.master_exit import MasterExit
from handclasp.nginx.master_record import SUCCESSOR_FILE, MasterRecord, from_pid_file
from handclasp.nginx.pidfd import open_pidfd
from handclasp.nginx.reload import ReloadOutcome, ReloadRequest
from handclasp.nginx.watching import hopeless, start_failure, until_ready, until_reloaded
from handclasp.nginx.workers import Worker, any_serves, workers_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from handclasp.nginx.inheritance import Inheritance

_LOOK_SECONDS = 2.0
_PATIENCE_SECONDS = 1.0
_DRAIN_SECONDS = 10.0
ERROR_LOG = Path("logs/error.log")
STDERR_LOG = Path("logs/stderr.log")
"""What nginx says before its own log is open; below the prefix."""


class NginxMaster:
    """A running master. Made by `start` or `adopt`, inside a running event loop."""

    def __init__(
        self, record: MasterRecord, prefix: Path, child: subprocess.Popen[bytes] | None
    ) -> None:
        self.record = record
        self.prefix = prefix
        self.adopted = child is None
        self._child = child
        self._exit: MasterExit | None = None
        self._exited = asyncio.Event()
        self._under_way = 0  # reloads and endings, during which workers come and go
        self._mark = LogMark.at_end(Path(record.log_path))
        self._pidfd = open_pidfd(record.pid)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pidfd, self._note_exit)

    # -- beginnings

    test = staticmethod(launch.run_test)

    @classmethod
    async def start(
        cls,
        binary: Path,
        prefix: Path,
        conf: Path,
        *,
        env: Mapping[str, str],
        log_path: Path,
        within: float = 20.0,
        expected_workers: int | None = None,
        early_log_option: bool = False,
        unix_listeners: Sequence[Path] = (),
        inheritance: Inheritance | None = None,
    ) -> Self:
        """Starts nginx and returns when it has written its pid file and has its workers.

        The configuration says `daemon off;`, `pid nginx.pid;` (below the prefix) and logs to
        ``log_path``. ``early_log_option``: the build has `-e` (1.19.5); without it a build may try
        to open its compiled-in log first and complain, which does no harm.
        ``expected_workers``: as many must be there; None: at least one.
        ``unix_listeners``: sockets the configuration listens on, stale ones of which are removed.
        Workers of a dead master are ended first.
        ``inheritance``: sockets of the master that runs, whose successor this one is until `succeed`.

        Raises FindingsError (port-in-use, port-privileged, nginx-exited-at-once), EnvironmentFault
        when the program cannot be run, InternalFault when a master of this prefix is alive.
        Nothing is left running then, nor when cancelled.
        """
        known = MasterRecord.read(prefix)
        if inheritance is None and known is not None and known.is_alive():
            raise InternalFault(f"nginx (pid {known.pid}) of {prefix} is alive: adopt it")
        await orphans.end_orphans(prefix)
        orphans.remove_stale_sockets(unix_listeners)
        marks = [LogMark.at_end(prefix / STDERR_LOG), LogMark.at_end(log_path)]
        early = ("-e", "stderr") if early_log_option else ()
        arguments = (str(binary), *early, "-p", str(prefix), "-c", str(conf))
        child = launch.spawn(arguments, env, prefix / STDERR_LOG, inheritance=inheritance)
        try:
            record = MasterRecord.of(
                child.pid,
                arguments=arguments,
                configuration=str(conf),
                log_path=str(log_path),
                generation=inheritance.generation if inheritance else 0,
            )
            if record is not None:
                record.write(prefix)
                master = cls(record, prefix, child)
        except BaseException:
            child.kill()
            child.wait()
            raise
        if record is None:
            raise start_failure(marks, MasterExit.of(child.pid, child.wait()).how)
        await master._come_up(marks, within, expected_workers or 1)
        return master

    @classmethod
    def adopt(cls, prefix: Path) -> Self | None:
        """The master that an agent before us left running on this prefix; None when there is none.

        By our record (pid, start time, boot, arguments), else by the pid file if that process calls
        itself a master of this prefix and is ours. A pid that is another process now is not taken.
        """
        record = MasterRecord.read(prefix)
        if record is None or not record.is_alive():
            record = from_pid_file(prefix, prefix / ERROR_LOG)
            if record is None:
                return None
            record.write(prefix)
        try:
            master = cls(record, prefix, None)
        except ProcessLookupError:
            return None
        # Again, now that the pidfd holds on to whatever process it is.
        if record.is_alive():
            return master
        master.close()
        return None

    # -- while it runs

    @property
    def pid(self) -> int:
        """Pid of the master."""
        return self.record.pid

    @property
    def running(self) -> bool:
        """Whether it has not been seen to end."""
        return self._exit is None

    def is_other_than(self, binary: Path) -> str | None:
        """A sentence when starting ``binary`` now would give another program, else None."""
        started = self.record.program or self.record.executable.removesuffix(" (deleted)")
        if started != os.path.realpath(binary):
            return f"nginx (pid {self.pid}) was started as {started}, not as {binary}"
        return self.record.binary_change()

    def workers(self) -> tuple[Worker, ...]:
        """Workers by pid, those on their way out included; cache processes are none."""
        return workers_of(self.pid)

    async def serves(self) -> bool:
        """Whether a worker takes connections; False for a master that is quitting or lost them."""
        return await any_serves(self.pid, within=_PATIENCE_SECONDS)

    def reload(self) -> ReloadRequest:
        """Sends SIGHUP; whether it took is for `reloaded` to say: nginx itself never tells."""
        request = ReloadRequest(
            old_workers=frozenset(worker.pid for worker in self.workers()),
            mark=LogMark.at_end(Path(self.record.log_path)),
            asked_at=self._loop.time(),
        )
        self._send(signal.SIGHUP)
        return request

    async def reloaded(
        self, request: ReloadRequest, within: float, *, expected_workers: int | None = None
    ) -> ReloadOutcome:
        """Waits until every worker is a new one, or nginx has refused, or ``within`` seconds.

        ``expected_workers``: as many must be there; None: at least one.
        """
        with self.changing():
            return await until_reloaded(
                self.pid,
                request,
                lambda: self._exit,
                within=within,
                expected_workers=expected_workers,
            )

    def reopen_logs(self) -> None:
        """Sends SIGUSR1: master and workers open their log files anew, after these were renamed."""
        self._send(signal.SIGUSR1)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """While workers come and go on purpose: then it is not ended for having none that serves."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    # -- one master after the other (nginx.handover)

    async def stand_down(self) -> None:
        """Takes no connections any more and finishes its requests; its sockets stay open, so those that
        come meanwhile wait for another nginx, or for `stand_up`."""
        self._send(signal.SIGSTOP)
        await handover.until_stopped(self.pid)
        await handover.until_draining(self.pid)

    async def stand_up(self) -> bool:
        """Serves again, with other workers; whether it does."""
        self.resume()
        if await self.serves():
            return True
        self._send(signal.SIGHUP)  # every worker may be busy with requests from before
        return await self.serves()

    def resume(self) -> None:
        """Undoes the stop of a master that was stood down; it replaces the workers that have ended."""
        self._send(signal.SIGCONT)

    async def retire(self) -> MasterExit:
        """Ends the master alone, at once; its workers go on with their requests, known by its record."""
        self._send(signal.SIGKILL)
        return await self._ended()

    def succeed(self) -> None:
        """This one is the master of its prefix from now on. Raises EnvironmentFault."""
        self.record = self.record.without_generation()
        self.record.write(self.prefix)
        (self.prefix / SUCCESSOR_FILE).unlink(missing_ok=True)

    # -- endings

    async def wait(self) -> MasterExit:
        """Waits for the master to end, however long that takes.

        One that no worker serves any more, without a reload or an ending under way, is ended: it
        would stay like that for ever.
        """
        while not self._exited.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._exited.wait()
            if not (self._exited.is_set() or await self.serves()):
                await self._end_useless()
        return await self._ended()

    async def _ended(self) -> MasterExit:
        await self._exited.wait()
        if self._exit is None:
            raise InternalFault("a master ended without an exit")
        return self._exit

    async def quit(self, within: float) -> MasterExit:
        """Ends it gracefully (SIGQUIT) within ``within`` seconds, then with force."""
        return await self._end([(signal.SIGQUIT, within), (signal.SIGTERM, 3.0)])

    async def terminate(self, within: float = 3.0) -> MasterExit:
        """Ends it at once (SIGTERM), open requests being cut, after ``within`` s with force."""
        return await self._end([(signal.SIGTERM, within)])

    def close(self) -> None:
        """Stops watching and leaves nginx running."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        if self._child is not None and self._child.returncode is None:
            self._child.returncode = 0  # left running on purpose: Popen is not to warn of it

    # -- inside

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def _end_useless(self) -> None:
        if self._under_way or self._pidfd < 0:
            return
        said = [line for line in grave(self._mark.lines()) if hopeless([line])]
        because = "; ".join(["no worker of it took connections any more", *said[-1:]])
        self._exit = replace(await self.quit(_DRAIN_SECONDS), because=because)

    async def _end(self, steps: Iterable[tuple[signal.Signals, float]]) -> MasterExit:
        forced = False
        with self.changing():
            for number, patience in steps:
                self._send(number)
                with contextlib.suppress(TimeoutError):
                    # Not asyncio.timeout: that of Python 3.11.0 cannot time out in a task cancelled before.
                    await asyncio.wait_for(self._exited.wait(), patience)
                    break
                forced = True
            await orphans.end_session(self.record, patience=0.0 if forced else 1.0)
            ended = await self._ended()
        return replace(ended, forced=forced)

    async def _come_up(self, marks: Sequence[LogMark], within: float, workers: int) -> None:
        try:
            await until_ready(
                self.pid, self.prefix, marks, lambda: self._exit, within=within, workers=workers
            )
        except BaseException:
            # By pidfd: a wrapper that has not become nginx yet has not its title either.
            self._send(signal.SIGKILL)
            await orphans.end_session(self.record, patience=0.0)
            await self._ended()
            raise
        # A wrapper script has become nginx by now.
        self._refresh_record()

    def _refresh_record(self) -> None:
        seen = self.record.seen_again()
        if seen is not None and seen != self.record:
            self.record = seen
            seen.write(self.prefix)

    def _note_exit(self) -> None:
        code = self._child.wait() if self._child is not None else None
        self._exit = MasterExit.of(self.pid, code)
        self.close()
        self._exited.set()

    def _send(self, number: signal.Signals) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)
