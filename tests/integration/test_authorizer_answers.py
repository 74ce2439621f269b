"""What nginx makes of whatever comes out of the agent's socket, and how often it asks at all."""

from __future__ import annotations

import bisect
import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from handclasp.backend import parse
from tests import pki
from tests.identity.specimens import name
from tests.integration.authorizer_stage import (
    Asked,
    WITHOUT_X_SSL_CERT,
    StandIn,
    assert_caller_is,
    last_reason,
)
from tests.integration.ingress_stage import (
    NAMES,
    Stage,
    link,
    ports,
    running_stage,
    spec_of,
    until,
)
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.ingress_stage import Answer
    from tests.integration.running import Material

pytestmark = pytest.mark.integration

FULL, BARE, OPEN = "full.example.com", "bare.example.com", "open.example.com"
SVC_B = ["dns:svc-b.internal"]


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    (port,) = ports(1)
    listen = f"127.0.0.1:{port}"
    clients = {"trust": "company", "allow": SVC_B}
    with Backend() as backend:
        url = f"http://127.0.0.1:{backend.port}"
        links = [
            link("full", listen, url, clients=clients, forward=list(WITHOUT_X_SSL_CERT)),
            link("bare", listen, url, clients=clients, forward=[]),
            link(
                "open",
                listen,
                url,
                clients={"trust": "company", "allow": "any", "certificate_size": "64k"},
                forward=["handclasp"],
            ),
            link(
                "pages",
                listen,
                url,
                clients={
                    **clients,
                    "rules": [{"path": "/"}, {"path": "/admin/", "allow": ["dns:admin.internal"]}],
                },
                forward=[],
            ),
        ]
        for one in links:
            one["limits"] = {"header": "64k"}
        spec = spec_of(material, links, log={"access": "all"})
        with (
            running_stage(material, nginx_build, "answers", spec, port, backend=backend) as running,
            StandIn(running.running.state / "authorizer" / "ask.sock") as stand_in,
        ):
            running.extra["agent"] = stand_in
            yield running


def agent(stage: Stage) -> StandIn:
    stand_in: StandIn = stage.extra["agent"]
    return stand_in


def arrivals(stage: Stage) -> int:
    return len(stage.extra["backend"].seen)


def get(stage: Stage, who: str, sni: str = FULL, path: str = "/", **more: str) -> Answer:
    return stage.caller.get(path, sni=sni, credentials=stage.pair(who), **more)  # type: ignore[arg-type]


_NUMBER = iter(range(1000))


def newcomer(stage: Stage, *sans: str) -> str:
    """A certificate that nobody was asked about before."""
    who = f"new-{next(_NUMBER)}"
    stage.material.add(who, sans=sans or ["svc-b.internal"], key_label="same")
    return who


# Answers that are none


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


def pair_of(stage: Stage, who: str) -> pki.Pair:
    pem = (stage.material.folder / f"{who}.pem").read_bytes()
    return pki.Pair(x509.load_pem_x509_certificate(pem), stage.material.client.private_key)


def assert_who(stage: Stage, who: str) -> None:
    assert_caller_is(stage.extra["backend"].last, pair_of(stage, who), WITHOUT_X_SSL_CERT)


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
    assert_caller_is(seen, pair_of(stage, who), ["x-client-cert"])


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


@pytest.mark.parametrize("code", [401, 403, 404, 421, 495, 496, 500, 502, 503, 504])
@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
def test_a_backends_own_error_passes_unchanged(stage: Stage, code: int, accept: str) -> None:
    answer = stage.caller.get(
        f"/status/{code}", sni=FULL, credentials=stage.pair(), headers=[("Accept", accept)]
    )
    assert answer.status == code
    assert answer.body == f"the backend says {code}".encode()
    assert answer.value("Retry-After") is None


# How often nginx asks


def test_a_thousand_requests_of_a_certificate_are_one_question(stage: Stage) -> None:
    who = newcomer(stage)
    with agent(stage).saying(None) as asked:
        assert get(stage, who).status == 200

        def many(count: int) -> set[int]:
            connection = http.client.HTTPConnection(FULL)
            with stage.caller.connect(FULL, stage.pair(who)) as connection.sock:
                return {_one(connection) for _ in range(count)}

        with ThreadPoolExecutor(3) as pool:
            assert set.union(*pool.map(many, [111] * 9)) == {200}
        assert len(asked) == 1
        assert get(stage, who, BARE).status == 200
        assert len(asked) == 2, "another link, another question"


def _one(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_each_rule_and_each_certificate_is_one_question(stage: Stage) -> None:
    sni = "pages.example.com"
    one, two = newcomer(stage), newcomer(stage)
    with agent(stage).saying(None) as asked:
        for _ in range(3):
            for who in (one, two):
                assert get(stage, who, sni, "/").status == 200
                assert get(stage, who, sni, "/other?x=y").status == 200
                assert get(stage, who, sni, "/admin/").status == 403
                assert get(stage, who, sni, "/admin/x").status == 403
        assert len(asked) == 4
        assert (
            len(
                {
                    (each.value("X-Handclasp-Rule"), each.value("X-Handclasp-Certificate"))
                    for each in asked
                }
            )
            == 4
        )
        assert get(stage, one, sni, "//admin/").status == 400
        assert len(asked) == 4, "what is refused by its path needs no question"


def test_a_certificate_of_another_ca_is_no_question(stage: Stage) -> None:
    with agent(stage).saying(None) as asked:
        assert get(stage, "stranger").status == 400
        assert stage.caller.get("/", sni=FULL).status == 400
        assert asked == []


def large(stage: Stage, size: int, who: str = "large") -> int:
    """A certificate with so many bytes of subject; its length as nginx shows it."""
    subject = name((NameOID.ORGANIZATIONAL_UNIT_NAME, "u" * size), (NameOID.COMMON_NAME, "svc-b"))
    pair = stage.material.add(who, subject=subject, sans=["svc-b.internal"], key_label="same")
    return len(quote(pair.pem.decode(), safe=""))


@pytest.mark.parametrize(("sni", "limit"), [(BARE, 10 * 1024), (OPEN, 64 * 1024)])
def test_a_certificate_larger_than_admitted_is_refused_without_a_question(
    stage: Stage, sni: str, limit: int
) -> None:
    size = bisect.bisect_right(range(limit), limit, key=lambda size: large(stage, size))
    assert large(stage, size + 16) > limit
    with agent(stage).saying(None) as asked:
        answer = get(stage, "large", sni)
        assert answer.status == 403
        assert asked == []
    assert until(lambda: last_reason(stage.running, sni) == "certificate-too-large")
    if sni == OPEN:
        return  # The backend here takes no header of that size.
    assert limit - 64 < large(stage, size - 16) <= limit
    with agent(stage).saying(None) as asked:
        for _ in range(3):
            assert get(stage, "large", sni).status == 200
        assert len(asked) == 1, "the largest one admitted is remembered"


def test_headers_larger_than_nginx_keeps_are_a_refusal_that_is_remembered(stage: Stage) -> None:
    assert 4_500 < large(stage, 3_000) < 10_240
    before = arrivals(stage)
    with agent(stage).saying(None) as asked:
        for _ in range(3):
            assert get(stage, "large").status == 403
        assert len(asked) == 1
        assert until(lambda: last_reason(stage.running, FULL) == "headers-too-large")
        assert arrivals(stage) == before
        assert get(stage, "large", BARE).status == 200


def test_without_the_policys_link_every_request_is_a_question(stage: Stage) -> None:
    """Somebody removed it, or made it lead elsewhere: nothing is remembered, decisions stay right."""
    current = stage.running.state / "policy" / "current"
    digest = current.readlink()
    one, other = newcomer(stage), newcomer(stage, "svc-x.internal")

    def judged(questions: int) -> None:
        with agent(stage).saying(None) as asked:
            for _ in range(3):
                assert get(stage, one).status == 200
                assert_who(stage, one)
                assert get(stage, other).status == 403
            assert len(asked) == questions

    try:
        current.unlink()
        judged(6)
        current.symlink_to(current.parent)
        judged(6)
        with agent(stage).saying(b""):
            assert get(stage, one).status == 503
    finally:
        current.unlink(missing_ok=True)
        current.symlink_to(digest)
    judged(2)
    judged(0)
