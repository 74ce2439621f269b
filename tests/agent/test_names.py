"""Names are looked up again and again: changes are told, and which names have no address."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.agent import names
from handclasp.agent.names import NameWatch, readdressed
from handclasp.findings import FindingsError, found
from handclasp.nginx.parts import Server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Names:
    """A resolver that knows what the test says."""

    def __init__(self, **addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        return {name: (self.addresses[name],) if name in self.addresses else () for name in names}


def prepared(*, nameservers: tuple[str, ...] = ()) -> Any:
    """nginx follows `far:443`, the agent `near`; at the start neither had an address."""
    servers = (Server("far:443", resolve=True), Server("192.0.2.1:443"))
    return SimpleNamespace(
        spec=SimpleNamespace(resolver=SimpleNamespace(addresses=nameservers)),
        plan=SimpleNamespace(
            upstreams=(SimpleNamespace(servers=servers),), resolved_names=("near",)
        ),
        addresses={"far": (), "near": ()},
    )


async def watched(watch: NameWatch, of: Any) -> int:
    """How often a change is told within some looks."""
    told: list[None] = []
    task = asyncio.ensure_future(watch.watch(lambda: of, lambda: told.append(None)))
    await asyncio.sleep(0.1)
    task.cancel()
    return len(told)


def test_a_name_without_an_address_is_told_until_it_has_one() -> None:
    of, resolver = prepared(), Names()
    watch = NameWatch(resolver, 0.01)
    assert watch.unresolved(of) == {"far"}
    assert asyncio.run(watched(watch, of)) == 0
    assert watch.unresolved(of) == {"far"}
    resolver.addresses["far"] = "192.0.2.7"
    assert asyncio.run(watched(watch, of)) == 0  # nginx follows it by itself
    assert watch.unresolved(of) == frozenset()
    assert watch.unresolved(prepared()) == {"far"}, "what was seen is of another plan"


def test_a_change_of_a_name_that_nginx_cannot_follow_is_told() -> None:
    assert asyncio.run(watched(NameWatch(Names(near="192.0.2.7"), 0.01), prepared())) > 0


def test_with_nameservers_of_the_specs_own_nothing_is_said() -> None:
    of = prepared(nameservers=("192.0.2.53",))
    assert NameWatch(Names(), 0.01).unresolved(of) == frozenset()


def test_addresses_are_not_followed_with_a_pin_that_the_token_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """nginx is given the PIN with every configuration it tests, and the token counts."""
    monkeypatch.setattr(names, "refused_pins", lambda *_: (found("pin-wrong", "refused"),))
    with pytest.raises(FindingsError, match="refused"):
        asyncio.run(readdressed(prepared(), Names()))
