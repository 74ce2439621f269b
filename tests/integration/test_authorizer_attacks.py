"""Who is calling, told in every dialect, against callers who want to be somebody else."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from handclasp.backend.dialects import DIALECTS
from tests.integration.authorizer_stage import (
    FORGEABLE,
    WITHOUT_X_SSL_CERT,
    assert_caller_is,
    pair_of,
    written,
)
from tests.integration.dialect_stage import (
    DIALECTS_OF,
    EVERY_LINK,
    MAIN,
    admitted,
    arrivals,
    every_dialect,
    host,
    last,
)
from tests.integration.http2_client import Http2Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.ingress_stage import Stage
    from tests.integration.running import Material

pytestmark = pytest.mark.integration

FORGED = "forged-by-the-caller"


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    with every_dialect(material, nginx_build, "forgeries") as running:
        yield running


def assert_svc_b_alone(stage: Stage, link_name: str) -> None:
    assert all(FORGED not in value for _, value in last(stage).headers)
    who = pair_of(stage.material, admitted(link_name))
    assert_caller_is(last(stage), who, DIALECTS_OF[link_name])


# Headers


@pytest.mark.parametrize("link_name", EVERY_LINK)
def test_an_honest_request_passes_and_says_who_calls(stage: Stage, link_name: str) -> None:
    credentials = stage.pair(admitted(link_name))
    answer = stage.caller.get("/", sni=host(link_name), credentials=credentials)
    assert answer.status == 200
    assert_svc_b_alone(stage, link_name)


def spellings(text: str) -> tuple[str, ...]:
    rng = random.Random(text)
    mixed = "".join(rng.choice((char.lower(), char.upper())) for char in text)
    return text, text.upper(), text.title(), mixed


@pytest.mark.parametrize("link_name", EVERY_LINK)
def test_no_header_of_any_dialect_in_any_spelling_is_believed(stage: Stage, link_name: str) -> None:
    """Hyphens and underscores, four ways of letters, many of them twice."""
    sni, credentials = host(link_name), stage.pair(admitted(link_name))
    lines = [f"{one}: {FORGED}" for text in FORGEABLE for one in spellings(text)]
    for part in range(0, len(lines), 400):
        batch = lines[part : part + 400]
        start = ["GET / HTTP/1.1", f"Host: {sni}", "Connection: close"]
        request = "\r\n".join([*start, *batch, *batch[:40], "", ""]).encode()
        (answer,) = stage.caller.send(request, sni=sni, credentials=credentials)
        assert answer.status == 200
        assert_svc_b_alone(stage, link_name)


ODD = [
    "{name} : {value}",
    "{name}\t: {value}",
    " {name}: {value}",
    "{name}:{value}\r\n\t{value}",
    "X-Nothing: a\r\n {name}: {value}",
    "X-Nothing: a\r{name}: {value}",
    "X-Nothing: a\n{name}: {value}",
    "{name}\x00: {value}",
    "{name}\x0b: {value}",
    "{name}\r\n: {value}",
    "{name}:\r\n{name}: {value}",
    "{name}: {value}\r\n{name}: {value}",
    "Connection: {name}\r\n{name}: {value}",
]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_odd_spellings_are_refused_or_dropped(stage: Stage, dialect: str) -> None:
    link_name = "legacy" if dialect == "x-ssl-cert" else "guarded"
    # Every shape with one header of the dialect, every header with one shape or more.
    for header, shape in zip(itertools.cycle(sorted(written([dialect]))), ODD, strict=False):
        line = shape.format(name=header, value=FORGED)
        before = arrivals(stage)
        start = f"GET / HTTP/1.1\r\nHost: {host(link_name)}\r\nConnection: close\r\n"
        request = f"{start}{line}\r\n\r\n".encode()
        answers = stage.caller.send(request, sni=host(link_name), credentials=stage.pair("svc-b"))
        if arrivals(stage) == before:
            assert all(answer.status == 400 for answer in answers), shape
            continue
        assert [answer.status for answer in answers] == [200], shape
        seen = last(stage)
        assert_caller_is(seen, stage.material.client, DIALECTS_OF[link_name])
        told = [key for key, value in seen.headers if FORGED in value]
        assert told in ([], ["X-Nothing"]), shape


@pytest.mark.parametrize("link_name", EVERY_LINK)
def test_nothing_forged_gets_through_http2(stage: Stage, link_name: str) -> None:
    forged = [(text, FORGED) for text in FORGEABLE]
    credentials = stage.pair(admitted(link_name))
    with Http2Client(stage.caller, host(link_name), credentials) as client:
        for part in range(0, len(forged), 120):
            batch = forged[part : part + 120]
            answer = client.request("/", headers=batch * 2)
            assert answer.status == 200
            assert_svc_b_alone(stage, link_name)


def test_identity_headers_in_trailers_of_http2_do_not_arrive(stage: Stage) -> None:
    for header in sorted(written(WITHOUT_X_SSL_CERT)):
        with Http2Client(stage.caller, MAIN, stage.pair()) as client:
            before = arrivals(stage)
            trailers = [(header, FORGED)]
            answer = client.request("/", method="POST", body=b"hello", trailers=trailers)
            assert (answer.status == 200) == (arrivals(stage) > before)
            if answer.status == 200:
                assert_svc_b_alone(stage, "guarded")


def test_identity_headers_in_trailers_do_not_arrive(stage: Stage) -> None:
    sni = "recorded.example.com"
    trailers = "".join(f"{text}: {FORGED}\r\n" for text in sorted(written(DIALECTS)))
    request = (
        f"POST / HTTP/1.1\r\nHost: {sni}\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n"
        f"Trailer: Client-Cert\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n{trailers}\r\n"
    )
    (answer,) = stage.caller.send(request.encode(), sni=sni, credentials=stage.pair())
    assert answer.status == 200
    received = stage.extra["recorder"].requests[-1]
    assert b"hello" in received
    assert b"\r\nClient-Cert: :" in received
    assert FORGED.encode() not in received


@pytest.mark.parametrize("link_name", ["all", "legacy", "guarded", "optional"])
def test_values_copied_from_a_real_answer_make_nobody_the_other(
    stage: Stage, link_name: str
) -> None:
    """What the administrator's certificate gives, word for word, sent by another caller."""
    assert stage.caller.get("/", sni=host("admins"), credentials=stage.pair("admin")).status == 200
    stolen = last(stage).headers
    for dialect in DIALECTS_OF[link_name]:
        names = written([dialect])
        theirs = [pair for pair in stolen if pair[0].lower() in names]
        for again in (theirs, theirs * 2, [(one.replace("-", "_"), two) for one, two in theirs]):
            answer = stage.caller.get(
                "/", sni=host(link_name), credentials=stage.pair(), headers=again
            )
            assert answer.status == 200, dialect
            assert_svc_b_alone(stage, link_name)


def test_a_caller_without_certificate_stays_nobody_whatever_it_sends(stage: Stage) -> None:
    assert stage.caller.get("/", sni=host("admins"), credentials=stage.pair("admin")).status == 200
    stolen = last(stage).headers
    assert stage.caller.get("/", sni=host("optional")).status == 200
    assert_caller_is(last(stage), None, WITHOUT_X_SSL_CERT)
    for dialect in WITHOUT_X_SSL_CERT:
        theirs = [pair for pair in stolen if pair[0].lower() in written([dialect])]
        assert stage.caller.get("/", sni=host("optional"), headers=theirs).status == 200
        assert_caller_is(last(stage), None, WITHOUT_X_SSL_CERT)
    for other in ("all", "guarded", "admins"):
        assert stage.caller.get("/", sni=host(other), headers=stolen[:8]).status == 400


def test_headers_of_a_question_to_the_agent_are_not_the_callers_to_send(stage: Stage) -> None:
    """Neither those that nginx asks with nor those that it is answered with."""
    parts = ("Link", "Rule", "Policy", "Verify", "Certificate")
    headers = [(f"X-Handclasp-{part}", FORGED) for part in parts]
    headers += [("HC-Reason", ""), ("HC-Hop", "1"), ("HC-Client-Cert", FORGED)]
    for who, status in (("svc-b", 200), ("svc-x", 403)):
        before = arrivals(stage)
        answer = stage.caller.get("/", sni=MAIN, credentials=stage.pair(who), headers=headers)
        assert answer.status == status
        assert arrivals(stage) == before + (status == 200)
    assert_caller_is(last(stage), stage.material.client, WITHOUT_X_SSL_CERT)


@pytest.mark.parametrize("path", ["/.handclasp/authorize", "/.handclasp/authorize/", "/.handclasp"])
def test_the_location_that_asks_the_agent_cannot_be_asked(stage: Stage, path: str) -> None:
    answer = stage.caller.get(path, sni=MAIN, credentials=stage.pair("svc-x"))
    assert answer.status in (403, 404)
    assert not any(key.lower().startswith("hc-") for key, _ in answer.headers)


# Requests in requests


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: admins.example.com\r\nClient-Cert: :AA==:\r\n\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 60\r\n\r\nhello",
        b"Content-Length: 5, 5\r\n\r\nhello",
        b"Content-Length: +5\r\n\r\nhello",
        b"Content-Length : 5\r\n\r\nhello",
        b"Content_Length: 60\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
        b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        b"\r\n",
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET", "CHARGE"])
def test_a_smuggled_request_reaches_nobody_under_anothers_name(
    stage: Stage, method: str, framing: bytes
) -> None:
    """It would be the administrators' link's, whom svc-b is not. The question to the agent between the
    head and the body changes nothing about where a request ends."""
    before = arrivals(stage)
    request = f"{method} / HTTP/1.1\r\nHost: {MAIN}\r\n".encode() + framing + SMUGGLED
    answers = stage.caller.send(request, sni=MAIN, credentials=stage.pair())
    arrived = stage.extra["backend"].seen[before:]
    assert len(arrived) == len([answer for answer in answers if answer.status == 200]) <= 1
    for seen in arrived:
        assert seen.path == "/"
        assert_caller_is(seen, stage.material.client, WITHOUT_X_SSL_CERT)


def test_requests_of_one_connection_are_judged_one_by_one(stage: Stage) -> None:
    """The twin of the above: a second request that nginx can see is answered, as the same caller."""
    before = arrivals(stage)
    one = f"POST / HTTP/1.1\r\nHost: {MAIN}\r\nContent-Length: 5\r\n\r\nhello"
    two = f"GET /two HTTP/1.1\r\nHost: {MAIN}\r\n\r\n"
    answers = stage.caller.send((one + two).encode(), sni=MAIN, credentials=stage.pair())
    assert [answer.status for answer in answers] == [200, 200]
    for seen in stage.extra["backend"].seen[before:]:
        assert_caller_is(seen, stage.material.client, WITHOUT_X_SSL_CERT)
