"""When connections end that outlive what was verified."""

from __future__ import annotations

import asyncio
from typing import Any

from handclasp.agent.streams import Streams
from handclasp.spec.links import IngressLink
from tests.agent.issuing_stage import in_loop


def link(**clients: Any) -> IngressLink:
    """As a spec has it."""
    return IngressLink.model_validate(
        {
            "name": "api",
            "listen": "127.0.0.1:8443",
            "server_names": ["api.example.com"],
            "identity": "server",
            "clients": {"trust": "company", "allow": "any", **clients},
            "backend": "http://127.0.0.1:8000",
        }
    )


class Cut:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@in_loop
async def test_the_shortest_age_counts_and_nothing_makes_it_longer() -> None:
    cut = Cut()
    streams = Streams(cut, lambda: True)
    hour, soon = (link(max_stream_age=age) for age in ("1h", "50ms"))
    assert streams.revoked([hour]) == 3600
    assert streams.revoked([hour, soon]) == 0.05
    assert streams.revoked([hour]) == 3600  # what is due earlier stays due
    await asyncio.sleep(0.15)
    assert cut.times == 1


@in_loop
async def test_none_is_none_and_cut_is_now() -> None:
    cut = Cut()
    streams = Streams(cut, lambda: True)
    assert streams.revoked([link(max_stream_age="none")]) is None
    assert streams.revoked([]) is None
    assert cut.times == 0
    assert streams.revoked([link(max_stream_age="none", cut=True)]) == 0
    assert cut.times == 1


@in_loop
async def test_an_nginx_that_is_not_ours_is_not_cut() -> None:
    cut = Cut()
    assert Streams(cut, lambda: False).revoked([link(cut=True)]) is None
    assert cut.times == 0


@in_loop
async def test_stopped_is_stopped() -> None:
    cut = Cut()
    streams = Streams(cut, lambda: True)
    streams.revoked([link(max_stream_age="50ms")])
    streams.stop()
    await asyncio.sleep(0.1)
    assert cut.times == 0
