"""The request that crosses and the tries that must not, carried out and looked at from all sides (edge)."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, TypeVar

from handclasp.demo.cast import CLIENT, SERVER_NAME
from handclasp.demo.crossing import (
    Crossing,
    Told,
    described,
    headers_of,
    is_genuine,
    judge_crossing,
)
from handclasp.demo.naming import name_in_handshake, name_in_log
from handclasp.demo.tries import HELLO, Outcome, Try, client_saw, judge_forgery, judge_refusal
from handclasp.wire.client import observe
from handclasp.wire.observation import Target
from handclasp.wire.offer import ClientCredential, HttpRequest, TrustAnchors

if TYPE_CHECKING:
    from collections.abc import Callable

    from handclasp.demo.stage import Stage
    from handclasp.nginx.log_tail import LogMark
    from handclasp.wire.observation import Observation

T = TypeVar("T")

_LOG_SECONDS = 1.0
_POLL_SECONDS = 0.01
_LOOPBACK = "127.0.0.1"
_AGENT = ("User-Agent", "handclasp-demo")


async def cross(stage: Stage) -> Crossing:
    """The application's plain request, through B and A to the backend."""
    b_log, a_log = stage.b.access_log(), stage.a.access_log()
    began = time.monotonic()
    seen = await _at_b(stage, HELLO)
    seconds = time.monotonic() - began
    a_logged = await _request_logged(a_log, SERVER_NAME)
    told, saw = _told(seen), client_saw(seen)
    client = stage.cast[CLIENT].issued.certificate
    return Crossing(
        url=f"http://{_LOOPBACK}:{stage.ports.b}{HELLO}",
        client_saw=saw,
        seconds=seconds,
        b_logged=await _request_logged(b_log, _LOOPBACK),
        a_logged=a_logged,
        told=told,
        differences=judge_crossing(told, a_logged, client, saw=saw),
    )


async def carry_out(stage: Stage, attempt: Try) -> Outcome:
    """One try: what the client saw, what nginx logged, what arrived, and whether that is right."""
    log = (stage.a if attempt.door == "A" else stage.b).error_log()
    arrived_before = stage.arrived
    seen = await (_at_a(stage, attempt) if attempt.door == "A" else _at_b(stage, attempt.path))
    if attempt.forged:
        return _forgery(stage, attempt, seen)
    logged = await _within(_LOG_SECONDS, lambda: name_in_log(log.lines()))
    named = logged[0] if logged else name_in_handshake(seen)
    return Outcome(
        attempt=attempt,
        client_saw=client_saw(seen),
        named=named,
        log_line=logged[1].message if logged else None,
        differences=judge_refusal(
            attempt, seen, named=named, reached=stage.arrived - arrived_before
        ),
    )


def _forgery(stage: Stage, attempt: Try, seen: Observation) -> Outcome:
    told = _told(seen)
    genuine = is_genuine(told, stage.cast[CLIENT].issued.certificate)
    differences = judge_forgery(attempt, seen, told.headers, genuine=genuine)
    received = {name.lower(): value for name, value in told.headers}
    return Outcome(
        attempt=attempt,
        client_saw=client_saw(seen),
        named=None if differences else attempt.slug,
        arrived=tuple(
            (name, described(name, value) if (value := received.get(name.lower())) else None)
            for name, _ in attempt.forged
        ),
        differences=differences,
    )


async def _at_a(stage: Stage, attempt: Try) -> Observation:
    certificate, key = stage.certificate(attempt.certificate) if attempt.certificate else ("", "")
    # For a name that A does not serve there is nothing to verify.
    known = attempt.server_name == SERVER_NAME
    ca, _ = stage.certificate("ca")
    return await observe(
        Target(host=_LOOPBACK, port=stage.ports.a, server_name=attempt.server_name),
        identity=ClientCredential(certificate=certificate, key=key) if certificate else None,
        trust=TrustAnchors(files=(ca,)) if known else None,
        verify_name=SERVER_NAME if known else None,
        request=HttpRequest(
            path=attempt.path,
            host=f"{attempt.server_name}:{stage.ports.a}",
            headers=(*attempt.forged, _AGENT),
        ),
    )


async def _at_b(stage: Stage, path: str) -> Observation:
    host = f"{_LOOPBACK}:{stage.ports.b}"
    return await observe(
        Target(host=_LOOPBACK, port=stage.ports.b, tls=False),
        request=HttpRequest(path=path, host=host, headers=(_AGENT,)),
    )


async def _request_logged(mark: LogMark, host: str) -> dict[str, str]:
    """The first request for `host` logged since the mark; empty when there is none in time.

    The agent's own proof of an egress listener is logged too, and may be so a moment after it was made.
    """

    def logged() -> dict[str, str] | None:
        requests: list[dict[str, str]] = [json.loads(line) for line in mark.lines()]
        return next((one for one in requests if one["host"] == host), None)

    return await _within(_LOG_SECONDS, logged) or {}


async def _within(seconds: float, look: Callable[[], T | None]) -> T | None:
    """What `look` finds at last; None when it finds nothing in that time."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None or time.monotonic() > deadline:
            return found
        await asyncio.sleep(_POLL_SECONDS)


def _told(seen: Observation) -> Told:
    if seen.answer is None or seen.answer.header("X-Demo-Backend") is None:
        return Told()
    told = json.loads(seen.answer.body)
    return Told(method=told["method"], path=told["path"], headers=headers_of(told["headers"]))
