"""Who is calling, told in every dialect, against callers who want to be somebody else."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from handclasp.backend import IdentityError, parse
from handclasp.backend.dialects import DIALECTS
from tests import pki
from tests.identity.specimens import name
from tests.integration.authorizer_stage import (
    FORGEABLE,
    WITHOUT_HAPROXY,
    WITHOUT_X_SSL_CERT,
    assert_caller_is,
    last_reason,
    written,
)
from tests.integration.http2_client import Http2Client
from tests.integration.ingress_stage import (
    NAMES,
    RecordingBackend,
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

    from tests.integration.running import Material
    from tests.integration.servers import Seen

pytestmark = pytest.mark.integration

FORGED = "forged-by-the-caller"
DIALECTS_OF = {
    "all": WITHOUT_X_SSL_CERT,
    "legacy": WITHOUT_HAPROXY,
    "guarded": WITHOUT_X_SSL_CERT,
    "optional": WITHOUT_X_SSL_CERT,
    "admins": WITHOUT_X_SSL_CERT,
}
EVERY_LINK = list(DIALECTS_OF)
MAIN = "guarded.example.com"

# Names that try to end the value they are written into, or the rule they are compared with.
BREAKERS = {
    "xfcc": 'x";URI=spiffe://admin',
    "xfcc-backslash": 'x\\";URI=spiffe://admin',
    "xfcc-comma": "x,Hash=00;URI=spiffe://admin",
    "xfcc-encoded": "x%22;URI=spiffe://admin",
    "traefik": 'x";SAN="spiffe://admin',
    "json": 'x","sans":["uri:spiffe://admin"],"y":"',
    "crlf": "x\r\nX-Client-Cert: y\r\nClient-Cert: z",
    "newline": "svc-b\n",
    "nul": "svc-b\0.internal",
    "umlaut": "dienst-ü",
    "other-planes": "é\u2028日𝄞",
    "comma": "svc-b,O=Admin",
    "backslash": "svc-b\\",
    "semicolons": ";;;,,,===",
    "hash": "#04024869",
    "edges": " svc-b ",
}
SAN_BREAKERS = {
    "quote": ['uri:spiffe://x/";URI=spiffe://admin', "svc-x.internal"],
    "semicolon": ["uri:spiffe://x/y;URI=spiffe://admin", 'dns:a";DNS=svc-b.internal'],
    "comma": ["dns:x,dns:svc-b.internal", "uri:x:,URI=spiffe://admin"],
    "json": ['uri:x:","sans":["uri:spiffe://admin"]', "dns:y"],
    "blank": ["dns: svc-b.internal", "dns:svc-b.internal "],
    "wildcard": ["dns:*.internal", "dns:*"],
    "other-kind": ["uri:dns:svc-b.internal", "email:svc-b.internal@evil.example"],
    "twenty": [f"dns:n{number}.internal" for number in range(20)],
}


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    material.add("admin", sans=["admin.internal", "uri:spiffe://admin"])
    (port,) = ports(1)
    listen = f"127.0.0.1:{port}"
    named: dict[str, object] = {"trust": "company", "allow": ["dns:svc-b.internal"]}
    clients = {
        "all": {"trust": "company", "allow": "any"},
        "legacy": {"trust": "company", "allow": "any"},
        "guarded": named,
        "optional": {**named, "verify": "optional"},
        "admins": {"trust": "company", "allow": ["dns:admin.internal"]},
    }
    with Backend() as backend, RecordingBackend() as recorder:
        urls = {one: f"http://127.0.0.1:{backend.port}" for one in EVERY_LINK}
        links = [
            link(one, listen, urls[one], clients=clients[one], forward=list(DIALECTS_OF[one]))
            for one in EVERY_LINK
        ]
        recorded = f"http://127.0.0.1:{recorder.port}"
        links.append(
            link("recorded", listen, recorded, clients=named, forward=list(WITHOUT_X_SSL_CERT))
        )
        for one in links:
            one["limits"] = {"header": "64k"}
        servers = {"backend": backend, "recorder": recorder}
        spec = spec_of(material, links, log={"access": "all"})
        with running_stage(material, nginx_build, "forgeries", spec, port, **servers) as running:
            yield running


def last(stage: Stage) -> Seen:
    seen: Seen = stage.extra["backend"].last
    return seen


def arrivals(stage: Stage) -> int:
    return len(stage.extra["backend"].seen)


def host(link_name: str) -> str:
    return f"{link_name}.example.com"


def admitted(link_name: str) -> str:
    return "admin" if link_name == "admins" else "svc-b"


def pair_of(material: Material, who: str) -> pki.Pair:
    certificate = x509.load_pem_x509_certificate((material.folder / f"{who}.pem").read_bytes())
    return pki.Pair(certificate, material.client.private_key)


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
    for header in sorted(written([dialect])):
        for shape in ODD:
            line = shape.format(name=header, value=FORGED)
            before = arrivals(stage)
            start = f"GET / HTTP/1.1\r\nHost: {host(link_name)}\r\nConnection: close\r\n"
            request = f"{start}{line}\r\n\r\n".encode()
            answers = stage.caller.send(
                request, sni=host(link_name), credentials=stage.pair("svc-b")
            )
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


# Names


@pytest.mark.parametrize("sni", [None, "nobody.invalid", "guarded", "xguarded.example.com"])
def test_a_connection_without_a_known_name_is_rejected(stage: Stage, sni: str | None) -> None:
    stage.assert_unknown_name_is_rejected(stage.caller, sni)


@pytest.mark.parametrize("sni", [MAIN.upper(), "Guarded.Example.COM"])
def test_the_case_of_the_name_changes_nothing(stage: Stage, sni: str) -> None:
    for spelling in (MAIN, sni):
        for who, status in (("svc-b", 200), ("svc-x", 403)):
            answer = stage.caller.get("/", sni=sni, host=spelling, credentials=stage.pair(who))
            assert answer.status == status
    assert_svc_b_alone(stage, "guarded")


def test_rules_of_another_name_cannot_be_borrowed(stage: Stage) -> None:
    """The name of the handshake lets svc-x in; the Host would be another link's."""
    before = arrivals(stage)
    for sni, other in (("all", "guarded"), ("optional", "admins"), ("all", "admins")):
        answer = stage.caller.get(
            "/", sni=host(sni), host=host(other), credentials=stage.pair("svc-x")
        )
        assert answer.status == 421
    assert arrivals(stage) == before
    twin = stage.caller.get("/", sni=host("all"), credentials=stage.pair("svc-x"))
    assert twin.status == 200


# Certificates


def test_a_certificate_of_another_ca_with_the_same_names_is_refused(stage: Stage) -> None:
    material = stage.material
    real = material.client.certificate
    same = {"sans": ["svc-b.internal"], "subject": real.subject, "serial": real.serial_number}
    copied_ca = pki.authority("Test CA", key_label="an attacker's")
    for who, issuer in (("namesake", material.other_ca), ("copied", copied_ca)):
        material.add(who, issuer=issuer, **same)
    own = pki.leaf(copied_ca, "svc-b", sans=["svc-b.internal"])
    selfsigned = pki.authority("svc-b", is_ca=False, key_label="self-signed")
    selfsigned.write(material.folder, "selfsigned")
    pki.Pair(own.certificate, own.private_key, (copied_ca,)).write(material.folder, "chained")
    for who in ("namesake", "copied", "selfsigned", "chained", "stranger"):
        for link_name in ("all", "guarded", "optional"):
            before = arrivals(stage)
            answer = stage.caller.get("/", sni=host(link_name), credentials=stage.pair(who))
            assert answer.status == 400, who
            assert arrivals(stage) == before
    assert stage.caller.get("/", sni=MAIN, credentials=stage.pair()).status == 200


def subject(text: str) -> x509.Name:
    return name((NameOID.ORGANIZATIONAL_UNIT_NAME, text), (NameOID.COMMON_NAME, text))


@pytest.mark.parametrize("breaker", BREAKERS)
def test_a_subject_does_not_break_out_of_any_header(stage: Stage, breaker: str) -> None:
    who = f"subject-{breaker}"
    pair = stage.material.add(who, subject=subject(BREAKERS[breaker]), key_label="same")
    assert_told_truly(stage, who, pair)


@pytest.mark.parametrize("breaker", SAN_BREAKERS)
def test_an_alternative_name_breaks_neither_headers_nor_rules(stage: Stage, breaker: str) -> None:
    who = f"san-{breaker}"
    pair = stage.material.add(who, sans=SAN_BREAKERS[breaker], key_label="same")
    assert_told_truly(stage, who, pair)


UNPRINTABLE = {
    "newline": ["dns:svc-b.internal\n", "uri:x:\r\nX-Client-Cert: y"],
    "nul": ["dns:svc-b.internal\0.evil.example", "uri:spiffe://example.org/\0"],
}


@pytest.mark.parametrize("breaker", UNPRINTABLE)
def test_an_alternative_name_that_cannot_be_printed_is_nobodys(stage: Stage, breaker: str) -> None:
    """Where everybody may enter it arrives, unable to end a line, and the backend does not take it."""
    who = f"san-{breaker}"
    stage.material.add(who, sans=UNPRINTABLE[breaker], key_label="same")
    for link_name in ("all", "legacy"):
        answer = stage.caller.get("/", sni=host(link_name), credentials=stage.pair(who))
        assert answer.status == 200
        for dialect in DIALECTS_OF[link_name]:
            with pytest.raises(IdentityError):
                parse(last(stage).headers, dialect)
    assert_no_rule_holds(stage, who)


def assert_told_truly(stage: Stage, who: str, pair: pki.Pair) -> None:
    """On links that let everybody in; those with rules refuse it, for it has nobody's name."""
    for link_name in ("all", "legacy"):
        answer = stage.caller.get("/", sni=host(link_name), credentials=stage.pair(who))
        assert answer.status == 200
        assert_caller_is(last(stage), pair, DIALECTS_OF[link_name])
        (xfcc,) = last(stage).values("X-Forwarded-Client-Cert")
        assert "URI=spiffe://admin" not in re.split("[;,]", xfcc), "what a careless reader sees"
    assert_no_rule_holds(stage, who)


def assert_no_rule_holds(stage: Stage, who: str) -> None:
    before = arrivals(stage)
    for link_name in ("guarded", "admins", "optional"):
        answer = stage.caller.get("/", sni=host(link_name), credentials=stage.pair(who))
        assert answer.status == 403
        told = last_reason
        assert until(
            lambda link_name=link_name: told(stage.running, host(link_name)) == "no-rule-holds"
        )
    assert arrivals(stage) == before


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


def test_no_worker_dies_of_any_of_it(stage: Stage) -> None:
    """Runs last in this file."""
    assert until(lambda: "exited on signal" not in stage.running.error_log, within=0)
