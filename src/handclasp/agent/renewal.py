"""Renewing what is issued, while nginx serves and before it starts (edge: clock and issuers).

A renewal ends with a new version in the state directory, which takes effect as any other changed file. Its
failure is said once in the journal, again when the end comes nearer or the reason changes, and the next try
comes by itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.answering import answering
from handclasp.agent.issuance import Issuance, order_of, token_of
from handclasp.agent.issued import read_kept, stamp_of
from handclasp.agent.prepare import prepare
from handclasp.agent.summons import Listened, Summons
from handclasp.errors import EnvironmentFault, HandclaspError
from handclasp.findings import errors_in
from handclasp.issuers.protocol import IssuerError
from handclasp.issuers.schedule import alarm, renewal_due, wait_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from handclasp.agent.issued import Kept
    from handclasp.agent.prepare import Choices, Prepared
    from handclasp.issuers.request import Order
    from handclasp.ports import Clock, Resolver

FIRST_SECONDS = 60.0
"""For everything that has to be issued before nginx can start."""
AT_ONCE = 8
"""Identities that are asked for at the same time; the others wait for their turn."""
_LOOK_SECONDS = 30.0
_SHORTEST_LOOK_SECONDS = 0.05
_SLICE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """How it stands with one identity. `due` is when the issuer is to be asked; `retry_at` by monotonic
    seconds, while it fails."""

    order: Order
    kept: Kept | None = None
    due: datetime | None = None
    failures: int = 0
    retry_at: float = 0.0
    last_error: str | None = None
    last_hint: str | None = None
    alarms: int = 0

    def as_json(self, now: datetime, monotonic: float) -> dict[str, str | None]:
        """For `status`: the issuer, when it is asked next, and why the last try failed."""
        coming = self.due
        if self.failures:
            coming = now + timedelta(seconds=max(0.0, self.retry_at - monotonic))
        return {
            "issuer": self.order.issuer,
            "next": None if coming is None else coming.replace(microsecond=0).isoformat(),
            "last_error": self.last_error,
        }


class Renewals:
    """The renewals of the spec in effect."""

    def __init__(
        self,
        clock: Clock,
        *,
        renewed: Callable[[str], None] = lambda _: None,
        look_seconds: float = _LOOK_SECONDS,
        issuance: Issuance | None = None,
    ) -> None:
        """`renewed` is told each identity that has something new. `look_seconds` is the longest time between
        two looks at the clock, which may have been set meanwhile."""
        self._clock = clock
        self._renewed = renewed
        self._look_seconds = look_seconds
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
                prepared = in_effect()
                if prepared is not None:
                    await self._look(prepared)
                await self._rest(lambda: in_effect() is prepared)  # noqa: B023  awaited at once
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            await self._summons.close()

    async def _look(self, prepared: Prepared) -> None:
        issued = [name for name, one in prepared.spec.identities.items() if one.issuer]
        for gone in self._states.keys() - set(issued):
            del self._states[gone]
        self._ended.clear()
        kept = await asyncio.to_thread(self._read, prepared, issued)
        now, monotonic = self._clock.now(), self._clock.monotonic()
        for name in issued:
            if name in self._ended:
                continue
            state = self._seen(prepared, name, kept[name])
            self._states[name] = state
            due = state.due is None or now >= state.due or name in self._called
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
            return
        self._called.discard(name)
        state = self._states.get(name)
        if state is not None:
            if state.failures:
                journal.info("renewal works again", identity=name)
            self._states[name] = Renewal(order=state.order, kept=state.kept)
        self._renewed(name)

    def _failed(self, name: str, failure: HandclaspError) -> None:
        state = self._states.get(name)
        if state is None:  # gone from the spec meanwhile
            return
        span = None if state.kept is None else state.kept.span
        now = self._clock.now()
        failures = state.failures + 1
        wait = wait_after(
            failures,
            seed=name,
            left=None if span is None else span.left(now),
            retry_after=failure.retry_after if isinstance(failure, IssuerError) else None,
            permanent=isinstance(failure, IssuerError) and failure.permanent,
        )
        alarms = 0 if span is None else alarm(span, now)
        new = replace(
            state,
            failures=failures,
            retry_at=self._clock.monotonic() + wait.total_seconds(),
            last_error=failure.message,
            last_hint=failure.hint,
            alarms=max(alarms, state.alarms),
        )
        self._states[name] = new
        if failure.message != state.last_error or new.alarms > state.alarms:
            _say(name, new, now, wait)

    async def _rest(self, unchanged: Callable[[], bool]) -> None:
        """Until something is due or has ended, or another spec is in effect; never longer than a look at the
        clock may wait."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        waits = [self._look_seconds]
        for name, state in self._states.items():
            if name in self._running:
                continue
            wall = 0.0 if state.due is None else (state.due - now).total_seconds()
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


async def prepared_and_issued(
    choices: Choices, clock: Clock, resolver: Resolver, *, claimed: bool = False
) -> Prepared:
    """`prepare`, with everything issued first that nginx needs. Raises what both raise.

    `claimed`: the state directory is ours already.
    """

    async def again() -> Prepared:
        return await prepare(choices, now=clock.now(), resolver=resolver)

    return await issued_first(await again(), clock, again, claimed=claimed)


async def issued_first(
    prepared: Prepared,
    clock: Clock,
    again: Callable[[], Awaitable[Prepared]],
    *,
    within: float = FIRST_SECONDS,
    claimed: bool = False,
) -> Prepared:
    """What was prepared, once everything is issued without which nginx cannot start; prepared `again` then.

    Raises EnvironmentFault naming every identity that could not be had, and why. What cannot be used for
    other reasons comes back as it is.
    """
    if not prepared.waiting or errors_in(prepared.findings):
        return prepared
    async with answering(prepared, prepared.waiting, claimed=claimed):
        failures = await _issue_all(prepared, clock, within)
    if failures:
        raise _none_had(failures)
    return await again()


async def _issue_all(
    prepared: Prepared, clock: Clock, within: float
) -> Mapping[str, HandclaspError]:
    """Identity → why it could not be had, of all that wait."""
    issuance, turns = Issuance(clock), asyncio.Semaphore(AT_ONCE)
    failures: dict[str, HandclaspError] = {}

    async def issue(name: str) -> None:
        try:
            async with turns:
                await issuance.issue(prepared, name)
        except HandclaspError as failure:
            failures[name] = failure

    tasks = {name: asyncio.ensure_future(issue(name)) for name in prepared.waiting}
    try:
        _, late = await asyncio.wait(tasks.values(), timeout=within)
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    for name, task in tasks.items():
        if task in late:
            failures[name] = EnvironmentFault(f"nothing came within {within:g} s")
    return failures


def _none_had(failures: Mapping[str, HandclaspError]) -> EnvironmentFault:
    told = "; ".join(f"identity '{name}': {one.message}" for name, one in failures.items())
    hints = list(dict.fromkeys(one.hint for one in failures.values() if one.hint))
    return EnvironmentFault(
        f"nginx is not started, for what it needs was not issued: {told}",
        hint=hints[0] if hints else "Look at the issuer, then start again.",
    )


def _say(name: str, state: Renewal, now: datetime, wait: timedelta) -> None:
    """An error once a third of the lifetime or less is left, a warning before."""
    span = None if state.kept is None else state.kept.span
    fields: dict[str, object] = {
        "identity": name,
        "why": state.last_error,
        "next_try_in_seconds": round(wait.total_seconds()),
    }
    if state.last_hint:
        fields["fix"] = state.last_hint
    if span is not None:
        fields["until"] = span.end.isoformat()
    if span is not None and not state.alarms:
        journal.warning("renewal failed, the certificate in use serves on", **fields)
    elif span is not None and span.left(now) <= timedelta():
        journal.error("renewal failed, and the certificate in use has ended", **fields)
    else:
        journal.error("renewal fails, and the certificate in use ends soon", **fields)
