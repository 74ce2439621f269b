"""Real servers, asked straight: callers with the proxy's headers, and callers who forge them."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.backend.callers import CASES, caller, facts, headers, replaced
from tests.backend.serving import ASGI, SERVERS, WSGI, ask, connect, serving
from tests.integration.ingress_stage import ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.backend.serving import Place

pytestmark = pytest.mark.integration

APPLICATION = {
    "uvicorn": ASGI,
    "hypercorn": ASGI,
    "granian": ASGI,
    "gunicorn": WSGI,
    "waitress": WSGI,
}
TOLD = headers("x-client-cert")
PEM = TOLD[0][1]


@pytest.fixture(scope="module")
def trusted(place: Path) -> Iterator[dict[str, Place]]:
    """Each server on a unix socket that is trusted."""
    with contextlib.ExitStack() as stack:
        yield {
            server: stack.enter_context(
                serving(server, APPLICATION[server], place / f"{server}.sock")
            )
            for server in SERVERS
        }


@pytest.fixture(scope="module")
def untrusted(place: Path) -> Iterator[dict[str, list[Place]]]:
    """Each server on a port, trusting unix sockets alone, and on a unix socket, trusting networks."""
    with contextlib.ExitStack() as stack:
        yield {
            server: [
                stack.enter_context(serving(server, APPLICATION[server], port)),
                stack.enter_context(
                    serving(
                        server,
                        APPLICATION[server],
                        place / f"{server}-networks.sock",
                        variables={"HANDCLASP_TEST_TRUSTED": "loopback,10.0.0.0/8"},
                    )
                ),
            ]
            for server, port in zip(SERVERS, ports(len(SERVERS)), strict=True)
        }


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("case", CASES)
def test_the_proxys_headers_are_believed(trusted: dict[str, Place], server: str, case: str) -> None:
    answer = ask(trusted[server], headers("x-client-cert", case))
    assert answer.status == 200
    assert json.loads(answer.body) == {
        "subject": facts(case).subject,
        "spiffe_id": f"spiffe://example.org/{'twenty' if case == 'twenty-sans' else 'svc-b'}",
        "sha256": facts(case).sha256,
    }


@pytest.mark.parametrize("server", SERVERS)
def test_nobody_else_can_tell_anything(untrusted: dict[str, list[Place]], server: str) -> None:
    for place in untrusted[server]:
        for forged in (TOLD, [], [*TOLD, ("X-Forwarded-For", "unix"), ("X-Real-IP", "")]):
            answer = ask(place, forged)
            assert answer.status == 403
            assert b"untrusted-peer" in answer.body


@pytest.mark.parametrize("server", SERVERS)
def test_a_peer_that_hangs_up_at_once_is_not_taken_for_a_unix_socket(
    server: str, tmp_path: Path
) -> None:
    """The server cannot ask who a peer is that has gone, and tells the application of none."""
    (port,) = ports(1)
    reached = tmp_path / "reached"
    request = "\r\n".join(
        ["GET / HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in TOLD)]
    )
    variables = {"HANDCLASP_TEST_REACHED": str(reached)}
    with serving(server, APPLICATION[server], port, variables=variables):
        for _ in range(20):
            connection = connect(port)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(request.encode("latin-1") + b"\r\n\r\n")
            connection.close()
        assert ask(port, TOLD).status == 403
    assert not reached.exists()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    "more",
    [
        pytest.param(TOLD[:1], id="certificate twice"),
        pytest.param(headers("x-client-cert", "hostile"), id="somebody else's besides"),
        pytest.param([("x-client-cert", "")], id="an empty one besides"),
        pytest.param([("X-Client-Verify", "SUCCESS")], id="verdict twice"),
        pytest.param([("x-cLIENT-sUBJECT", "CN=admin")], id="subject twice"),
    ],
)
def test_what_comes_twice_is_refused(
    trusted: dict[str, Place], server: str, more: list[tuple[str, str]]
) -> None:
    for told in ([*TOLD, *more], [*more, *TOLD]):
        answer = ask(trusted[server], told)
        assert answer.status == 400
        assert b"refused" in answer.body


@pytest.mark.parametrize("server", SERVERS)
def test_underscores_never_add_to_what_is_told(trusted: dict[str, Place], server: str) -> None:
    """Refused where the server lets them through, without effect where it drops them."""
    forged = [
        (name.replace("-", "_"), value) for name, value in headers("x-client-cert", "hostile")
    ]
    alone = ask(trusted[server], forged)
    assert alone.status in (400, 403)
    besides = ask(trusted[server], [*TOLD, *forged])
    if APPLICATION[server] == ASGI:
        assert besides.status == 400
    else:
        assert besides.status == 200
        assert json.loads(besides.body)["sha256"] == facts("p256").sha256


@pytest.mark.parametrize("server", SERVERS)
def test_folded_lines_never_make_an_identity(trusted: dict[str, Place], server: str) -> None:
    """RFC 9112 section 5.2: servers refuse them or make a blank of them."""
    folded = caller().pem.decode().strip().replace("\n", "\r\n\t")
    raw = ask(trusted[server], TOLD[1:], lines=[f"X-Client-Cert: {folded}"])
    assert raw.status in (0, 400)
    hidden = ask(trusted[server], [("X-Other", "x")], lines=[f" X-Client-Cert: {PEM}"])
    assert hidden.status in (0, 400, 403)
    broken = ask(trusted[server], TOLD[1:], lines=[f"X-Client-Cert: {PEM[:64]}", f" {PEM[64:]}"])
    assert broken.status in (0, 400)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("dialect", ["x-ssl-cert", "rfc9440", "xfcc", "ingress-nginx", "handclasp"])
def test_another_dialect_is_no_identity(
    trusted: dict[str, Place], server: str, dialect: str
) -> None:
    answer = ask(trusted[server], headers(dialect))
    assert (answer.status, b"no-identity" in answer.body) == (403, True)
    both = ask(trusted[server], [*TOLD, *headers(dialect, "rsa4096")])
    assert both.status in (200, 400, 431)  # several of them have a limit for all headers
    if both.status == 200:
        assert json.loads(both.body)["sha256"] == facts("p256").sha256


@pytest.mark.parametrize("server", SERVERS)
def test_a_failed_verification_is_refused(trusted: dict[str, Place], server: str) -> None:
    for verdict, status in (("FAILED:expired", 403), ("NONE", 400), (None, 400)):
        told = replaced(TOLD, "X-Client-Verify", verdict)
        assert ask(trusted[server], told).status == status


def test_uvicorn_as_it_comes_is_told_to_leave_the_peer_alone() -> None:
    """By default it takes the peer's address from X-Forwarded-For of a loopback peer."""
    (port,) = ports(1)
    loopback = {"HANDCLASP_TEST_TRUSTED": "loopback"}
    with serving("uvicorn-as-it-comes", ASGI, port, variables=loopback):
        assert ask(port, TOLD).status == 200
        for address in ("10.1.2.3", "127.0.0.1", "127.0.0.1:4711"):
            answer = ask(port, [*TOLD, ("X-Forwarded-For", address)])
            assert (answer.status, b"rewritten-peer" in answer.body) == (403, True)


# What Python's int takes for a port, and hosts in other clothes.
SPELLINGS = (
    *("{}", "{}:4711", "{}:04711", "{}:+4711", "{}: 4711", "{}:4_711", "{}:-1", "{}:0"),
    *("[{}]:4711", "[{}]:04711", "[{}]: 7", "[{}]:+7", ",{}:1", "{}:07,10.9.9.9", "{}:07 "),
)


@pytest.mark.parametrize("server", ["uvicorn-as-it-comes", "gunicorn-uvicorn"])
def test_uvicorn_that_believes_everybody_cannot_be_talked_into_trust(server: str) -> None:
    (port,) = ports(1)
    variables = {"HANDCLASP_TEST_TRUSTED": "10.0.0.5,::1,unix", "FORWARDED_ALLOW_IPS": "*"}
    with serving(server, ASGI, port, variables=variables):
        assert ask(port, TOLD).status == 403
        for address in ("unix", "", *(one.format("10.0.0.5") for one in SPELLINGS)):
            assert ask(port, [*TOLD, ("X-Forwarded-For", address)]).status == 403
        for address in ("::1", "[::1]", "[::1]:07", "[0:0::1]:07", "[::ffff:10.0.0.5]:07"):
            assert ask(port, [*TOLD, ("X-Forwarded-For", address)]).status == 403
        two = [("X-Forwarded-For", "10.0.0.5:07"), ("X-Forwarded-For", "x")]
        assert ask(port, [*TOLD, *two]).status == 403


def test_uvicorn_as_it_comes_does_not_make_a_stranger_loopback() -> None:
    (port,) = ports(1)
    with serving(
        "uvicorn-as-it-comes", ASGI, port, variables={"HANDCLASP_TEST_TRUSTED": "loopback"}
    ):
        for spelling in SPELLINGS:
            told = [*TOLD, ("X-Forwarded-For", spelling.format("127.0.0.1"))]
            assert ask(port, told).status == 403


@pytest.mark.parametrize(
    "address", ["localhost", "[localhost]", '"localhost"', '"local\\host"', "[]", "[]:5.", '"[]"']
)
def test_waitress_on_a_port_cannot_be_told_that_it_is_a_unix_socket(
    forwarding: int, address: str
) -> None:
    for more in ([], [("X-Forwarded-Port", "/run/app.sock")]):
        answer = ask(forwarding, [*TOLD, ("X-Forwarded-For", address), *more])
        assert (answer.status, b"rewritten-peer" in answer.body) == (403, True)


@pytest.fixture(scope="module")
def forwarding() -> Iterator[int]:
    """waitress that takes the peer's address from X-Forwarded-For of everybody."""
    (port,) = ports(1)
    with serving("waitress-forwarding", WSGI, port):
        yield port


def test_gunicorns_own_asgi_worker_is_known_on_a_unix_socket_with_a_relative_path(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells the first two characters of the path as the server's host and port."""
    monkeypatch.chdir(place)
    (port,) = ports(1)
    for path in (Path("r1.sock"), Path("1"), Path("run.sock"), place / "asgi.sock"):
        with serving("gunicorn-asgi", ASGI, path, working=place):
            assert ask(path, TOLD).status == 200
            assert ask(path, TOLD[:1]).status == 400
    with serving("gunicorn-asgi", ASGI, port):
        assert ask(port, TOLD).status == 403


BEFORE = ["X-Before: x"]  # what a folded line would go on from


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    "line",
    [
        f"X-Client-Cert : {PEM}",
        f" X-Client-Cert: {PEM}",
        f"X-Client-Cert\0: {PEM}",
        f"X-Client-Cert\x0b: {PEM}",
        f"X-Client-Cert:\0{PEM}",
        f"X-Client.Cert: {PEM}",
        f"X-Other: x\rX-Client-Cert: {PEM}",
        f"X-Other: x\nX-Client-Cert: {PEM[:-3]}",
    ],
)
def test_odd_spellings_of_a_header_line_are_no_second_way_in(
    trusted: dict[str, Place], server: str, line: str
) -> None:
    """Beside a whole identity: the server refuses the line, or it changes nothing."""
    answer = ask(trusted[server], TOLD, lines=[*BEFORE, line])
    assert answer.status in (0, 200, 400)
    if answer.status == 200:
        assert json.loads(answer.body)["sha256"] == facts("p256").sha256
    alone = ask(trusted[server], [], lines=[*BEFORE, line])
    assert alone.status in (0, 400, 403)


TRAILERS = [
    *("Transfer-Encoding: chunked", "Trailer: X-Client-Cert", "", "1", "x", "0"),
    *(f"{name}: {value}" for name, value in TOLD),
]


@pytest.mark.parametrize("server", SERVERS)
def test_trailers_tell_of_nobody(trusted: dict[str, Place], server: str) -> None:
    assert ask(trusted[server], [], lines=TRAILERS).status in (0, 400, 403)


def test_trailers_that_a_server_takes_for_headers_contradict_the_proxys_verdict(
    place: Path,
) -> None:
    """uvicorn with httptools adds trailers to the headers; nginx passes none on, and always says
    whether there was a certificate.
    """
    with serving("uvicorn-as-it-comes", ASGI, place / "httptools.sock") as server:
        told = [("X-Client-Verify", "NONE")]
        assert ask(server, told).status == 403
        assert ask(server, told, lines=TRAILERS).status == 400
        assert ask(server, TOLD, lines=TRAILERS).status == 400
