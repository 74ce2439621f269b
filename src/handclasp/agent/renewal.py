"""Renewing what is issued, while nginx serves (edge: clock and issuers).

A renewal ends with a new version in the state directory, which takes effect as any other changed file. Its
failure is said once in the journal, again when the end comes nearer or the reason changes, and the next try
comes by itself. So it is with what was issued and is not taken (a trial that failed, say): there is something
new, and it does not do, so another one is asked for.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from handclasp.agent import failing, journal
from handclasp.agent.issuance import Issuance, order_of, token_of
from handclasp.agent.issued import read_kept, stamp_of
from handclasp.agent.renewal_state import Renewal, say, served_by, wait_for_another
from handclasp.agent.rereading import IDENTITY
from handclasp.agent.summons import Listened, Summons
from handclasp.errors import HandclaspError
from handclasp.issuers.protocol import IssuerError
from handclasp.issuers.schedule import alarm, renewal_due, wait_after

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from handclasp.agent.issued import Kept
    from handclasp.agent.prepare import Prepared
    from handclasp.ports import Clock
    from handclasp.spec.model import Spec

AT_ONCE = 8
"""Identities that are asked for at the same time; the others wait for their turn."""
STALE_SECONDS = 20.0
"""Something new was issued, and what is said against it may be said of the one before."""
_LOOK_SECONDS = 30.0
_SHORTEST_LOOK_SECONDS = 0.05
_SLICE_SECONDS = 1.0


class Renewals:
    """The renewals of the spec in effect."""

    def __init__(
        self,
        clock: Clock,
        *,
        renewed: Callable[[str], None] = lambda _: None,
        look_seconds: float = _LOOK_SECONDS,
        issuance: Issuance | None = None,
        not_taken: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`renewed` is told each identity that has something new. `look_seconds` is the longest time between
        two looks at the clock, which may have been set meanwhile. `not_taken` tells by unit (`rereading`) why
        what lies on disk is not served."""
        self._clock = clock
        self._renewed = renewed
        self._look_seconds = look_seconds
        self._not_taken = not_taken
        self._spec: Spec | None = None
        self._stale: dict[
            str, tuple[str | None, float]
        ] = {}  # said before the newest, and until when
        self._issuance = issuance or Issuance(clock)
        self._states: dict[str, Renewal] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._wake = asyncio.Event()
        self._ended: set[str] = set()  # during a look, which may have read what was there before
        self._seen_files: dict[str, tuple[object, Kept | None]] = {}
        self._called: set[str] = set()  # by their issuers, before their time
        self._summons = Summons(self._issuance.until_called, self._call)

    def news(self) -> Mapping[str, dict[str, str | None]]:
        """Identity → how it stands with its renewal, as `status` tells it."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        return {name: one.as_json(now, monotonic) for name, one in self._states.items()}

    async def watch(self, in_effect: Callable[[], Prepared | None]) -> None:
        """Renews whatever becomes due. Does not end; cancelled, it ends what is under way."""
        try:
            while True:
                self._wake.clear()
                prepared, refused = in_effect(), self._not_taken()
                if prepared is not None:
                    await self._look(prepared)
                await self._rest(
                    lambda: in_effect() is prepared and self._not_taken() == refused  # noqa: B023
                )
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            await self._summons.close()

    async def _look(self, prepared: Prepared) -> None:
        issued = [name for name, one in prepared.spec.identities.items() if one.issuer]
        for gone in self._states.keys() - set(issued):
            del self._states[gone]
            if gone in self._running:
                self._running[gone].cancel()
        if prepared.spec != self._spec:  # what made it fail may be mended in it
            self._spec = prepared.spec
            for name, one in self._states.items():
                if one.refused is None:
                    self._states[name] = replace(one, retry_at=0.0)
        self._ended.clear()
        kept = await asyncio.to_thread(self._read, prepared, issued)
        now, monotonic = self._clock.now(), self._clock.monotonic()
        for name in issued:
            if name in self._ended:
                continue
            state = self._seen(prepared, name, kept[name])
            self._states[name] = state = self._judged(prepared, name, state)
            early = name in self._called or state.refused is not None
            due = early or state.due is None or now >= state.due
            if due and monotonic >= state.retry_at and name not in self._running:
                self._begin(prepared, name)

        self._summons.listen(
            prepared,
            {
                name: Listened(state.order, state.kept.material.leaf)
                for name, state in self._states.items()
                if state.kept is not None and state.kept.material.leaf is not None
            },
        )

    def _call(self, name: str) -> None:
        """Renewed at the next look, which is now."""
        self._called.add(name)
        self._wake.set()

    def _read(self, prepared: Prepared, names: list[str]) -> dict[str, Kept | None]:
        """Read anew where the files are others; two hundred keys take a while to parse."""
        root, read = prepared.layout.root, {}
        for name in names:
            token = token_of(prepared, name)
            stamp = (stamp_of(root, name), token)
            known = self._seen_files.get(name)
            if known is None or known[0] != stamp:
                known = stamp, read_kept(root, name, token)
            read[name] = known
        self._seen_files = read
        return {name: kept for name, (_, kept) in read.items()}

    def _seen(self, prepared: Prepared, name: str, kept: Kept | None) -> Renewal:
        """What is known of an identity, brought up to date."""
        order = order_of(prepared, name)
        state = self._states.get(name)
        if state is None or state.order != order:
            state = Renewal(order=order)
        due = None
        usable = kept is not None and not kept.broken and order.is_that_of(kept.order)
        if usable and kept is not None and kept.span is not None:
            due = renewal_due(kept.span, seed=name, asked=kept.asked)
        return replace(state, kept=kept, due=due)

    def _judged(self, prepared: Prepared, name: str, state: Renewal) -> Renewal:
        """Whether what is kept is taken, as far as that is known; if not, it is a failure of its own kind."""
        why = {**prepared.kept, **self._not_taken()}.get(f"{IDENTITY} {name}")
        served = served_by(prepared, name)
        kept = state.kept
        if why is None or served is None or kept is None or kept.material.leaf == served[0]:
            if state.refused is None:
                return state
            journal.info("renewal works again", identity=name)
            return Renewal(order=state.order, kept=kept, due=state.due)
        stale, until = self._stale.get(name, (None, 0.0))
        if state.refused == kept.version or (why == stale and self._clock.monotonic() < until):
            return state
        state = replace(state, refused=kept.version, served=served[1])
        wait = wait_for_another(served[1], self._clock.now())
        return self._noted(name, state, f"what was issued is not taken: {why}", None, wait)

    def _begin(self, prepared: Prepared, name: str) -> None:
        task = asyncio.ensure_future(self._renew(prepared, name))
        self._running[name] = task

        def ended(_: asyncio.Task[None]) -> None:
            self._running.pop(name, None)
            self._ended.add(name)
            self._wake.set()

        task.add_done_callback(ended)

    async def _renew(self, prepared: Prepared, name: str) -> None:
        try:
            async with self._turns:
                await self._issuance.issue(prepared, name)
        except HandclaspError as failure:
            self._failed(name, failure)
            where = prepared.layout.root, name
            await asyncio.to_thread(failing.note, *where, failure.message, self._clock.now())
            return
        self._called.discard(name)
        said = self._not_taken().get(f"{IDENTITY} {name}")
        self._stale[name] = said, self._clock.monotonic() + STALE_SECONDS
        await asyncio.to_thread(failing.forget, prepared.layout.root, name)
        state = self._states.get(name)
        if state is not None and state.refused is None:
            if state.failures:
                journal.info("renewal works again", identity=name)
            self._states[name] = Renewal(order=state.order, kept=state.kept)
        elif state is not None:  # whether this one is taken shows in a moment
            wait = wait_for_another(state.span, self._clock.now())
            self._states[name] = replace(
                state, retry_at=self._clock.monotonic() + wait.total_seconds()
            )
        self._renewed(name)

    def _failed(self, name: str, failure: HandclaspError) -> None:
        state = self._states.get(name)
        if state is None:  # gone from the spec meanwhile
            return
        span = state.span
        wait = wait_after(
            state.failures + 1,
            seed=name,
            left=None if span is None else span.left(self._clock.now()),
            retry_after=failure.retry_after if isinstance(failure, IssuerError) else None,
            permanent=isinstance(failure, IssuerError) and failure.permanent,
        )
        self._states[name] = self._noted(name, state, failure.message, failure.hint, wait)

    def _noted(
        self, name: str, state: Renewal, why: str, hint: str | None, wait: timedelta
    ) -> Renewal:
        """It failed once more, and is tried again after `wait`; said where that is news."""
        now = self._clock.now()
        new = replace(
            state,
            failures=state.failures + 1,
            retry_at=self._clock.monotonic() + wait.total_seconds(),
            last_error=why,
            last_hint=hint,
            alarms=max(0 if state.span is None else alarm(state.span, now), state.alarms),
        )
        if why != state.last_error or new.alarms > state.alarms:
            say(name, new, now, wait)
        return new

    async def _rest(self, unchanged: Callable[[], bool]) -> None:
        """Until something is due or has ended, or another spec is in effect; never longer than a look at the
        clock may wait."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        waits = [self._look_seconds]
        for name, state in self._states.items():
            if name in self._running:
                continue
            wall = 0.0
            if state.due is not None and state.refused is None:
                wall = (state.due - now).total_seconds()
            waits.append(max(wall, state.retry_at - monotonic))
        loop = asyncio.get_running_loop()
        until = loop.time() + max(min(waits), _SHORTEST_LOOK_SECONDS)
        while (left := until - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, _SLICE_SECONDS)):
                    await self._wake.wait()
            except TimeoutError:
                if unchanged():
                    continue
                return
            await asyncio.sleep(_SHORTEST_LOOK_SECONDS)  # others may end with it
            return
