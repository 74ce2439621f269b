"""Keeping nginx alive: what happened to it, as nginx.lifecycle judges it, and what is done then (edge)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.notify import notify
from handclasp.agent.settings import GivenUp
from handclasp.errors import HandclaspError
from handclasp.nginx.lifecycle import Command, Event, Lifecycle, State, step
from handclasp.nginx.orphans import end_orphans

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from handclasp.agent.carrier import Carrier
    from handclasp.ports import Clock

MASTER_EXITED, RETRY_DUE = "master exited", "retry due"


class Supervision:
    """Of the nginx of one carrier. `tell` is told MASTER_EXITED and RETRY_DUE; `spawn` keeps work running."""

    def __init__(
        self,
        carrier: Carrier,
        clock: Clock,
        tell: Callable[[str], None],
        spawn: Callable[[Coroutine[None, None, None]], None],
        ended: Callable[[str], None],
    ) -> None:
        """`ended` is told how nginx ended, whenever nobody wanted that."""
        self.lifecycle = Lifecycle()
        self._carrier, self._clock, self._tell, self._spawn = carrier, clock, tell, spawn
        self._ended = ended
        self._watched: object = None  # the master whose end will be told

    @property
    def serving(self) -> bool:
        """Whether nginx serves, with no change under way."""
        return self.lifecycle.state is State.SERVING

    @property
    def down(self) -> bool:
        """Whether there is no nginx at present, and it is or was to be started again."""
        return self.lifecycle.state in (State.BACKOFF, State.FAILED)

    def note(self, event: Event) -> tuple[Command, ...]:
        """What happened; gives what is to be done."""
        self.lifecycle, commands = step(self.lifecycle, event, self._clock.monotonic())
        return commands

    async def act(self, commands: tuple[Command, ...]) -> None:
        """Does it. Raises GivenUp."""
        for command in commands:
            match command:
                case Command.END_ORPHANS:
                    await end_orphans(self._carrier.state.nginx_prefix)
                case Command.SCHEDULE_RETRY:
                    delay = self.lifecycle.delay_seconds(self._clock.monotonic())
                    journal.warning("nginx is started again", in_seconds=round(delay, 1))
                    asyncio.get_running_loop().call_later(delay, self._tell, RETRY_DUE)
                case Command.REPORT_GIVING_UP:
                    journal.error("nginx ended too often; giving up")
                    notify("STATUS=nginx ended too often; giving up")
                    raise GivenUp(
                        "nginx ended too often in a row; it is not started again",
                        hint=f"read {self._carrier.state.nginx_prefix}/logs/error.log",
                    )

    async def exited(self) -> None:
        """The master has ended unasked."""
        await self.act(self.note(Event.MASTER_EXITED))

    async def retry(self) -> None:
        """Starts nginx again, if that is due."""
        commands = self.note(Event.RETRY_DUE)
        if Command.START not in commands:
            await self.act(commands)
            return
        try:
            await self._carrier.restart()
        except HandclaspError as failure:
            journal.error("nginx did not start", why=str(failure))
            await self.act(self.note(Event.START_FAILED))
            return
        self.note(Event.MASTER_STARTED)
        self.watch_master()
        notify("STATUS=serving")

    def watch_master(self) -> None:
        """Tells when the master that the carrier has now ends."""
        master = self._carrier.master
        if master is None or (master is self._watched and master.running):
            return
        self._watched = master

        async def watch() -> None:
            ended = await master.wait()
            if self._carrier.master is master and self.lifecycle.state is not State.STOPPING:
                journal.error("nginx ended", how=ended)
                self._ended(str(ended))
                self._tell(MASTER_EXITED)

        self._spawn(watch())
