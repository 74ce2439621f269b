"""A trial at a link of ours is known by its certificate and its moment, and nothing else is taken for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from handclasp.agent.own_calls import OwnCalls
from handclasp.monitor.callers import Caller
from tests import pki

BEGAN = 1_790_000_000.0
CA = "CN=Test CA,O=Example Org"


def line(at: float, *, serial: str = "0A1B", issuer: str = CA) -> Caller:
    """Who called then."""
    moment = datetime.fromtimestamp(at, UTC)
    return Caller("api", issuer, serial, "CN=svc-b", None, None, moment, moment)


@pytest.fixture
def own() -> OwnCalls:
    made = OwnCalls()
    leaf = pki.leaf(pki.authority("Test CA"), serial=0x0A1B).certificate
    made.note(leaf, BEGAN, BEGAN + 0.2)
    return made


@pytest.mark.parametrize("after", [0.0, 0.1, 0.2])
def test_a_line_of_the_trial_is_ours(own: OwnCalls, after: float) -> None:
    assert own.made(line(BEGAN + after))
    assert own.made(line(BEGAN + after, serial="0a1b"))


@pytest.mark.parametrize("after", [-0.1, 0.3, 60.0])
def test_the_same_certificate_at_another_time_is_a_caller(own: OwnCalls, after: float) -> None:
    assert not own.made(line(BEGAN + after))


def test_another_certificate_at_the_same_time_is_a_caller(own: OwnCalls) -> None:
    assert not own.made(line(BEGAN, serial="0A1C"))
    assert not own.made(line(BEGAN, issuer="CN=Other CA,O=Example Org"))
