"""A change of what nginx serves, carried out by the table of rotate.transaction (edge)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.announcing import announced
from handclasp.agent.generation import links_are_enough
from handclasp.agent.refused import ChangeRefused
from handclasp.agent.sockets import prepare_sockets
from handclasp.agent.trial import tried
from handclasp.errors import ExitCode, InternalFault
from handclasp.findings import FindingsError
from handclasp.nginx.orphans import remove_stale_sockets
from handclasp.nginx.start_failure import bind_findings
from handclasp.rotate.transaction import Command, Event, State, step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from handclasp.agent.carrier import Carrier
    from handclasp.agent.prepare import Prepared
    from handclasp.agent.prove import Proof
    from handclasp.nginx.parts import Plan
    from handclasp.nginx.process import NginxMaster
    from handclasp.nginx.switch import Switch

RELOAD_SECONDS = 30.0


class Transaction:
    """One change. `reload` False: links are all that has to move, nginx follows them by itself."""

    def __init__(
        self, carrier: Carrier, prepared: Prepared, plan: Plan, master: NginxMaster
    ) -> None:
        self.generation = 0
        self.proofs: tuple[Proof, ...] = ()
        self._carrier = carrier
        self._prepared, self._plan, self._master = prepared, plan, master
        self._reload = carrier.unsure or not links_are_enough(carrier.state, prepared, plan)
        self._switch: Switch | None = None
        self._failure: BaseException | None = None
        self._do: dict[Command, Callable[[], Awaitable[Event | None]]] = {
            Command.STAGE: self._stage,
            Command.TEST: self._test,
            Command.TRY: self._try,
            Command.SWITCH: self._move,
            Command.APPLY: self._apply,
            Command.PROVE: self._prove,
            Command.COMMIT: self._commit,
            Command.UNDO: self._undo,
            Command.RETURN: self._return,
        }

    async def run(self) -> None:
        """Returns when it is committed; else raises why not, with what was before in effect."""
        state, command = step(State.SERVING, Event.ASKED)
        while command is not None:
            try:
                event = await self._do[command]() or Event.DONE
            except BaseException as error:  # noqa: BLE001  also a cancellation is undone
                event = self._failed(command, error)
            state, command = step(state, event)
        if state in (State.UNSURE, State.STUCK):
            self._carrier.unsure = True
        if state is not State.COMMITTED:
            raise self._failure or InternalFault("a change failed without saying why")

    def _failed(self, command: Command, error: BaseException) -> Event:
        if self._failure is None:
            self._failure = error
        else:
            journal.error(
                "going back failed too", at=command.value, first=self._failure, then=error
            )
        return Event.FAILED

    # -- the steps

    async def _stage(self) -> None:
        await self._carrier.stage(self._prepared, self._plan)

    async def _test(self) -> None:
        self.generation = await self._carrier.tested(self._prepared, self._plan)

    async def _try(self) -> None:
        carrier = self._carrier
        await tried(carrier.state, self._prepared, self._plan, carrier.own_calls)

    async def _move(self) -> None:
        # Sockets of what is new in this plan; what nginx listens on answers and stays.
        remove_stale_sockets(prepare_sockets(self._plan, self._prepared))
        self._switch = self._carrier.switch(self._prepared, self._plan, self.generation)

    async def _apply(self) -> Event | None:
        if not self._reload:
            return None
        async with announced(self._carrier.applied):
            outcome = await self._master.reloaded(
                self._master.reload(), RELOAD_SECONDS, expected_workers=self._plan.process.workers
            )
        if outcome.ok:
            return None
        if taken := bind_findings(outcome.lines):
            self._failure = FindingsError(taken, exit_code=ExitCode.ENVIRONMENT)
        else:
            lines = "; ".join(outcome.lines) or outcome.reason
            self._failure = ChangeRefused(f"nginx did not take the new configuration: {lines}")
        return Event.NOT_TAKEN if outcome.lines else Event.FAILED

    async def _prove(self) -> None:
        self.proofs = await self._carrier.proven(self._prepared, self._plan)

    async def _commit(self) -> None:
        switch = self._moved()
        try:
            switch.commit()
        except Exception as error:
            if switch.pending:
                raise
            # It is in effect: only what comes after the decisive rename could not be done.
            journal.warning("the change is committed, but not tidily", because=error)

    async def _undo(self) -> None:
        self._moved().rollback()

    async def _return(self) -> None:
        """nginx is told to read the old generation again, whatever it had taken."""
        if not self._reload or not self._master.running:
            return
        if self._carrier.state.current_generation() is None:
            return
        outcome = await self._master.reloaded(self._master.reload(), RELOAD_SECONDS)
        if not outcome.ok:
            raise ChangeRefused(f"nginx was told to go back, and did not: {outcome.reason}")

    def _moved(self) -> Switch:
        if self._switch is None:
            raise InternalFault("no link was moved")
        return self._switch
