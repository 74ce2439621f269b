"""The agent: starts nginx, keeps it running, follows signals and names, until it is told to stop (edge).

Signals: HUP reads the spec again, USR1 makes nginx reopen its logs, TERM and INT drain and end.
If the agent is killed nginx goes on serving, and the next `run` adopts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent import again, journal, rotations, supervision, takes, watches
from handclasp.agent.again import TryAgain, sentence
from handclasp.agent.attached import Attached
from handclasp.agent.carrier import Applied, Carrier
from handclasp.agent.cutting import cut_open_connections
from handclasp.agent.draining import drain
from handclasp.agent.issued_first import prepared_and_issued
from handclasp.agent.listeners import Listeners
from handclasp.agent.moment import moment
from handclasp.agent.names import readdressed
from handclasp.agent.notify import notify
from handclasp.agent.rereading import unit_names
from handclasp.agent.rotations import Outcome, Rotations
from handclasp.agent.settings import GivenUp, Settings
from handclasp.agent.supervision import Supervision
from handclasp.agent.takes import Takes
from handclasp.agent.watches import Watches
from handclasp.errors import EnvironmentFault, HandclaspError
from handclasp.nginx.lifecycle import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping

    from handclasp.agent.prepare import Prepared
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
        self._started = clock.now()
        self._refused_change: str | None = None
        self._again = TryAgain(settings.choices.spec, self._events.put_nowait)
        self._rotations = Rotations(clock, self._prepared, self._events.put_nowait, self._rotated)
        self._watches = Watches(clock, resolver, settings.dns_poll_seconds, self._rotations)
        self._takes = Takes(self._events.put_nowait, lambda: unit_names(self._prepared()))
        self._listeners: Listeners | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, prepared: Prepared) -> None:
        """Serves until TERM or INT. Raises what forbids the start, or GivenUp."""
        kind = Attached if prepared.spec.nginx.mode == "existing" else Carrier
        carrier = kind.open(prepared)
        self._carrier = carrier
        self._supervision = Supervision(
            carrier, self._clock, self._events.put_nowait, self._spawn, self._ended
        )
        self._listeners = Listeners(
            carrier,
            self._clock,
            snapshot=self._snapshot,
            in_effect=lambda: carrier.applied,
            cut=partial(self._events.put_nowait, "cut"),
            may_cut=lambda: carrier.master is not None,
            takes=self._takes,
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
            await self._begin(await carrier.usable(prepared))
            await self._serve()
            ended_well = True
        finally:
            await self._finish(graceful=ended_well)

    async def _begin(self, prepared: Prepared) -> None:
        self._supervision.note(Event.START_ASKED)
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
        self._supervision.note(Event.MASTER_STARTED)
        self._supervision.watch_master()
        for work in self._watches.begun(self._carrier, self._events.put_nowait):
            self._spawn(work)
        if self._listeners is not None:
            self._spawn(self._listeners.watch())
        self._spawn(self._rotations.watch())
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
        handlers: dict[str, Callable[[], Awaitable[None]]] = {
            "reload": partial(self._reread, "reload asked"),
            again.AGAIN_DUE: self._reread_again,
            rotations.MATERIAL_CHANGED: self._rotate,
            takes.TAKE_ASKED: self._take,
            watches.NAMES_CHANGED: self._follow_names,
            watches.TOKEN_IS_BACK: partial(self._replace_master, "the token works again"),
            "cut": partial(cut_open_connections, self._carrier),
            "reopen logs": self._reopen_logs,
            supervision.MASTER_EXITED: self._supervision.exited,
            supervision.RETRY_DUE: self._supervision.retry,
        }
        while (event := await self._events.get()) != "stop":
            await handlers[event]()

    async def _reopen_logs(self) -> None:
        if self._carrier.master is not None:
            self._carrier.master.reopen_logs()

    # -- changing

    async def _reread(self, because: str, *, force: bool = False) -> None:
        """Reads the spec again and puts it into effect; a bad one is refused and the old one stays. So is,
        but for `force`, one that drops a CA which callers still come under."""
        journal.info("spec read again", because=because)
        self._again.asked()
        failure = await self._attempt(self._read_spec(force=force))
        if failure is None:
            self._rotations.forget()
        self._refused_change = self._again.refused(failure)

    async def _reread_again(self) -> None:
        if self._again.is_due():
            await self._reread("it may be taken by now")

    async def _read_spec(self, *, force: bool) -> Prepared:
        prepared = await prepared_and_issued(
            replace(self._settings.choices, older_lists=force),
            self._clock,
            self._resolver,
            in_effect=self._prepared(),
        )
        if Path(prepared.layout.root) != self._carrier.state.path:
            raise EnvironmentFault(
                "the state directory cannot change while running", hint="stop and start again"
            )
        if not force and (before := self._prepared()) is not None and self._listeners is not None:
            await self._listeners.refuse_dropping(before, prepared)
        return prepared

    async def _rotate(self) -> None:
        await self._take_files(self._rotations.due, force=False)

    async def _take(self) -> None:
        await self._takes.work(self._take_spec, self._take_files)

    async def _take_spec(self, *, force: bool) -> str | None:
        await self._reread(takes.TAKE_ASKED, force=force)
        return self._refused_change

    async def _take_files(self, names: Collection[str], *, force: bool) -> Mapping[str, str]:
        """The spec in effect with the files that changed, as far as they can be used."""
        if (prepared := self._prepared()) is None or self._listeners is None:
            return {}
        basis = await self._listeners.basis(prepared, force=force)
        return await self._rotations.take(set(names), basis, partial(self._attempt, said=False))

    def _ended(self, how: str) -> None:
        if self._listeners is not None:
            self._listeners.nginx_ended(how)

    def _rotated(self, outcome: Outcome) -> None:
        if self._listeners is not None:
            self._listeners.rotated(outcome)

    def _prepared(self) -> Prepared | None:
        return self._carrier.applied.prepared if self._carrier.applied else None

    async def _replace_master(self, because: str) -> None:
        """Another nginx in place of the one that runs, with the plan in effect."""
        if not self._supervision.serving:
            return
        self._supervision.note(Event.RELOAD_ASKED)
        try:
            await self._carrier.replace_master(because)
            self._supervision.note(Event.RELOAD_CONFIRMED)
            journal.info("nginx restarted", because=because)
        except HandclaspError as failure:
            self._supervision.note(Event.RELOAD_REFUSED)
            journal.error("nginx could not be restarted", why=sentence(failure))
        finally:
            self._supervision.watch_master()

    async def _follow_names(self) -> None:
        """The spec in effect with today's addresses; the file may be in the middle of an edit."""
        applied = self._carrier.applied
        if applied is not None:
            journal.info("addresses of upstreams changed")
            await self._attempt(readdressed(applied.prepared, self._resolver))

    async def _attempt(
        self, wanted: Coroutine[None, None, Prepared], *, said: bool = True
    ) -> HandclaspError | None:
        """Puts it into effect, or says why not; then the old one stays. `said`: here, not by who asks."""
        notify("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1e6)}")
        try:
            applied = await self._change(await wanted)
        except GivenUp:
            raise
        except HandclaspError as failure:
            why = sentence(failure)
            serving = self._supervision.serving
            state = "serves on" if serving else "is what nginx will be started with again"
            if said:
                journal.error(f"change refused, the old configuration {state}", why=why)
            notify("READY=1", f"STATUS=change refused: {why[:200]}")
            return failure
        finally:
            self._supervision.watch_master()
        journal.info(
            "change in effect" if applied.changed else "nothing changed",
            generation=applied.generation,
        )
        self._announce(applied)
        return None

    async def _change(self, prepared: Prepared) -> Applied:
        if self._supervision.down:
            # nginx is down: the new configuration may be the cure, so it is started with it.
            self._carrier.plan_of(prepared)
            await self._follow(prepared)
            self._supervision.note(Event.RELOAD_ASKED)
            try:
                applied = await self._carrier.begin(prepared)
            except HandclaspError:
                await self._supervision.act(self._supervision.note(Event.START_FAILED))
                raise
            self._supervision.note(Event.MASTER_STARTED)
        else:
            before = self._carrier.applied
            self._supervision.note(Event.RELOAD_ASKED)
            try:
                await self._follow(prepared)
                applied = await self._carrier.change(prepared)
            except HandclaspError:
                self._supervision.note(Event.RELOAD_REFUSED)
                if before is not None:
                    await self._follow(before.prepared)
                raise
            self._supervision.note(Event.RELOAD_CONFIRMED)
        return applied

    async def _follow(self, prepared: Prepared) -> None:
        if self._listeners is not None:
            await self._listeners.follow(prepared)

    def _snapshot(self) -> Snapshot | None:
        return moment(
            self._carrier,
            self._supervision.lifecycle,
            self._watches,
            started=self._started,
            now=self._clock.now(),
            refused_change=self._refused_change,
            rotations=self._rotations,
        )

    def _announce(self, applied: Applied) -> None:
        self._rotations.follow(applied.prepared)
        links = len(applied.plan.egress) + len(applied.plan.ingress)
        pid = self._carrier.master.pid if self._carrier.master else 0
        notify("READY=1", f"STATUS=serving {links} links", f"MAINPID={os.getpid()}")
        journal.info("ready", links=links, generation=applied.generation, nginx_pid=pid)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended_work)

    def _ended_work(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            journal.error("a bug in handclasp: something is watched no more", fault=repr(fault))

    async def _finish(self, *, graceful: bool) -> None:
        if graceful:
            notify("STOPPING=1")
            journal.info("draining", at_most_seconds=self._settings.drain_seconds)
            self._supervision.note(Event.STOP_ASKED)
        for task in self._tasks:
            task.cancel()
        if graceful:
            await drain(self._carrier, self._settings.drain_seconds, self._stop_asked())
        else:
            self._carrier.leave()
        if self._listeners is not None:
            await self._listeners.stop(ended=graceful)
