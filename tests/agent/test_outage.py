"""Which lines of the error log tell of a token that is away: those of real outages, and near misses."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from handclasp.agent.outage import (
    UNASKED,
    Outage,
    TokenWatch,
    is_token_failure,
    may_be_token_failure,
)
from handclasp.agent.status import Snapshot
from handclasp.errors import InternalFault
from handclasp.findings import found
from handclasp.hsm.isolated import Answer
from handclasp.hsm.openssl_conf import Way

if TYPE_CHECKING:
    from handclasp.agent.prepare import Prepared

FRONT = "2026/11/24 10:26:41 [crit] 10748#10748: *3 SSL_do_handshake() failed (SSL: "
BACK = ") while SSL handshaking, client: 127.0.0.1, server: 127.0.0.1:443"
ENGINE = "error:41800082:PKCS#11 module::Object handle invalid error:0A080006:SSL routines::EVP lib"
PROVIDER = (
    "error:40800060:pkcs11::The specified key handle is not valid:Provided key has invalid handle "
    "error:0A080006:SSL routines::EVP lib"
)
NO_ALGORITHM = "error:0A000076:SSL routines::no suitable signature algorithm"
CALLER = (
    "2026/11/24 10:26:41 [error] 1#1: *3 connect() failed (111: Connection refused) while connecting to "
    'upstream, client: 127.0.0.1, server: a, request: "GET /SSL_do_handshake() failed (SSL: pkcs11 '
    'HTTP/1.1", upstream: "https://127.0.0.1:1/"'
)


@pytest.mark.parametrize("told", [ENGINE, PROVIDER])
def test_errors_of_the_engine_and_of_the_provider_are_failures_of_the_token(told: str) -> None:
    assert is_token_failure(FRONT + told + BACK)


def test_no_algorithm_to_sign_with_is_a_suspicion_only() -> None:
    line = FRONT + NO_ALGORITHM + BACK
    assert may_be_token_failure(line)
    assert not is_token_failure(line)


@pytest.mark.parametrize(
    "line",
    [
        CALLER,
        FRONT + "error:0A000086:SSL routines::certificate verify failed" + BACK,
        "",
    ],
)
def test_other_failures_and_what_callers_write_are_not(line: str) -> None:
    assert not is_token_failure(line)
    assert not may_be_token_failure(line)


# -- following an outage


class Clock:
    """Set by hand."""

    seconds = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Tokens:
    """Two keys, each in a token of its own; `said` is what a token says, by identity."""

    def __init__(self, way: Way = Way.ENGINE) -> None:
        self.said: dict[str, Answer | Exception] = {"a": Answer(), "b": Answer()}
        self.asked: list[str] = []
        self.restarts = 0
        self.clock = Clock()
        self.watch = TokenWatch(self.clock, look=self._look)
        self.prepared = self.another_spec(way)

    def another_spec(self, way: Way = Way.ENGINE) -> Prepared:
        keys = {name: SimpleNamespace(token=name) for name in ("a", "b")}
        return cast(
            "Prepared",
            SimpleNamespace(
                plan=SimpleNamespace(tokens=SimpleNamespace(keys=(("a", None), ("b", None)))),
                material=SimpleNamespace(identities=keys),
                tokens=SimpleNamespace(leading=SimpleNamespace(way=way)),
            ),
        )

    def _look(self, _: Any, token: Any) -> Answer:
        self.asked.append(token)
        said = self.said[token]
        if isinstance(said, Exception):
            raise said
        return said

    def pass_time(self, *lines: str, seconds: float = 100.0) -> list[str]:
        """One step of the watch; which tokens were asked in it."""
        self.clock.seconds += seconds
        self.asked.clear()
        asyncio.run(self.watch.follow(self.prepared, lines, self._back))
        return list(self.asked)

    def _back(self) -> None:
        self.restarts += 1


def refusing(slug: str, *, asked: bool = True) -> Answer:
    return Answer(findings=(found(slug, f"says {slug}"),), asked=asked)


FAILED_HANDSHAKE = FRONT + ENGINE + BACK


def test_one_refused_pin_leaves_that_token_alone_and_the_others_watched() -> None:
    tokens = Tokens()
    tokens.said = {"a": refusing("pin-wrong"), "b": refusing("pkcs11-token-absent")}
    assert tokens.pass_time(FAILED_HANDSHAKE) == ["a", "b"]
    outage = tokens.watch.outage
    assert outage is not None
    assert outage.reasons == {"a": "says pin-wrong", "b": "says pkcs11-token-absent"}
    assert outage.seen == "a: says pin-wrong; b: says pkcs11-token-absent"
    tokens.said["b"] = Answer()
    for _ in range(3):
        assert tokens.pass_time() == ["b"]
    outage = tokens.watch.outage
    assert outage is not None
    assert outage.identities == ("a",)
    assert "says pin-wrong" in outage.seen
    # nginx would try the refused PIN at its start.
    assert tokens.restarts == 0


def test_a_link_says_of_its_own_key_only() -> None:
    tokens = Tokens()
    tokens.said = {"a": refusing("pin-wrong"), "b": refusing("pkcs11-token-absent")}
    tokens.pass_time(FAILED_HANDSHAKE)
    ended = SimpleNamespace(not_valid_after_utc=tokens.clock.now() - timedelta(seconds=1))
    good = SimpleNamespace(not_valid_after_utc=tokens.clock.now() + timedelta(seconds=1))
    leaves = {"b": good, "other": good, "ended": ended}
    identities = {name: SimpleNamespace(leaf=leaf) for name, leaf in leaves.items()}
    material = SimpleNamespace(identities=identities)
    applied = SimpleNamespace(
        plan=SimpleNamespace(tokens=object()), prepared=SimpleNamespace(material=material)
    )
    snapshot = Snapshot(
        applied=cast("Any", applied),
        lifecycle=cast("Any", None),
        master_pid=None,
        worker_pids=(),
        agent_pid=1,
        started=tokens.clock.now(),
        now=tokens.clock.now(),
        refused_change=None,
        token_news=tokens.watch.news,
    )
    assert snapshot._unsigned(["b"]) == [
        "the key of b in its token does not work: says pkcs11-token-absent"
    ]
    assert snapshot._unsigned(["other"]) == []
    assert snapshot._unsigned(["ended"]) == ["the certificate of ended has expired"]
    tokens.said["a"] = Answer()
    tokens.prepared = tokens.another_spec()
    tokens.pass_time()
    assert tokens.watch.outage is not None
    assert tokens.watch.outage.identities == ("b",)


def test_before_a_token_is_asked_every_key_of_the_plan_is_in_doubt() -> None:
    outage = Outage(Clock().now(), dict.fromkeys(("a", "b"), UNASKED))
    assert outage.seen == UNASKED
    assert outage.identities == ("a", "b")


def test_a_spec_that_is_read_again_has_every_token_asked_again() -> None:
    tokens = Tokens()
    tokens.said["a"] = refusing("pin-locked")
    tokens.pass_time(FAILED_HANDSHAKE)
    assert tokens.pass_time() == ["b"]
    tokens.said["a"] = Answer()
    tokens.prepared = tokens.another_spec()
    assert tokens.pass_time() == ["a", "b"]
    assert tokens.watch.news == (None, tokens.restarts) == (None, 1)


def test_all_tokens_back_end_the_outage_with_one_restart() -> None:
    tokens = Tokens()
    tokens.said["b"] = refusing("pkcs11-token-absent")
    tokens.pass_time(FAILED_HANDSHAKE)
    (outage, restarts) = tokens.watch.news
    assert outage is not None
    assert (outage.identities, restarts) == (("b",), 0)
    tokens.said["b"] = Answer()
    tokens.pass_time()
    assert tokens.watch.news == (None, 1)
    assert tokens.restarts == 1
    assert tokens.pass_time() == []


@pytest.mark.parametrize(
    "said", [refusing("pkcs11-module-failed", asked=False), InternalFault("the worker failed")]
)
def test_a_look_that_could_not_be_taken_is_no_outage_and_no_end_of_one(
    said: Answer | Exception,
) -> None:
    tokens = Tokens(Way.URI_FILE)
    tokens.said["a"] = said
    assert tokens.pass_time() == ["a"]
    assert tokens.watch.outage is None
    tokens.pass_time(FAILED_HANDSHAKE)
    assert tokens.watch.outage is not None
    tokens.pass_time()
    assert tokens.watch.outage is not None
    assert tokens.restarts == 0
    tokens.said["a"] = Answer()
    tokens.pass_time()
    assert tokens.watch.news == (None, tokens.restarts) == (None, 1)
