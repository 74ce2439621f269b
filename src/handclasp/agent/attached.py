"""Putting a plan into effect in an nginx that somebody else runs: includes, their reload, proof (edge).

Nothing is supervised. What `carrier` does with a master of our own is done here with the reload command
of the spec; the order is the same: stage, test, switch, reload, prove, commit or put back.
"""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.carrier import Applied, Carrier, ChangeRefused
from handclasp.agent.prove import Proof, prove
from handclasp.agent.sockets import prepare_sockets
from handclasp.errors import EnvironmentFault, ExitCode
from handclasp.findings import FindingsError
from handclasp.nginx.dump import configuration_dump
from handclasp.nginx.existing import dump_findings, include_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.agent.prepare import Prepared
    from handclasp.findings import Finding
    from handclasp.nginx.parts import Plan

_COMMAND_SECONDS = 30.0
_PROOF_SECONDS = 15.0
_PAUSE_SECONDS = 0.3


class Attached(Carrier):
    """An existing nginx and our state directory with the includes."""

    async def begin(self, prepared: Prepared) -> Applied:
        """The first time and every other are the same here."""
        return await self.change(prepared)

    async def change(self, prepared: Prepared) -> Applied:
        """Replaces the includes. Raises ChangeRefused or FindingsError with the old ones in place."""
        plan = self.plan_of(prepared)
        generation = await self.staged(prepared, plan)
        prepare_sockets(plan, prepared)
        switch = self.switch(prepared, plan, generation)
        first = self.applied is None
        try:
            await self._test(prepared)
            await _reload(prepared)
            proofs = await self._proven(prepared, plan)
        except FindingsError:
            if first:
                # The include has to exist before it can be included: keep it, and say what to do.
                switch.commit()
            else:
                switch.rollback()
            raise
        except BaseException:
            switch.rollback()
            if not first:
                await _reload(prepared)
            raise
        switch.commit()
        self.tidy()
        return self.in_effect(Applied(prepared, plan, generation, proofs))

    async def end(self, within: float) -> None:
        """Leaves nginx and the includes as they are."""
        del within
        self.state.close()

    async def _test(self, prepared: Prepared) -> None:
        """The whole existing configuration, our includes in it, as `nginx -T` reads it."""
        findings = await asyncio.to_thread(existing_findings, prepared)
        if findings:
            raise FindingsError(findings, exit_code=ExitCode.FINDINGS)

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
                raise ChangeRefused(f"after the reload not every listener does its job: {what}")
            await asyncio.sleep(_PAUSE_SECONDS)


def existing_findings(prepared: Prepared) -> Sequence[Finding]:
    """What the existing installation lacks or sets unsafely, or what its nginx refuses."""
    nginx = prepared.spec.nginx
    dump, refused = configuration_dump(
        prepared.binary,
        Path(nginx.config) if nginx.config else None,
        Path(nginx.prefix) if nginx.prefix else None,
    )
    return refused or dump_findings(dump, http_fragment(prepared))


def http_fragment(prepared: Prepared) -> PurePosixPath:
    """The file that the existing configuration has to include."""
    return prepared.layout.generations / "current" / "http.conf"


async def _reload(prepared: Prepared) -> None:
    command = prepared.spec.nginx.reload
    assert command is not None  # spec.check
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(_COMMAND_SECONDS):
            output, _ = await process.communicate()
    except OSError as error:
        raise EnvironmentFault(
            f"cannot run the reload command {command[0]}: {error.strerror}"
        ) from error
    except TimeoutError as error:
        process.kill()
        raise EnvironmentFault(
            f"the reload command did not end in {_COMMAND_SECONDS:g} s"
        ) from error
    if process.returncode != 0:
        said = output.decode(errors="replace").strip()[-500:]
        raise EnvironmentFault(f"the reload command failed ({process.returncode}): {said}")
    journal.info("existing nginx reloaded", command=" ".join(command))


__all__ = ["Attached", "existing_findings", "http_fragment", "include_line"]
