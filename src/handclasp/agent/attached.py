"""Putting a plan into effect in an nginx that somebody else runs: includes, their reload, proof (edge).

Nothing is supervised. What `carrier` does with a master of our own is done here with the reload command
of the spec; the order is the same: stage, test, switch, reload, prove, commit or put back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.carrier import Applied, Carrier
from handclasp.agent.installation import worker_findings
from handclasp.agent.prove import Proof, prove
from handclasp.agent.refused import ChangeRefused
from handclasp.agent.sockets import prepare_sockets
from handclasp.agent.staging import nginx_environment
from handclasp.agent.succession import listening_workers, succeeded
from handclasp.agent.trial_listener import end_abandoned
from handclasp.errors import EnvironmentFault, ExitCode, HandclaspError
from handclasp.findings import FindingsError, errors_in
from handclasp.nginx.dump import configuration_dump
from handclasp.nginx.existing import dump_findings, include_line, include_missing, pid_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.agent.prepare import Prepared
    from handclasp.findings import Finding
    from handclasp.nginx.parts import Plan

_COMMAND_SECONDS = 30.0
_BACK_SECONDS = 10.0
"""The second reload, the one that goes back, is not waited for as long: somebody waits to be told."""
_WORKERS_SECONDS = 15.0
_PROOF_SECONDS = 15.0
_PAUSE_SECONDS = 0.3
_READ_ITS_LOG = "read the error log of that nginx: it says there what it did not take"


class Attached(Carrier):
    """An existing nginx and our state directory with the includes."""

    async def begin(self, prepared: Prepared) -> Applied:
        """The first time and every other are the same here."""
        await end_abandoned(self.state)
        return await self.change(prepared)

    async def change(self, prepared: Prepared) -> Applied:
        """Replaces the includes. Raises ChangeRefused, FindingsError or EnvironmentFault.

        The includes of before are in place then, and nginx has been told to read them if it may have read
        others. Where there were none before, see `_kept`.
        """
        plan = self.plan_of(prepared)
        before = self.state.current_generation()
        generation = await self.staged(prepared, plan)
        prepare_sockets(plan, prepared)
        switch = self.switch(prepared, plan, generation)
        accepted = False
        try:
            pids = await self._test(prepared)
            accepted = True
            await _taken(prepared, pids)
            proofs = await self._proven(prepared, plan)
        except BaseException as failure:
            if before is None and (accepted or _only_include_missing(failure, prepared)):
                switch.commit()
                _kept(failure, prepared)
                raise
            switch.rollback()
            if before is not None and accepted and not isinstance(failure, _NotRun):
                await _back(prepared, failure)
            raise
        switch.commit()
        self.tidy()
        return self.in_effect(Applied(prepared, plan, generation, proofs))

    async def end(self, within: float) -> None:
        """Leaves nginx and the includes as they are."""
        del within
        self.state.close()

    async def _test(self, prepared: Prepared) -> Path | None:
        """The whole existing configuration, our includes in it, as `nginx -T` reads it; returns the
        master's pid file, if it names one."""
        dump, findings = await asyncio.to_thread(_dumped, prepared)
        if findings:
            raise FindingsError(findings, exit_code=ExitCode.FINDINGS)
        prefix = prepared.spec.nginx.prefix or prepared.facts.prefix
        named = pid_file(dump, PurePosixPath(prefix))
        return Path(named) if named else None

    async def _proven(self, prepared: Prepared, plan: Plan) -> tuple[Proof, ...]:
        """Old workers may answer for a moment after a reload, so the proof is tried until it holds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PROOF_SECONDS
        while True:
            proofs = await prove(prepared, plan)
            failed = [proof for proof in proofs if not proof.ok]
            if not failed:
                return proofs
            if loop.time() > deadline:
                what = "; ".join(f"{one.link} on {one.address}: {one.seen}" for one in failed)
                raise ChangeRefused(
                    f"after the reload not every listener does its job: {what}",
                    hint=_READ_ITS_LOG,
                )
            await asyncio.sleep(_PAUSE_SECONDS)


class _NotRun(EnvironmentFault):
    """The reload command could not even be started: nginx has read nothing."""


def _only_include_missing(failure: BaseException, prepared: Prepared) -> bool:
    """The include has to exist before it can be included, and nothing includes it yet."""
    missing = include_missing(http_fragment(prepared))
    return isinstance(failure, FindingsError) and failure.findings == (missing,)


def _kept(failure: BaseException, prepared: Prepared) -> None:
    """Without includes before there is nothing to go back to, and to remove these would leave the main
    configuration with an `include` of nothing, with which nginx cannot start. They stay, tested."""
    folder = http_fragment(prepared).parent
    journal.warning("includes kept", at=folder)
    if isinstance(failure, HandclaspError) and not isinstance(failure, FindingsError):
        kept = f"the includes are tested and stay in {folder}: nginx can start with them. Then run again"
        failure.hint = f"{failure.hint}; {kept}" if failure.hint else kept


async def _back(prepared: Prepared, failure: BaseException) -> None:
    """nginx is told to read the includes from before, whatever it had taken."""
    try:
        await _reload(prepared, _BACK_SECONDS)
    except EnvironmentFault as second:
        journal.error("going back failed too", first=failure, then=second)


def existing_findings(prepared: Prepared) -> Sequence[Finding]:
    """What the existing installation lacks or sets unsafely, or what its nginx refuses."""
    dump, findings = _dumped(prepared)
    return [*findings, *(one for one in worker_findings(dump, prepared) if one not in findings)]


def _dumped(prepared: Prepared) -> tuple[str, Sequence[Finding]]:
    nginx = prepared.spec.nginx
    dump, refused = configuration_dump(
        prepared.binary,
        Path(nginx.config) if nginx.config else None,
        Path(nginx.prefix) if nginx.prefix else None,
        _token_environment(prepared),
    )
    if refused:
        return dump, refused
    locked_out = errors_in(worker_findings(dump, prepared))
    return dump, [*dump_findings(dump, http_fragment(prepared)), *locked_out]


def _token_environment(prepared: Prepared) -> dict[str, str] | None:
    """What the service of that nginx has to have too; None where no key is in a token."""
    if prepared.plan is None or prepared.plan.tokens is None:
        return None
    return {**os.environ, **nginx_environment(prepared.plan, Path(http_fragment(prepared).parent))}


def http_fragment(prepared: Prepared) -> PurePosixPath:
    """The file that the existing configuration has to include."""
    return prepared.layout.generations / "current" / "http.conf"


async def _taken(prepared: Prepared, pids: Path | None) -> None:
    """Reloads, and waits for the workers that come of it. Raises ChangeRefused when none do."""
    before = listening_workers(pids)
    await _reload(prepared, _COMMAND_SECONDS)
    if pids is None or before is None:
        return  # the proof has to do
    if not await succeeded(pids, before, within=_WORKERS_SECONDS):
        raise ChangeRefused(
            f"the reload command was run, and {_WORKERS_SECONDS:g} s later nginx still has its old workers",
            hint=_READ_ITS_LOG,
        )


async def _reload(prepared: Prepared, seconds: float) -> None:
    """Runs the reload command. Raises EnvironmentFault; no process of its group outlives that."""
    command = prepared.spec.nginx.reload
    assert command is not None  # spec.check
    # A file, not a pipe: a process the command leaves behind may hold its output open for ever.
    with tempfile.TemporaryFile() as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            raise _NotRun(
                f"cannot run the reload command {command[0]}: {error.strerror}",
                hint="correct `reload:` in the spec",
            ) from error
        try:
            # Not asyncio.timeout: that of Python 3.11.0 cannot time out in a task cancelled before.
            await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError as error:
            raise EnvironmentFault(f"the reload command did not end in {seconds:g} s") from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        output.seek(0)
        said = output.read().decode(errors="replace").strip()[-500:]
    if process.returncode != 0:
        raise EnvironmentFault(
            f"the reload command failed ({process.returncode}): {said or 'it said nothing'}",
            hint="is that nginx running? Try the command by hand",
        )
    journal.info("existing nginx reloaded", command=" ".join(command))


__all__ = ["Attached", "existing_findings", "http_fragment", "include_line"]
