"""SPIFFE bundles: received before nginx starts, and followed while it serves (edge: listens, clock).

What is taken is written where the files of its trust are watched, so that a bundle that changes goes into
effect as every changed file.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.clock import SystemClock
from handclasp.agent.spiffe_bundles import accept, is_kept, open_store, sources
from handclasp.errors import EnvironmentFault, ExitCode
from handclasp.findings import FindingsError, found
from handclasp.issuers.spiffe import SpiffeIssuer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cryptography import x509

    from handclasp.agent.prepare import Prepared
    from handclasp.agent.spiffe_bundles import Source
    from handclasp.ports import Clock
    from handclasp.spec.load import LoadedSpec

FIRST_SECONDS = 30.0
REFRESH_SECONDS = 3.0
"""For what was received before: it is followed as soon as nginx serves."""
AGAIN_SECONDS = 5.0
_LOOK_SECONDS = 1.0


async def receive_first(
    loaded: LoadedSpec, state: Path, *, passable: bool, clock: Clock | None = None
) -> None:
    """Receives every bundle of a spec, once each. `passable`: as of open_store.

    Raises FindingsError (exit code 3) when one was never received and is not to be had.
    """
    clock = clock or SystemClock()
    wanted = sources(loaded.spec, state)
    if not wanted:
        return
    await asyncio.to_thread(open_store, state, passable=passable)
    reasons = await asyncio.gather(*(_first(one, clock) for one in wanted))
    lacking = [
        found(
            "spiffe-bundle-not-received",
            f"the SPIFFE bundle of trust '{one.trust}' cannot be had: {why}",
            where=loaded.where("trust", one.trust, "spiffe"),
        )
        for one, why in zip(wanted, reasons, strict=True)
        if why is not None and not is_kept(one)
    ]
    if lacking:
        raise FindingsError(lacking, exit_code=ExitCode.ENVIRONMENT)


async def _first(source: Source, clock: Clock) -> str | None:
    """Why it was not had."""
    seconds = REFRESH_SECONDS if is_kept(source) else FIRST_SECONDS
    try:
        async with asyncio.timeout(seconds):
            async with aclosing(SpiffeIssuer(source.section).bundles()) as heard:
                async for given in heard:
                    await asyncio.to_thread(accept, source, given, clock.now())
                    return None
    except TimeoutError:
        return f"the Workload API did not answer within {seconds:g} s"
    except EnvironmentFault as error:
        return error.message
    return "the Workload API said nothing"


class BundleWatch:
    """Follows the bundles of the spec in effect."""

    def __init__(self, clock: Clock, *, again_seconds: float = AGAIN_SECONDS) -> None:
        self._clock = clock
        self._again_seconds = again_seconds
        self._tasks: dict[str, tuple[Source, asyncio.Task[None]]] = {}
        self._problems: dict[str, str] = {}

    @property
    def problems(self) -> Mapping[str, str]:
        """Trust → why its bundle may not be the newest."""
        return dict(self._problems)

    async def watch(self, in_effect: Callable[[], Prepared | None]) -> None:
        """Does not end; cancelled, it hangs up."""
        try:
            while True:
                if (prepared := in_effect()) is not None:
                    self._follow(sources(prepared.spec, prepared.layout.root))
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._follow(())

    def _follow(self, wanted: tuple[Source, ...]) -> None:
        by_name = {one.trust: one for one in wanted}
        for name, (source, task) in list(self._tasks.items()):
            if by_name.get(name) != source or task.done():
                task.cancel()
                del self._tasks[name]
                self._problems.pop(name, None)
        for name, source in by_name.items():
            if name not in self._tasks:
                self._tasks[name] = source, asyncio.ensure_future(self._hear(source))

    async def _hear(self, source: Source) -> None:
        while True:
            try:
                async with aclosing(SpiffeIssuer(source.section).bundles()) as heard:
                    async for given in heard:
                        await self._take(source, given)
            except EnvironmentFault as error:
                self._failed(source, error)
            await asyncio.sleep(self._again_seconds)

    async def _take(
        self, source: Source, given: Mapping[str, tuple[x509.Certificate, ...]]
    ) -> None:
        """What cannot be used is no reason to hang up."""
        try:
            await asyncio.to_thread(accept, source, given, self._clock.now())
        except EnvironmentFault as error:
            self._failed(source, error)
            return
        if self._problems.pop(source.trust, None) is not None:
            journal.info("SPIFFE bundle heard of again", trust=source.trust)

    def _failed(self, source: Source, error: EnvironmentFault) -> None:
        if self._problems.get(source.trust) != error.message:
            journal.error(
                "SPIFFE bundle not heard of, the one received last stays",
                trust=source.trust,
                why=error.message,
            )
        self._problems[source.trust] = error.message
