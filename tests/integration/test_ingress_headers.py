"""What the backend is told: our identity headers with our values, and nothing of the kind from callers."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from handclasp.backend.dialects import DIALECTS, stripped_headers
from handclasp.certs.dn import issuer_text, subject_text
from handclasp.nginx.features import Feature
from tests import pki
from tests.integration.http2_client import Http2Client
from tests.integration.ingress_stage import (
    NAMES,
    SERVER,
    RecordingBackend,
    Stage,
    link,
    ports,
    running_stage,
    spec_of,
)
from tests.integration.servers import Backend, Seen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.ingress_stage import Answer
    from tests.integration.running import Material

pytestmark = pytest.mark.integration

FORGED = "forged-by-the-caller"
RECORDED = "recorded.example.com"
CUSTOM = {"certificate": "X-Our-Certificate", "verify": "X-Our-Verdict"}
# What a backend may see beside the request's own headers.
OURS = {
    name.lower()
    for dialect in ("x-client-cert", "x-ssl-cert")
    for name in DIALECTS[dialect].fields.values()
} | {
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
}
RENAMED = {name.lower() for name in CUSTOM.values()}
FORGEABLE = stripped_headers(("x-our-certificate", "x-our-verdict", "x-earlier-hop"))


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    material.add("gateway")
    (port,) = ports(1)
    listen = f"127.0.0.1:{port}"
    with Backend() as backend, RecordingBackend() as recorder:
        url = f"http://127.0.0.1:{backend.port}"
        named = [{"dialect": "x-client-cert", "headers": CUSTOM}]
        optional = {"trust": "company", "verify": "optional", "allow": "any"}
        links = [
            link("api", listen, url, server_names=[SERVER]),
            link("custom", listen, url, forward=named),
            link("mute", listen, url, forward=[]),
            link("recorded", listen, f"http://127.0.0.1:{recorder.port}"),
            link("optional", listen, url, clients=optional),
            link(
                "hop",
                listen,
                url,
                original_certificate={"trusted": ["cn:gateway"]},
            ),
            link(
                "hop-renamed",
                listen,
                url,
                original_certificate={
                    "from": "x-ssl-cert",
                    "to": "X-Earlier-Hop",
                    "trusted": ["dn:CN=gateway,O=Example Org"],
                },
                forward=["x-client-cert"],
            ),
        ]
        servers = {"backend": backend, "recorder": recorder}
        spec = spec_of(material, links)
        with running_stage(material, nginx_build, "headers", spec, port, **servers) as running:
            yield running


def last(stage: Stage) -> Seen:
    seen: Seen = stage.extra["backend"].last
    return seen


def assert_nothing_forged(seen: Seen) -> None:
    told = [pair for pair in seen.headers if FORGED in pair[1]]
    assert told == []
    names = [name.lower().replace("_", "-") for name, _ in seen.headers]
    assert [name for name in names if name in FORGEABLE and name not in {*OURS, *RENAMED}] == []
    for name in {*OURS, *RENAMED}:
        assert names.count(name) <= 1


def test_every_field_is_that_of_the_certificate(stage: Stage, material: Material) -> None:
    assert stage.caller.get("/", credentials=stage.pair()).status == 200
    certificate = material.client.certificate
    fields = {
        "certificate": None,
        "verify": "SUCCESS",
        "subject": subject_text(certificate),
        "issuer": issuer_text(certificate),
        "serial": f"{certificate.serial_number:X}".rjust(
            len(f"{certificate.serial_number:X}") + len(f"{certificate.serial_number:X}") % 2, "0"
        ),
        "fingerprint": certificate.fingerprint(hashes.SHA1()).hex(),
        "not_after": certificate.not_valid_after_utc.strftime("%b %e %H:%M:%S %Y GMT"),
    }
    for dialect in ("x-client-cert", "x-ssl-cert"):
        for field, name in DIALECTS[dialect].fields.items():
            (value,) = last(stage).values(name)
            if field == "certificate":
                assert x509.load_pem_x509_certificate(unquote(value).encode()) == certificate
                assert value == value.strip()
                assert "%0A" in value
            else:
                assert value == fields[field], name


def test_header_names_of_the_spec_replace_those_of_the_dialect(
    stage: Stage, material: Material
) -> None:
    assert stage.caller.get("/", sni="custom.example.com", credentials=stage.pair()).status == 200
    (value,) = last(stage).values("X-Our-Certificate")
    assert x509.load_pem_x509_certificate(unquote(value).encode()) == material.client.certificate
    assert last(stage).values("X-Our-Verdict") == ["SUCCESS"]
    assert last(stage).values("X-Client-Cert") == last(stage).values("X-Client-Verify") == []
    assert last(stage).values("X-Client-Subject") == ["CN=svc-b,O=Example Org"]


def test_a_link_that_forwards_nothing_tells_nothing(stage: Stage) -> None:
    assert stage.caller.get("/", sni="mute.example.com", credentials=stage.pair()).status == 200
    assert [name for name, _ in last(stage).headers if name.lower() in OURS - {"x-real-ip"}] == [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
    ]


def test_an_optional_caller_without_certificate_is_marked_so(stage: Stage) -> None:
    forged = [("X-Client-Verify", "SUCCESS"), ("X-Client-Subject", FORGED), ("X-SSL-CERT", FORGED)]
    answer = stage.caller.get("/", sni="optional.example.com", headers=forged)
    assert answer.status == 200
    assert last(stage).values("X-Client-Verify") == ["NONE"]
    assert last(stage).values("X-SSL-Client-Verify") == ["NONE"]
    assert last(stage).values("X-Client-Cert") == last(stage).values("X-Client-Subject") == []
    assert_nothing_forged(last(stage))


def spellings(name: str) -> tuple[str, ...]:
    rng = random.Random(name)
    mixed = "".join(rng.choice((char.lower(), char.upper())) for char in name)
    return name, name.upper(), name.title(), mixed


@pytest.mark.parametrize("path", ["/", "/no/such/path", "/status/404", "/x.php?a=b"])
@pytest.mark.parametrize("link_name", ["servera", "custom", "mute", "optional", "hop"])
def test_no_identity_header_of_any_dialect_gets_through(
    stage: Stage, link_name: str, path: str
) -> None:
    """All names in hyphen and underscore spelling, four ways of letters, each twice, in three requests."""
    sni = f"{link_name}.example.com"
    lines = [f"{one}: {FORGED}" for name in FORGEABLE for one in spellings(name)]
    for part in range(0, len(lines), 300):
        batch = lines[part : part + 300]
        start = [f"GET {path} HTTP/1.1", f"Host: {sni}", "Connection: close"]
        request = "\r\n".join([*start, *batch, *batch[:40], "", ""])
        (answer,) = stage.caller.send(request.encode(), sni=sni, credentials=stage.pair())[:1]
        assert answer.status in (200, 404)
        assert_nothing_forged(last(stage))
        if link_name != "mute":
            verdict = "X-Our-Verdict" if link_name == "custom" else "X-Client-Verify"
            assert last(stage).values(verdict) == ["SUCCESS"]


@pytest.mark.parametrize(
    "line",
    [
        "X-Client-Cert : {0}",
        "X-Client-Cert\t: {0}",
        " X-Client-Cert: {0}",
        "X-Client-Cert:{0}\r\n\t{0}",
        "X-Nothing: a\r\n X-Client-Cert: {0}",
        "X-Nothing: a\r\n\tX-Client-Verify: {0}",
        "X-Nothing: a\rX-Client-Cert: {0}",
        "X-Nothing: a\nX-Client-Cert: {0}",
        "X.Client.Cert: {0}",
        "X-Client-Cert\x00: {0}",
        "X-Client-Cert\x0b: {0}",
        "\x0bX-Client-Cert: {0}",
        "X-Cl\xedent-Cert: {0}",
        "X_Client-Cert: {0}",
        "X-Client_Cert: {0}",
        "X_SSL_CLIENT_VERIFY: {0}",
        "$WSCC: {0}",
        ": {0}",
        "X-Client-Cert\r\n: {0}",
        "X-Client-Cert:\r\nX-Client-Cert: {0}",
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_odd_spellings_are_refused_or_dropped(stage: Stage, line: str, version: str) -> None:
    before = len(stage.extra["backend"].seen)
    start = f"GET / HTTP/{version}\r\nHost: {SERVER}\r\nConnection: close\r\n"
    head = f"{start}{line.format(FORGED)}\r\n\r\n"
    answers = stage.caller.send(head.encode("latin-1"), credentials=stage.pair())
    if len(stage.extra["backend"].seen) == before:
        assert all(answer.status == 400 for answer in answers)
        return
    assert [answer.status for answer in answers] == [200]
    seen = last(stage)
    assert seen.values("X-Client-Verify") == ["SUCCESS"]
    for name, value in seen.headers:
        assert FORGED not in value or name == "X-Nothing"
    assert not any("client" in name.lower() and "_" in name for name, _ in seen.headers)


TRAILERS = f"X-Client-Cert: {FORGED}\r\nX-Client-Verify: {FORGED}\r\nX-SSL-CERT: {FORGED}\r\n"


def with_trailers(host: str) -> bytes:
    """A request whose identity headers come after its body."""
    return (
        f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n"
        "Trailer: X-Client-Cert\r\nTE: trailers\r\nConnection: close\r\n\r\n"
        f"5\r\nhello\r\n0\r\n{TRAILERS}\r\n"
    ).encode()


def test_identity_headers_in_trailers_do_not_arrive(stage: Stage) -> None:
    recorder = stage.extra["recorder"]
    (answer,) = stage.caller.send(with_trailers(RECORDED), sni=RECORDED, credentials=stage.pair())
    assert answer.status == 200
    assert b"hello" in recorder.requests[-1]
    assert FORGED.encode() not in recorder.requests[-1]


def test_the_recording_backend_would_see_trailers(stage: Stage) -> None:
    """Else the claims about trailers could not fail."""
    recorder = stage.extra["recorder"]
    with socket.create_connection(("127.0.0.1", recorder.port), 10) as connection:
        connection.sendall(with_trailers("localhost"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert recorder.requests[-1].count(FORGED.encode()) == 3


@pytest.mark.parametrize(
    "listed",
    [
        "X-Client-Cert",
        "close, X-Client-Cert, X-Client-Verify, X-SSL-CERT",
        "keep-alive, x-client-cert",
        "Host",
        "X-Forwarded-For",
    ],
)
def test_naming_our_headers_in_connection_does_not_remove_them(stage: Stage, listed: str) -> None:
    """RFC 9110 7.6.1 lets a sender list hop-by-hop headers; ours are not his to list."""
    answer = stage.caller.get("/", credentials=stage.pair(), headers=[("Connection", listed)])
    assert answer.status == 200
    for name in ("X-Client-Cert", "X-Client-Verify", "X-SSL-CERT", "X-Forwarded-For", "Host"):
        assert len(last(stage).values(name)) == 1
    assert last(stage).values("Connection") == []


@pytest.mark.parametrize("link_name", ["servera", "optional", "custom"])
def test_nothing_forged_gets_through_http2(stage: Stage, link_name: str) -> None:
    sni = f"{link_name}.example.com"
    forged = [(name, FORGED) for name in FORGEABLE]
    with Http2Client(stage.caller, sni, stage.pair()) as client:
        for part in range(0, len(forged), 120):
            answer = client.request("/", headers=forged[part : part + 120] * 2)
            assert answer.status == 200
            assert_nothing_forged(last(stage))


@pytest.mark.parametrize("name", ["X-Client-Cert", "x-client-Cert", "connection", "upgrade"])
def test_http2_headers_that_http2_forbids_are_refused_or_dropped(stage: Stage, name: str) -> None:
    before = len(stage.extra["backend"].seen)
    with Http2Client(stage.caller, SERVER, stage.pair()) as client:
        client.request("/", headers=[(name, FORGED)])
    if len(stage.extra["backend"].seen) > before:
        assert_nothing_forged(last(stage))
        assert last(stage).values("X-Client-Verify") == ["SUCCESS"]


@pytest.mark.parametrize(
    ("authority", "extra", "status"),
    [
        (SERVER, [], 200),
        (SERVER.upper(), [], 200),
        ("optional.example.com", [], 421),
        ("nobody.invalid", [], 421),
        (None, [("host", SERVER)], 200),
        (None, [("host", "optional.example.com")], 421),
        ("optional.example.com", [("host", SERVER)], 421),
    ],
)
def test_the_authority_of_http2_must_be_the_negotiated_name(
    stage: Stage, authority: str | None, extra: list[tuple[str, str]], status: int
) -> None:
    with Http2Client(stage.caller, SERVER, stage.pair()) as client:
        answer = client.request("/", authority=authority, headers=extra)
    if authority == "nobody.invalid" and not stage.facts.has(Feature.REJECT_HANDSHAKE):
        assert answer.status == 0  # nobody's name: an end without an answer
        return
    assert answer.status == status or (authority and extra and answer.status == 400)


def test_http2_with_a_host_beside_the_authority_tells_the_backend_one_of_them(
    stage: Stage,
) -> None:
    before = len(stage.extra["backend"].seen)
    with Http2Client(stage.caller, SERVER, stage.pair()) as client:
        answer = client.request("/", headers=[("host", "optional.example.com")])
    if answer.status == 200:
        assert last(stage).values("Host") == [SERVER]
    else:
        assert answer.status in (400, 421)
        assert len(stage.extra["backend"].seen) == before


def test_the_certificate_of_an_earlier_hop_comes_from_a_trusted_client_only(stage: Stage) -> None:
    earlier = quote(stage.pair("svc-x")[0].read_text(), safe="")

    def told(who: str, sni: str, header: str, to: str, value: str = earlier) -> list[str]:
        headers = [(header, value)]
        answer = stage.caller.get("/", sni=sni, credentials=stage.pair(who), headers=headers)
        assert answer.status == 200
        return last(stage).values(to)

    original = "X-Original-Client-Cert"
    assert told("gateway", "hop.example.com", original, original) == [earlier]
    assert told("svc-b", "hop.example.com", original, original) == []
    assert told("gateway", SERVER, original, original) == []
    renamed = "hop-renamed.example.com"
    assert told("gateway", renamed, "X-SSL-CERT", "X-Earlier-Hop") == [earlier]
    assert told("svc-b", renamed, "X-SSL-CERT", "X-Earlier-Hop") == []
    assert told("gateway", renamed, "X-Earlier-Hop", "X-Earlier-Hop") == []
    for junk in ("hello", earlier + earlier, earlier[:-50], unquote(earlier).replace("\n", " ")):
        assert told("gateway", "hop.example.com", original, original, junk) == []
        assert told("gateway", renamed, "X-SSL-CERT", "X-Earlier-Hop", junk) == []
    # The header it came in is not passed on: there the backend would look for the caller's own.
    assert told("gateway", renamed, "X-SSL-CERT", "X-SSL-CERT") == []


def test_a_forged_hop_header_does_not_survive_next_to_an_optional_caller(stage: Stage) -> None:
    headers = [("X-Original-Client-Cert", FORGED)]
    stage.caller.get("/", sni="optional.example.com", headers=headers)
    assert_nothing_forged(last(stage))


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: servera.example.com\r\n\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 60\r\n\r\nhello",
        b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"Content-Length: 5, 5\r\n\r\nhello",
        b"Content-Length: +5\r\n\r\nhello",
        b"Content-Length: 0x5\r\n\r\nhello",
        b"Content-Length: 5 \r\n\r\nhello",
        b"Content-Length : 5\r\n\r\nhello",
        b"Content-Length: -1\r\n\r\n",
        b"Content_Length: 60\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        b"Transfer_Encoding: chunked\r\n\r\n",
        b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
        b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b'Transfer-Encoding: chunked\r\n\r\n5;x="\n"\r\nhello\r\n0\r\n\r\n',
        b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
        b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
        b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        b"\r\n",
    ],
)
def test_ambiguous_framing_is_refused_or_is_what_nginx_said_it_is(
    stage: Stage, framing: bytes
) -> None:
    """Whatever the shape, the backend sees as many requests as nginx answered, under our verdict."""
    backend = stage.extra["backend"]
    before = len(backend.seen)
    request = b"POST / HTTP/1.1\r\nHost: servera.example.com\r\n" + framing + SMUGGLED
    answers: list[Answer] = stage.caller.send(request, credentials=stage.pair())
    arrived = backend.seen[before:]
    passed = [answer for answer in answers if answer.status == 200]
    assert len(arrived) == len(passed)
    assert len(arrived) <= 2
    # The second is one that nginx itself parsed: it carries its own headers.
    for seen in arrived:
        assert seen.values("X-Client-Verify") == ["SUCCESS"]
        assert len(seen.values("Content-Length")) + len(seen.values("Transfer-Encoding")) <= 1
        assert seen.values("Upgrade") == seen.values("HTTP2-Settings") == [] or b"h2c" in framing
        assert seen.values("Upgrade") == []


def test_an_upgrade_to_something_else_than_websocket_is_not_passed_on(stage: Stage) -> None:
    for protocol in ("h2c", "websocket, h2c", "TLS/1.2", "websockets"):
        headers = [("Upgrade", protocol), ("Connection", "Upgrade")]
        assert stage.caller.get("/", credentials=stage.pair(), headers=headers).status == 200
        assert last(stage).values("Upgrade") == last(stage).values("Connection") == []
    with Http2Client(stage.caller, SERVER, stage.pair()) as client:
        client.request("/", headers=[("upgrade", "websocket")])
    assert last(stage).values("Upgrade") == []
