"""What nginx makes of whatever comes out of the agent's socket."""

from __future__ import annotations

import http.client
import threading
import time
from typing import TYPE_CHECKING

import pytest

from handclasp.backend import parse
from tests.integration.asking_stage import (
    FULL,
    agent,
    arrivals,
    asking,
    assert_who,
    get,
    newcomer,
)
from tests.integration.authorizer_stage import WITHOUT_X_SSL_CERT, assert_caller_is, pair_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.authorizer_stage import Asked
    from tests.integration.ingress_stage import Answer, Stage
    from tests.integration.running import Material

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    with asking(material, nginx_build, "answers") as running:
        yield running


def plain(status: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


KEPT = "Cache-Control: max-age=300, stale-if-error=600"
HUGE = "X" * 300_000
NO_ANSWERS = {
    "nothing": b"",
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    "words": b"yes, let them in\n",
    "old-http": b"200 OK\r\n\r\n",
    "html": b"<html>welcome</html>\r\n\r\n",
    "half-a-status": b"HTTP/1.1 2",
    "half-a-header": b"HTTP/1.1 200 OK\r\nHC-Rea",
    "no-end-of-header": plain("200 OK", "Content-Length: 0")[:-2],
    "too-short-a-status": plain("20 OK", "Content-Length: 0"),
    "too-large-a-status": plain("999 OK", "Content-Length: 0"),
    "no-status": plain("OK", "Content-Length: 0"),
    "huge-header": plain("200 OK", f"HC-Client-Cert: {HUGE}", "Content-Length: 0"),
    "huge-reason": plain(f"200 {HUGE}", "Content-Length: 0"),
    "nul-in-header": plain("200 OK", "HC-Reason: a\0b", "Content-Length: 0"),
    "continue": plain("100 Continue"),
    "switching": plain("101 Switching Protocols", "Upgrade: x", "Connection: upgrade"),
    "redirect": plain("302 Found", "Location: http://127.0.0.1/", "Content-Length: 0"),
    "kept-redirect": plain("302 Found", "Location: /", KEPT, "Content-Length: 0"),
    "not-modified": plain("304 Not Modified", "Content-Length: 0"),
    "bad-request": plain("400 Bad Request", "Content-Length: 0"),
    "not-found": plain("404 Not Found", KEPT, "Content-Length: 0"),
    "too-many": plain("429 Too Many Requests", "Content-Length: 0"),
    "broken": plain("500 Internal Server Error", "Content-Length: 4", body=b"oops"),
    "kept-broken": plain("500 Internal Server Error", KEPT, "Content-Length: 0"),
    "bad-gateway": plain("502 Bad Gateway", "Content-Length: 0"),
    "unavailable": plain("503 Service Unavailable", "Content-Length: 0"),
    "handed-on": plain("404 Not Found", "X-Accel-Redirect: /", "Content-Length: 0"),
}


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_an_answer_that_is_none_lets_nobody_in(stage: Stage, kind: str) -> None:
    who, before = newcomer(stage), arrivals(stage)
    with agent(stage).saying(NO_ANSWERS[kind]) as asked:
        answer = get(stage, who)
    assert answer.status == 503, answer
    assert answer.value("Retry-After") == "5"
    assert b"cannot check callers" in answer.body
    assert asked
    assert arrivals(stage) == before
    # It was not remembered: asked again, the agent's own word counts.
    if not kind.startswith("kept") and kind != "not-found":
        assert get(stage, who).status == 200
        assert_who(stage, who)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_a_refusal_in_whatever_form_is_one(stage: Stage, status: str) -> None:
    before = arrivals(stage)
    with agent(stage).saying(plain(status, "Content-Length: 0")):
        answer = get(stage, newcomer(stage))
    assert answer.status == int(status[:3])
    assert arrivals(stage) == before


BELIEVED = {
    "no-headers": plain("200 OK", "Content-Length: 0"),
    "no-content": plain("204 No Content"),
    "too-long": plain("200 OK", KEPT, "Content-Length: 0", body=b"more than that"),
}


@pytest.mark.parametrize("kind", BELIEVED)
def test_whoever_holds_the_socket_is_believed_but_no_header_of_the_caller(
    stage: Stage, kind: str
) -> None:
    """It is the directory of the socket that says who may answer there. An answer without identity
    headers gives the backend none, not those that the caller sent."""
    forged = [("Client-Cert", ":AA==:"), ("X-Handclasp-Identity", "e30"), ("SSL-Client-Cert", "x")]
    who = newcomer(stage)
    with agent(stage).saying(BELIEVED[kind]):
        answer = stage.caller.get("/", sni=FULL, credentials=stage.pair(who), headers=forged)
    assert answer.status == 200
    seen = stage.extra["backend"].last
    for dialect in WITHOUT_X_SSL_CERT:
        if dialect != "x-client-cert":  # nginx writes that one by itself
            assert parse(seen.headers, dialect) is None
    assert_caller_is(seen, pair_of(stage.material, who), ["x-client-cert"])


def test_an_answer_that_ends_too_early_ends_the_request(stage: Stage) -> None:
    """nginx has no answer to give by then, and closes the connection."""
    who, before = newcomer(stage), arrivals(stage)
    request = f"GET / HTTP/1.1\r\nHost: {FULL}\r\nConnection: close\r\n\r\n".encode()
    cut = plain("200 OK", KEPT, "Content-Length: 100", body=b"less than that")
    with agent(stage).saying(cut):
        assert stage.caller.send(request, sni=FULL, credentials=stage.pair(who)) == []
    assert arrivals(stage) == before
    with agent(stage).saying(None) as asked:
        assert get(stage, who).status == 200
        assert len(asked) == 1, "it was not remembered"


@pytest.mark.parametrize("behaviour", ["silent", "half"])
def test_a_slow_answer_is_a_refusal_within_three_seconds(stage: Stage, behaviour: str) -> None:
    def late(_: Asked) -> bytes:
        ended.wait(8)
        return plain("200 OK", "Content-Length: 0")

    ended = threading.Event()
    who, before, started = newcomer(stage), arrivals(stage), time.monotonic()
    agent(stage).lingering = ended
    with agent(stage).saying(late if behaviour == "silent" else b"HTTP/1.1 200 OK\r\nHC-R"):
        answer = get(stage, who)
        ended.set()
    agent(stage).lingering = None
    assert answer.status == 503
    assert 1.5 < time.monotonic() - started < 4
    assert arrivals(stage) == before


WAYS = {
    "plain": ("GET", "/", []),
    "head": ("HEAD", "/", []),
    "body": ("POST", "/", []),
    "events": ("GET", "/", [("Accept", "text/event-stream")]),
    "unknown-method": ("PROPFIND", "/", []),
    "websocket": (
        "GET",
        "/ws",
        [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_through_a_link_asks(stage: Stage, way: str) -> None:
    method, path, headers = WAYS[way]

    def status(who: str) -> int:
        request = [f"{method} {path} HTTP/1.1", f"Host: {FULL}"]
        request += [f"{one}: {two}" for one, two in headers]
        request.append("Content-Length: 5" if way == "body" else "X-Nothing: x")
        text = "\r\n".join([*request, "", ""]) + ("hello" if way == "body" else "")
        with stage.caller.connect(FULL, stage.pair(who)) as tls:
            tls.sendall(text.encode())
            answer = http.client.HTTPResponse(tls, method=method)
            answer.begin()
            return answer.status

    before = arrivals(stage)
    assert status(newcomer(stage, "svc-x.internal")) == 403
    with agent(stage).saying(b""):
        assert status(newcomer(stage)) == 503
    assert arrivals(stage) == before
    assert status(newcomer(stage)) == (101 if way == "websocket" else 200)
    assert arrivals(stage) == before + 1


def test_a_request_that_says_it_is_grpc_is_answered_so_and_gets_no_further(stage: Stage) -> None:
    """Such answers have HTTP status 200: nowhere may that be taken for a yes."""
    headers = [("Content-Type", "application/grpc"), ("TE", "trailers")]

    def call(who: str) -> Answer:
        return stage.caller.get(
            "/", sni=FULL, credentials=stage.pair(who), headers=headers, method="POST", body=b"x"
        )

    before = arrivals(stage)
    refused = call(newcomer(stage, "svc-x.internal"))
    assert (refused.status, refused.value("grpc-status")) == (200, "7")
    for nothing in (b"", plain("502 Bad Gateway", "Content-Length: 0"), plain("403 No")[:-2]):
        with agent(stage).saying(nothing):
            assert call(newcomer(stage)).status == 503
    assert arrivals(stage) == before
    passed = call(newcomer(stage))
    assert (passed.status, passed.value("grpc-status")) == (200, None)
    assert arrivals(stage) == before + 1


@pytest.mark.parametrize("code", [401, 403, 404, 421, 495, 496, 500, 502, 503, 504])
@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
def test_a_backends_own_error_passes_unchanged(stage: Stage, code: int, accept: str) -> None:
    answer = stage.caller.get(
        f"/status/{code}", sni=FULL, credentials=stage.pair(), headers=[("Accept", accept)]
    )
    assert answer.status == code
    assert answer.body == f"the backend says {code}".encode()
    assert answer.value("Retry-After") is None
