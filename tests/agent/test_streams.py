"""When connections end that outlive what was verified."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.agent.streams import Streams, Written
from handclasp.spec.links import IngressLink
from tests.agent.issuing_stage import StandingClock, in_loop

if TYPE_CHECKING:
    from pathlib import Path


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


class Case:
    """Streams over a state directory, by a clock that stands still."""

    def __init__(self, state: Path) -> None:
        self.state, self.clock, self.times, self.ours = state, StandingClock(), 0, True
        self.streams = self.another()

    def another(self) -> Streams:
        """Of the next agent."""
        return Streams(self.cut, lambda: self.ours, Written(self.state), self.clock)

    def cut(self) -> None:
        self.times += 1

    @property
    def file(self) -> Path:
        return self.state / "streams.json"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


@in_loop
async def test_the_shortest_age_counts_and_nothing_makes_it_longer(case: Case) -> None:
    hour, soon = (link(max_stream_age=age) for age in ("1h", "50ms"))
    assert case.streams.revoked([hour]) == 3600
    assert case.streams.revoked([hour, soon]) == 0.05
    assert case.streams.revoked([hour]) == 3600  # what is due earlier stays due
    await asyncio.sleep(0.15)
    assert case.times == 1


@in_loop
async def test_none_is_none_and_cut_is_now(case: Case) -> None:
    assert case.streams.revoked([link(max_stream_age="none")]) is None
    assert case.streams.revoked([]) is None
    assert case.times == 0
    assert not case.file.exists()
    assert case.streams.revoked([link(max_stream_age="none", cut=True)]) == 0
    assert case.times == 1
    assert case.file.exists()  # until it is done


@in_loop
async def test_an_nginx_that_is_not_ours_is_not_cut(case: Case) -> None:
    case.ours = False
    assert case.streams.revoked([link(cut=True)]) is None
    assert case.times == 0


@in_loop
async def test_stopped_is_stopped(case: Case) -> None:
    case.streams.revoked([link(max_stream_age="50ms")])
    case.streams.stop()
    await asyncio.sleep(0.1)
    assert case.times == 0


@in_loop
@pytest.mark.parametrize(
    ("passed", "left"), [(0, 600), (400, 200), (600, 0), (10_000, 0), (-10_000, 600)]
)
async def test_the_next_agent_goes_on_with_what_was_due(
    case: Case, passed: float, left: float
) -> None:
    case.streams.revoked([link()])
    case.streams.stop()  # as an agent that leaves its nginx
    case.clock.wall += timedelta(seconds=passed)
    assert Written(case.state).left(case.clock.now()) == left
    case.another().resume()
    await asyncio.sleep(0.02)
    assert case.times == (1 if left == 0 else 0)


@in_loop
async def test_nothing_is_due_where_all_connections_ended(case: Case) -> None:
    case.streams.revoked([link()])
    case.streams.stop(ended=True)
    case.another().resume()
    await asyncio.sleep(0.02)
    assert case.times == 0
    assert not case.file.exists()


@in_loop
async def test_what_was_due_is_done_in_a_damaged_file_too(case: Case) -> None:
    """It says that something was, if not when."""
    case.file.write_bytes(b"{")
    case.another().resume()
    await asyncio.sleep(0.02)
    assert case.times == 1


@in_loop
async def test_done_is_what_was_due_before_and_not_what_came_meanwhile(case: Case) -> None:
    written = Written(case.state)
    case.streams.revoked([link(cut=True)])
    before = written.content()
    case.clock.seconds += 1
    case.streams.revoked([link(cut=True)])
    written.forget(before)
    assert case.file.exists()
    written.forget(written.content())
    assert not case.file.exists()


@in_loop
async def test_a_disk_that_takes_nothing_keeps_no_connection_open(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    case.file.mkdir()
    (case.file / "full").touch()
    with caplog.at_level("WARNING", logger="handclasp.agent"):
        assert case.streams.revoked([link(cut=True)]) == 0
    assert case.times == 1
    assert [one.message for one in caplog.records] == [
        "when open connections end is not written down"
    ]
