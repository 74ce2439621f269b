"""What a spec waits for is issued before it is put into effect (edge: clock and issuers)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from handclasp.agent import failing
from handclasp.agent.answering import answering
from handclasp.agent.issuance import Issuance
from handclasp.agent.prepare import prepare
from handclasp.agent.renewal import AT_ONCE
from handclasp.agent.rereading import planned_with
from handclasp.errors import EnvironmentFault, HandclaspError
from handclasp.findings import errors_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from handclasp.agent.prepare import Choices, Prepared
    from handclasp.nginx.plan import Unit
    from handclasp.ports import Clock, Resolver

FIRST_SECONDS = 60.0
"""For everything that has to be issued before nginx can start."""


async def prepared_and_issued(
    choices: Choices, clock: Clock, resolver: Resolver, *, in_effect: Prepared | None = None
) -> Prepared:
    """`prepare`, with everything issued first that nginx needs. Raises what both raise.

    `in_effect` is what the agent serves, if that is so: what it has is not waited for.
    """

    async def again() -> Prepared:
        made = await prepare(choices, now=clock.now(), resolver=resolver)
        return made if in_effect is None else with_those_in_effect(made, in_effect)

    return await issued_first(await again(), clock, again, claimed=in_effect is not None)


def with_those_in_effect(prepared: Prepared, before: Prepared) -> Prepared:
    """The same with identities as they are in effect, where nothing follows what has ended or is damaged, and
    the spec says of them what it said. They are renewed as soon as that can be, and no other change has to
    wait for it."""
    if not prepared.waiting or errors_in(prepared.findings) or before.plan is None:
        return prepared
    used = dict(before.plan.identities)
    kept = [one for one in prepared.waiting if one in used and _as_before(one, prepared, before)]
    identities = {name: before.material.identities[name] for name in kept}
    moments: dict[Unit, datetime] = {
        ("identity", name): before.moments.get(("identity", name), before.read_at) for name in kept
    }
    material = replace(prepared.material, identities={**prepared.material.identities, **identities})
    left = tuple(name for name in prepared.waiting if name not in identities)
    same = replace(
        prepared, material=material, moments={**prepared.moments, **moments}, waiting=left
    )
    return same if left else planned_with(same, material, (), prepared.read_at)


def _as_before(name: str, prepared: Prepared, before: Prepared) -> bool:
    """Whether the spec has it from the same kind of issuer, for the same."""
    now, then = prepared.spec.identities[name], before.spec.identities.get(name)
    issuer = now.issuer or ""
    known = before.spec.issuers.get(issuer)
    return now == then and known is not None and known.type == prepared.spec.issuers[issuer].type


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
        else:
            await asyncio.to_thread(failing.forget, prepared.layout.root, name)

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
    for name, failure in failures.items():
        where = prepared.layout.root, name
        await asyncio.to_thread(failing.note, *where, failure.message, clock.now())
    return failures


def _none_had(failures: Mapping[str, HandclaspError]) -> EnvironmentFault:
    told = "; ".join(f"identity '{name}': {one.message}" for name, one in failures.items())
    hints = list(dict.fromkeys(one.hint for one in failures.values() if one.hint))
    return EnvironmentFault(
        f"nginx is not started, for what it needs was not issued: {told}",
        hint=hints[0] if hints else "Look at the issuer, then start again.",
    )
