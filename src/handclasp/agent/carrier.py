"""Putting a plan into effect: stage, test, switch, start or reload, prove; else back to what was (edge).

A plan is applied whole or not at all. Until the proof is in, the state directory's journal holds the
old targets of every link, so that a crash at any point leaves the last good state (nginx.switch).
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from handclasp.agent import journal
from handclasp.agent.announcing import lower_flag
from handclasp.agent.exchange import exchange, settle
from handclasp.agent.former import adopted
from handclasp.agent.generation import (
    generation_files,
    is_current,
    material_in_use,
    read_at_start_only,
)
from handclasp.agent.last_good import at_start, keeping
from handclasp.agent.memory import give_back
from handclasp.agent.own_calls import OwnCalls
from handclasp.agent.prove import Proof, prove
from handclasp.agent.refused import ChangeRefused
from handclasp.agent.rereading import IDENTITY
from handclasp.agent.retirees import Retirees
from handclasp.agent.sockets import prepare_sockets, unix_listeners
from handclasp.agent.staging import identity_versions, nginx_environment, refusals, stage
from handclasp.agent.tokens import TOKEN_AWAY, refused_pins
from handclasp.agent.transaction import RELOAD_SECONDS, Transaction
from handclasp.agent.trial import TrialFailed
from handclasp.agent.trial_listener import end_abandoned
from handclasp.agent.unused import remove_unused
from handclasp.errors import EnvironmentFault, ExitCode, HandclaspError, InternalFault
from handclasp.findings import FindingsError, errors_in
from handclasp.nginx.features import Feature
from handclasp.nginx.orphans import remove_stale_sockets
from handclasp.nginx.process import ERROR_LOG, NginxMaster
from handclasp.nginx.state import StateDirectory

if TYPE_CHECKING:
    from collections.abc import Callable

    from handclasp.agent.prepare import Prepared
    from handclasp.findings import Finding
    from handclasp.nginx.inheritance import Inheritance
    from handclasp.nginx.parts import Plan
    from handclasp.nginx.switch import Switch

_PROOF_SECONDS = 10.0
_PASSING = TOKEN_AWAY | {"crl-expired"}
_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Applied:
    """What is in effect."""

    prepared: Prepared
    plan: Plan
    generation: int
    proofs: tuple[Proof, ...]
    changed: bool = True  # False: the plan in effect already was this one


def no_plan(prepared: Prepared) -> FindingsError:
    """Why there is none. A token that is away may come back by itself, and a list that ran out be replaced,
    so whoever starts us, as systemd, is told by the exit code to try again; a spec that has to be changed
    ends with another one."""
    away = all(one.slug in _PASSING for one in errors_in(prepared.findings))
    code = ExitCode.ENVIRONMENT if away else ExitCode.FINDINGS
    return FindingsError(prepared.findings, exit_code=code)


class Carrier:
    """An nginx of our own and the state directory it lives in."""

    def __init__(self, state: StateDirectory) -> None:
        self.state = state
        self.master: NginxMaster | None = None
        self.outgoing: NginxMaster | None = None  # while another one takes its place
        self.retirees = Retirees(state.nginx_prefix)
        self.applied: Applied | None = None
        self.own_calls = OwnCalls()
        self.unsure = state.recovered is not None  # nginx may have read what was undone
        self._refused_pin: Applied | None = None
        self._refusal: tuple[Finding, ...] = ()

    @classmethod
    def open(cls, prepared: Prepared) -> Carrier:
        """Takes the state directory. Raises EnvironmentFault when it cannot be had."""
        account = prepared.account
        state = StateDirectory.open(
            Path(prepared.layout.root),
            worker_group=account.gid if account else None,
            workers_read_keys=prepared.machine.workers_may_read_keys,
        )
        if state.recovered:
            journal.warning("state recovered", what=state.recovered)
        if (blocked := state.blocked_ancestor()) is not None:
            state.close()
            user = account.user if account else "nginx's workers"
            raise EnvironmentFault(
                f"{blocked} cannot be entered by {user}, whose workers must read below it",
                hint=f"chmod o+x {blocked}, or choose another --state-dir",
            )
        return cls(state)

    async def usable(self, prepared: Prepared) -> Prepared:
        """What a start can put into effect of it, or FindingsError with what forbids one."""
        usable = await _in_thread(at_start, prepared, self.state)
        self.plan_of(usable)
        return usable

    async def begin(self, prepared: Prepared) -> Applied:
        """Adopts an nginx left running or starts one, and proves it. Raises when nothing serves then."""
        plan = self.plan_of(prepared)
        await settle(self.state)
        await end_abandoned(self.state)
        lower_flag(prepared.layout.draining)
        self.retirees.take_over()
        self.master = await adopted(self.state)
        if self.master is not None:
            return await self._adopted(prepared)
        generation = await self.staged(prepared, plan)
        switch = self.switch(prepared, plan, generation)
        try:
            self.master = await self.started(prepared, plan)
            proofs = await self.proven(prepared, plan)
        except BaseException:
            await self.end_quietly()
            switch.rollback()
            raise
        switch.commit()
        return self.in_effect(Applied(prepared, plan, generation, proofs))

    async def _adopted(self, prepared: Prepared) -> Applied:
        """What lies on disk, except for identities that do not do and have one in effect that does."""
        try:
            return await self.change(prepared)
        except TrialFailed as failure:
            why = {f"{IDENTITY} {name}": told for name, told in failure.failed.items()}
            kept = await asyncio.to_thread(keeping, prepared, why, self.state)
            if kept.plan is None:
                raise
            journal.error("new files are not taken, the old ones serve on", why=failure.message)
            return await self.change(kept)

    async def change(self, prepared: Prepared) -> Applied:
        """Replaces the plan in effect. Raises ChangeRefused (or what the environment did) with the old
        plan serving; if not even that could be done, with a `master` that has ended."""
        plan = self.plan_of(prepared)
        master = self._running()
        other = self._other_program(prepared, master) or read_at_start_only(
            self.state, prepared, plan
        )
        if other:
            return await self._exchange(prepared, plan, master, other)
        if is_current(self.state, prepared, plan) and not self.unsure:
            proofs = await self.proven(prepared, plan)
            generation = self.state.current_generation() or 0
            return self.in_effect(Applied(prepared, plan, generation, proofs, changed=False))
        change = Transaction(self, prepared, plan, master)
        await change.run()
        self.tidy()
        return self.in_effect(Applied(prepared, plan, change.generation, change.proofs))

    async def restart(self) -> None:
        """Starts nginx again on the generation in effect, and proves it. Raises with nothing running."""
        applied = self.applied
        if applied is None:
            raise InternalFault("a restart before anything was in effect")
        if self._refused_pin is not applied and (
            refused := await asyncio.to_thread(refused_pins, applied.prepared, applied.plan)
        ):
            self._refused_pin, self._refusal = applied, refused
        if self._refused_pin is applied:
            # nginx would try the PIN at each of its starts, and the token counts.
            raise FindingsError(self._refusal, exit_code=ExitCode.ENVIRONMENT)
        self.master = await self.started(applied.prepared, applied.plan)
        try:
            await self.proven(applied.prepared, applied.plan)
        except BaseException:
            await self.end_quietly()
            raise

    async def replace_master(self, because: str) -> Applied:
        """Another nginx with the plan in effect, in place of the one that runs. Raises as `change` does."""
        applied = self.applied
        if applied is None:
            raise InternalFault("a restart before anything was in effect")
        return await self._exchange(applied.prepared, applied.plan, self._running(), because)

    async def end(self, within: float) -> None:
        """Lets nginx finish what it is doing, then ends it, and releases the state directory."""
        retiring = asyncio.ensure_future(self.retirees.end(within))
        if self.master is not None and self.master.running:
            ended = await self.master.quit(within)
            journal.info("nginx ended", how=ended)
        await retiring
        if self.applied is not None:
            # nginx leaves those it was given (ngx_close_listening_sockets, `inherited`).
            remove_stale_sockets(unix_listeners(self.applied.plan, self.applied.prepared))
        self.state.close()

    def tidy(self) -> None:
        """Removes what no kept generation uses. A generation is kept for some changes more, so nothing
        goes that a worker of the one before may still look up."""
        self.state.prune()
        try:
            used = material_in_use(self.state)
        except ValueError as problem:
            journal.warning("old material is kept", because=problem)
            return
        for path in self.state.keep_only(identities=used["identities"], trust=used["trust"]):
            journal.info("no longer used, removed", path=path)

    def leave(self) -> None:
        """Releases the state directory and leaves nginx, if one serves, to the next agent."""
        self.retirees.leave()
        if self.master is not None:
            self.master.close()
        self.state.close()

    # -- what an existing nginx's carrier shares (agent.attached)

    @staticmethod
    def plan_of(prepared: Prepared) -> Plan:
        """The plan, or FindingsError with what forbids one."""
        if prepared.plan is None:
            raise no_plan(prepared)
        return prepared.plan

    # -- inside

    def _other_program(self, prepared: Prepared, master: NginxMaster) -> str | None:
        """Why what runs cannot be told to read what is rendered for the program on disk, if so.

        A plan whose facts are those in effect (names have other addresses) was made for what runs.
        """
        if self.applied is not None and self.applied.prepared.facts is prepared.facts:
            return None
        return master.is_other_than(prepared.binary)

    async def _exchange(
        self, prepared: Prepared, plan: Plan, old: NginxMaster, why: str
    ) -> Applied:
        generation, proofs = await exchange(self, prepared, plan, old, why)
        self.tidy()
        return self.in_effect(Applied(prepared, plan, generation, proofs))

    async def staged(self, prepared: Prepared, plan: Plan) -> int:
        """Everything written and tested, no link moved. Raises FindingsError when nginx says no."""
        await self.stage(prepared, plan)
        return await self.tested(prepared, plan)

    async def stage(self, prepared: Prepared, plan: Plan) -> None:
        """The versions of everything, written beside those in effect."""
        await _in_thread(stage, self.state, prepared, plan)

    async def tested(self, prepared: Prepared, plan: Plan) -> int:
        """The generation, written once nginx has taken what is staged. Raises FindingsError."""

        def work() -> int:
            if findings := refusals(self.state, prepared, plan):
                raise FindingsError(findings, exit_code=ExitCode.FINDINGS)
            return self.state.write_generation(generation_files(prepared, plan))

        return await _in_thread(work)

    def switch(self, prepared: Prepared, plan: Plan, generation: int) -> Switch:
        """Moves every link to what the plan names; to be committed or rolled back."""
        return self.state.switch(
            generation=generation,
            identities=identity_versions(prepared, plan),
            trust=dict(plan.trust),
        )

    async def started(
        self, prepared: Prepared, plan: Plan, inheritance: Inheritance | None = None
    ) -> NginxMaster:
        """An nginx on the configuration the links point to; not proven yet."""
        listeners = prepare_sockets(plan, prepared)
        master = await NginxMaster.start(
            prepared.binary,
            self.state.nginx_prefix,
            self.state.current_configuration,
            env=nginx_environment(plan, self.state.current_configuration.parent),
            log_path=self.state.nginx_prefix / ERROR_LOG,
            early_log_option=prepared.facts.has(Feature.EARLY_LOG),
            unix_listeners=listeners,
            inheritance=inheritance,
        )
        journal.info("nginx started", pid=master.pid, version=prepared.facts.version_text)
        return master

    async def proven(self, prepared: Prepared, plan: Plan) -> tuple[Proof, ...]:
        """All listeners proven, or ChangeRefused naming those that are not."""
        proofs = await asyncio.wait_for(prove(prepared, plan), _PROOF_SECONDS + RELOAD_SECONDS)
        failed = [proof for proof in proofs if not proof.ok]
        if failed:
            what = "; ".join(f"{proof.link} on {proof.address}: {proof.seen}" for proof in failed)
            raise ChangeRefused(f"nginx runs, but not every listener does its job: {what}")
        return proofs

    async def end_quietly(self) -> None:
        """Ends what runs, if anything does."""
        if self.master is not None and self.master.running:
            with contextlib.suppress(HandclaspError):
                await self.master.terminate()
        self.master = None

    def _running(self) -> NginxMaster:
        if self.master is None:
            raise InternalFault("no nginx is running")
        return self.master

    def in_effect(self, applied: Applied) -> Applied:
        """Notes what is in effect."""
        before = self.applied.prepared if self.applied else None
        self.applied, self.unsure = applied, False
        remove_unused(self.state.path, applied.prepared, before)
        give_back()
        return applied


async def _in_thread(work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """In a thread, which cannot be stopped: whoever cancels waits until it has ended, with the state
    directory still locked."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise
