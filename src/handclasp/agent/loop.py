"""The agent: starts nginx, keeps it running, follows signals and names, until it is told to stop (edge).

Signals: HUP reads the spec again, USR1 makes nginx reopen its logs, TERM and INT drain and end.
If the agent is killed nginx goes on serving, and the next `run` adopts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent import again, journal, watches
from handclasp.agent.again import TryAgain, sentence
from handclasp.agent.attached import Attached
from handclasp.agent.carrier import Applied, Carrier
from handclasp.agent.cutting import cut_open_connections
from handclasp.agent.draining import drain
from handclasp.agent.listeners import Listeners
from handclasp.agent.moment import moment
from handclasp.agent.names import readdressed
from handclasp.agent.notify import notify
from handclasp.agent.prepare import Prepared, prepare
from handclasp.agent.settings import GivenUp, Settings
from handclasp.agent.watches import Watches
from handclasp.errors import EnvironmentFault, HandclaspError
from handclasp.nginx.lifecycle import Command, Event, Lifecycle, State, step
from handclasp.nginx.orphans import end_orphans

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from handclasp.agent.status import Snapshot
    from handclasp.ports import Clock, Resolver


class Agent:
    """One agent, from start to end. `on_ready` is told what is in effect once it is proven."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        resolver: Resolver,
        on_ready: Callable[[Applied], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._resolver = resolver
        self._on_ready = on_ready
        self._events: asyncio.Queue[str] = asyncio.Queue()
        self._lifecycle = Lifecycle()
        self._started = clock.now()
        self._refused_change: str | None = None
        self._watches = Watches(clock, resolver, settings.dns_poll_seconds)
        self._again = TryAgain(settings.choices.spec, self._events.put_nowait)
        self._listeners: Listeners | None = None
        self._watched: object = None  # the master whose end will be told
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, prepared: Prepared) -> None:
        """Serves until TERM or INT. Raises what forbids the start, or GivenUp."""
        kind = Attached if prepared.spec.nginx.mode == "existing" else Carrier
        carrier = kind.open(prepared)
        self._carrier = carrier
        self._listeners = Listeners(
            carrier.state,
            self._clock,
            snapshot=self._snapshot,
            in_effect=lambda: carrier.applied,
            cut=self._cut,
        )
        for number, event in (
            (signal.SIGHUP, "reload"),
            (signal.SIGUSR1, "reopen logs"),
            (signal.SIGTERM, "stop"),
            (signal.SIGINT, "stop"),
        ):
            asyncio.get_running_loop().add_signal_handler(number, self._events.put_nowait, event)
        ended_well = False
        try:
            await self._begin(prepared)
            await self._serve()
            ended_well = True
        finally:
            await self._finish(graceful=ended_well)

    async def _begin(self, prepared: Prepared) -> None:
        self._note(Event.START_ASKED)
        # Our own listeners first: what they lack must not leave an nginx behind.
        if self._listeners is not None:
            await self._listeners.start(prepared)
        beginning = asyncio.ensure_future(self._carrier.begin(prepared))
        # A TERM during the start ends it; nothing half-started is left behind.
        stopping = asyncio.ensure_future(self._stop_asked())
        done, _ = await asyncio.wait({beginning, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if beginning not in done:
            beginning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beginning
            raise EnvironmentFault("stopped before everything was ready")
        applied = await beginning
        self._note(Event.MASTER_STARTED)
        self._watch_master()
        for work in self._watches.begun(self._carrier, self._events.put_nowait):
            self._spawn(work)
        if self._listeners is not None:
            self._spawn(self._listeners.watch())
        self._on_ready(applied)
        self._announce(applied)

    async def _stop_asked(self) -> None:
        held: list[str] = []
        try:
            while (event := await self._events.get()) != "stop":
                held.append(event)
        finally:
            # Cancelled once everything is ready: a HUP that came meanwhile is answered then.
            for event in held:
                self._events.put_nowait(event)

    async def _serve(self) -> None:
        while True:
            match await self._events.get():
                case "reload":
                    await self._reread("reload asked")
                case again.AGAIN_DUE if self._again.is_due():
                    await self._reread("a token was away")
                case watches.NAMES_CHANGED:
                    await self._follow_names()
                case watches.TOKEN_IS_BACK:
                    await self._replace_master("the token works again")
                case "cut":
                    await cut_open_connections(self._carrier)
                case "reopen logs":
                    if self._carrier.master is not None:
                        self._carrier.master.reopen_logs()
                case "master exited":
                    await self._act(self._note(Event.MASTER_EXITED))
                case "retry due":
                    await self._retry()
                case "stop":
                    return

    # -- changing

    async def _reread(self, because: str) -> None:
        """Reads the spec again and puts it into effect; a bad one is refused and the old one stays."""
        journal.info("spec read again", because=because)
        self._again.asked()
        self._refused_change = self._again.refused(await self._attempt(self._read_spec()))

    async def _read_spec(self) -> Prepared:
        prepared = await prepare(
            self._settings.choices, now=self._clock.now(), resolver=self._resolver
        )
        if Path(prepared.layout.root) != self._carrier.state.path:
            raise EnvironmentFault(
                "the state directory cannot change while running", hint="stop and start again"
            )
        return prepared

    async def _replace_master(self, because: str) -> None:
        """Another nginx in place of the one that runs, with the plan in effect."""
        if self._lifecycle.state is not State.SERVING:
            return
        self._note(Event.RELOAD_ASKED)
        try:
            await self._carrier.replace_master(because)
            self._note(Event.RELOAD_CONFIRMED)
            journal.info("nginx restarted", because=because)
        except HandclaspError as failure:
            self._note(Event.RELOAD_REFUSED)
            journal.error("nginx could not be restarted", why=sentence(failure))
        finally:
            self._watch_master()

    async def _follow_names(self) -> None:
        """The spec in effect with today's addresses; the file may be in the middle of an edit."""
        applied = self._carrier.applied
        if applied is not None:
            journal.info("addresses of upstreams changed")
            await self._attempt(readdressed(applied.prepared, self._resolver))

    async def _attempt(self, wanted: Coroutine[None, None, Prepared]) -> HandclaspError | None:
        """Puts it into effect, or says why not; then the old one stays."""
        notify("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1e6)}")
        try:
            applied = await self._change(await wanted)
        except GivenUp:
            raise
        except HandclaspError as failure:
            why = sentence(failure)
            serving = self._lifecycle.state is State.SERVING
            state = "serves on" if serving else "is what nginx will be started with again"
            journal.error(f"change refused, the old configuration {state}", why=why)
            notify("READY=1", f"STATUS=change refused: {why[:200]}")
            return failure
        finally:
            self._watch_master()
        journal.info(
            "change in effect" if applied.changed else "nothing changed",
            generation=applied.generation,
        )
        self._announce(applied)
        return None

    async def _change(self, prepared: Prepared) -> Applied:
        if self._lifecycle.state in (State.BACKOFF, State.FAILED):
            # nginx is down: the new configuration may be the cure, so it is started with it.
            self._carrier.plan_of(prepared)
            await self._follow(prepared)
            self._note(Event.RELOAD_ASKED)
            try:
                applied = await self._carrier.begin(prepared)
            except HandclaspError:
                await self._act(self._note(Event.START_FAILED))
                raise
            self._note(Event.MASTER_STARTED)
        else:
            before = self._carrier.applied
            self._note(Event.RELOAD_ASKED)
            try:
                await self._follow(prepared)
                applied = await self._carrier.change(prepared)
            except HandclaspError:
                self._note(Event.RELOAD_REFUSED)
                if before is not None:
                    await self._follow(before.prepared)
                raise
            self._note(Event.RELOAD_CONFIRMED)
        return applied

    def _cut(self) -> bool:
        self._events.put_nowait("cut")
        return self._carrier.master is not None

    async def _follow(self, prepared: Prepared) -> None:
        if self._listeners is not None:
            await self._listeners.follow(prepared)

    # -- keeping nginx alive

    def _note(self, event: Event) -> tuple[Command, ...]:
        self._lifecycle, commands = step(self._lifecycle, event, self._clock.monotonic())
        return commands

    async def _act(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            match command:
                case Command.END_ORPHANS:
                    await end_orphans(self._carrier.state.nginx_prefix)
                case Command.SCHEDULE_RETRY:
                    delay = self._lifecycle.delay_seconds(self._clock.monotonic())
                    journal.warning("nginx is started again", in_seconds=round(delay, 1))
                    later = asyncio.get_running_loop().call_later
                    later(delay, self._events.put_nowait, "retry due")
                case Command.REPORT_GIVING_UP:
                    journal.error("nginx ended too often; giving up")
                    notify("STATUS=nginx ended too often; giving up")
                    raise GivenUp(
                        "nginx ended too often in a row; it is not started again",
                        hint=f"read {self._carrier.state.nginx_prefix}/logs/error.log",
                    )

    async def _retry(self) -> None:
        commands = self._note(Event.RETRY_DUE)
        if Command.START not in commands:
            await self._act(commands)
            return
        try:
            await self._carrier.restart()
        except HandclaspError as failure:
            journal.error("nginx did not start", why=str(failure))
            await self._act(self._note(Event.START_FAILED))
            return
        self._note(Event.MASTER_STARTED)
        self._watch_master()
        notify("STATUS=serving")

    def _watch_master(self) -> None:
        master = self._carrier.master
        if master is None or (master is self._watched and master.running):
            return
        self._watched = master

        async def watch() -> None:
            ended = await master.wait()
            if self._carrier.master is master and self._lifecycle.state is not State.STOPPING:
                journal.error("nginx ended", how=ended)
                self._events.put_nowait("master exited")

        self._spawn(watch())

    def _snapshot(self) -> Snapshot | None:
        return moment(
            self._carrier,
            self._lifecycle,
            self._watches,
            started=self._started,
            now=self._clock.now(),
            refused_change=self._refused_change,
        )

    def _announce(self, applied: Applied) -> None:
        links = len(applied.plan.egress) + len(applied.plan.ingress)
        pid = self._carrier.master.pid if self._carrier.master else 0
        notify("READY=1", f"STATUS=serving {links} links", f"MAINPID={os.getpid()}")
        journal.info("ready", links=links, generation=applied.generation, nginx_pid=pid)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, *, graceful: bool) -> None:
        if graceful:
            notify("STOPPING=1")
            journal.info("draining", at_most_seconds=self._settings.drain_seconds)
            self._note(Event.STOP_ASKED)
        for task in self._tasks:
            task.cancel()
        if graceful:
            await drain(self._carrier, self._settings.drain_seconds, self._stop_asked())
        else:
            self._carrier.leave()
        if self._listeners is not None:
            await self._listeners.stop()
