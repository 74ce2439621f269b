"""Issuers that call are heard, once, for what is in use now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from handclasp.agent import summons
from handclasp.agent.summons import Listened, Summons
from handclasp.issuers.protocol import IssuerError
from tests import pki

if TYPE_CHECKING:
    import pytest
    from cryptography import x509

FIRST, SECOND = (pki.leaf(pki.authority(), serial=one).certificate for one in (1, 2))


class Exchange:
    """Issuers that call when a test says so."""

    def __init__(self) -> None:
        self.calls = asyncio.Event()
        self.listening: list[tuple[str, int]] = []
        self.failures = 0
        self.silent = False

    async def wait(self, _prepared: Any, name: str, current: x509.Certificate) -> bool:
        self.listening.append((name, current.serial_number))
        if self.failures:
            self.failures -= 1
            raise IssuerError("not there")
        if self.silent:
            return False
        try:
            await self.calls.wait()
        finally:
            self.listening.remove((name, current.serial_number))
        return True


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_call_is_told_once_and_then_again_for_what_follows() -> None:
    async def run() -> None:
        exchange, called = Exchange(), list[str]()
        ours = Summons(exchange.wait, called.append)
        ours.listen(None, {"a": Listened("order", FIRST)})
        await settled()
        assert not called
        exchange.calls.set()
        await settled()
        exchange.calls.clear()
        ours.listen(None, {"a": Listened("order", FIRST)})
        await settled()
        assert called == ["a"]
        assert not exchange.listening
        ours.listen(None, {"a": Listened("order", SECOND)})
        await settled()
        assert exchange.listening == [("a", 2)]
        await ours.close()
        assert not exchange.listening

    asyncio.run(run())


def test_what_is_not_in_use_any_more_is_hung_up() -> None:
    async def run() -> None:
        exchange = Exchange()
        ours = Summons(exchange.wait, lambda _: None)
        ours.listen(None, {"a": Listened("o", FIRST), "b": Listened("o", FIRST)})
        await settled()
        ours.listen(None, {"a": Listened("o", FIRST)})
        await settled()
        assert exchange.listening == [("a", 1)]
        ours.listen(None, {"a": Listened("other", FIRST)})
        await settled()
        assert exchange.listening == [("a", 1)]
        await ours.close()

    asyncio.run(run())


def test_an_issuer_that_cannot_be_heard_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summons, "AGAIN_SECONDS", 0)

    async def run() -> None:
        exchange, called = Exchange(), list[str]()
        exchange.failures = 2
        ours = Summons(exchange.wait, called.append)
        ours.listen(None, {"a": Listened("o", FIRST)})
        exchange.calls.set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert called == ["a"]
        await ours.close()

    asyncio.run(run())


def test_an_issuer_that_never_calls_is_left_alone() -> None:
    async def run() -> None:
        exchange, called = Exchange(), list[str]()
        exchange.silent = True
        ours = Summons(exchange.wait, called.append)
        for _ in range(3):
            ours.listen(None, {"a": Listened("o", FIRST)})
            await settled()
        assert len(exchange.listening) == 1
        assert not called
        await ours.close()

    asyncio.run(run())
