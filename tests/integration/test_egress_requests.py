"""What an upstream sees of a request, and what comes back: nothing lost, nothing forged."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
import pytest

from tests.integration.running import SERVER_NAME, Material, Running, egress_spec, write_spec
from tests.integration.servers import Backend
from tests.integration.upstreams import (
    Request,
    Upstream,
    answer,
    ask,
    connect,
    read_answer,
    request_bytes,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
MIB = 1024 * 1024


def respond(request: Request) -> bytes | None:
    """Answers by path; a little of everything an upstream may say."""
    path = request.target
    if path.startswith("/status/"):
        return answer(b"the upstream's own words\n", status=f"{path[8:]} Said")
    if path == "/204":
        return b"HTTP/1.1 204 No Content\r\n\r\n"
    if path == "/304":
        return b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'
    if path == "/accel":
        return answer(b"mine", headers=[("X-Accel-Redirect", "/partner/secret")])
    if path.startswith("/redirect"):
        return answer(
            status="302 Found", headers=[("Location", dict(request.headers)["X-Location"])]
        )
    if request.method == "HEAD":
        return b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"
    return answer(b"ok\n")


@dataclass
class World:
    """One running egress with many links; `link()` is where a link listens."""

    running: Running
    folder: Path
    upstream: Upstream
    partner: Upstream
    backend: Backend
    workers: list[int]

    def link(self, name: str) -> Path:
        return self.folder / f"{name}.sock"

    def files(self) -> list[str]:
        """Temporary files that are open: nginx takes their names away at once, so only its
        descriptors show them."""
        temporary = str(self.running.state / "nginx" / "temp")
        found = []
        for worker in self.workers:
            for descriptor in Path(f"/proc/{worker}/fd").iterdir():
                with contextlib.suppress(OSError):
                    found.append(str(descriptor.readlink()))
        return [path for path in found if path.startswith(temporary)]


@pytest.fixture(scope="module")
def world(material: Material, nginx_build: Path) -> Iterator[World]:
    folder = material.folder / f"requests-{nginx_build.parent.name}"
    sockets = folder / "s"
    material.add("original", sans=["original.example"])
    server = material.pair("server-a")
    with (
        Upstream(server, material.folder / "ca.pem", respond) as upstream,
        Upstream(server, material.folder / "ca.pem") as partner,
        Backend(server, material.folder / "ca.pem") as backend,
    ):
        spec = egress_spec(material, "", "")
        template = spec["egress"][0]

        def link(name: str, port: int, **more: Any) -> dict[str, Any]:
            return {
                **template,
                "name": name,
                "listen": f"unix:{sockets}/{name}.sock",
                "upstream": f"https://127.0.0.1:{port}",
                **more,
            }

        partner_url = f"https://127.0.0.1:{partner.port}"
        spec["egress"] = [
            link(
                "plain",
                upstream.port,
                routes=[
                    {
                        "path": "/partner/",
                        "upstream": partner_url,
                        "identity": "svc-x",
                        "verify": {"name": SERVER_NAME},
                    }
                ],
            ),
            link("preserve", upstream.port, host="preserve"),
            link("backend", backend.port),
            link("unbuffered", backend.port, buffering=False),
            link(
                "original",
                upstream.port,
                original_certificate={"from": "x-ssl-cert", "trusted": ["unix"]},
            ),
            link("small", upstream.port, limits={"body": "1k", "header": "1k"}),
            link("rated", upstream.port, limits={"rate": {"requests": 1, "per": "minute"}}),
            link("few", backend.port, limits={"connections": 1}),
            link("impatient", backend.port, timeouts={"read": "300ms"}),
        ]
        path = write_spec(material.folder, f"requests-{nginx_build.parent.name}", spec)
        with Running(path, nginx_build) as running:
            workers = running.status()["nginx"]["workers"]
            yield World(running, sockets, upstream, partner, backend, workers)


def test_forwarding_headers_are_set_anew_and_identity_headers_removed(world: World) -> None:
    forged = [
        ("X-Real-IP", "6.6.6.6"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Port", "1"),
        ("X-Request-ID", "forged"),
        ("Forwarded", "for=6.6.6.6"),
        ("X-Client-Cert", "forged"),
        ("X-SSL-Cert", "forged"),
        ("X_Client_Cert", "forged"),
        ("Client-Cert", "forged"),
        ("X-Forwarded-Client-Cert", "forged"),
        ("X-Original-Client-Cert", "forged"),
        ("Proxy", "http://evil.example"),
        ("X-Kept", "kept"),
    ]
    assert ask(world.link("plain"), "/x", headers=forged).status == 200
    seen = world.upstream.last
    assert not [name for name, value in seen.headers if "forged" in value or "6.6.6.6" in value]
    assert not [name for name, value in seen.headers if "evil" in value]
    assert seen.values("X-Kept") == ["kept"]
    assert seen.values("X-Forwarded-Proto") == ["http"]
    assert seen.values("X-Forwarded-Host") == ["localhost"]
    (request_id,) = seen.values("X-Request-ID")
    assert len(request_id) == 32
    # The peer of a socket has no address, and `unix:` is none.
    assert seen.values("X-Real-IP") == seen.values("X-Forwarded-For") == []


def test_the_upstream_sees_its_own_name_as_sni_and_host_with_the_port(world: World) -> None:
    ask(world.link("plain"), host="127.0.0.1")
    assert world.upstream.last.values("Host") == [f"{SERVER_NAME}:{world.upstream.port}"]
    assert world.upstream.last.sni == SERVER_NAME
    assert world.upstream.last.values("Connection") == []


def test_the_callers_host_is_passed_on_only_when_asked(world: World) -> None:
    ask(world.link("preserve"), host="localhost:81")
    assert world.upstream.last.values("Host") == ["localhost:81"]
    assert world.upstream.last.sni == SERVER_NAME


@pytest.mark.parametrize(
    "target",
    [
        "/a%2fb%2Fc",
        "//double//slash",
        "/a/../b/./c",
        "/%C3%A9/caf\u00e9",
        "/a;b=c?d=%26&e=f+g#h",
        "/" + "long/" * 2400,
        "/%00%5c",
        "/?",
    ],
)
def test_a_path_is_passed_on_as_it_came(world: World, target: str) -> None:
    got = ask(world.link("plain"), target)
    if "%00" in target:  # nginx itself refuses a NUL
        assert got.status == 400
        return
    assert got.status == 200
    assert world.upstream.last.target == target


def test_a_header_line_above_the_limit_is_refused(world: World) -> None:
    assert ask(world.link("small"), headers=[("X-Long", "x" * 500)]).status == 200
    assert ask(world.link("small"), headers=[("X-Long", "x" * 5000)]).status == 400
    assert ask(world.link("plain"), headers=[("X-Long", "x" * 15_000)]).status == 200
    assert ask(world.link("plain"), headers=[("X-Long", "x" * 17_000)]).status == 400


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "PUT", "PATCH", "PROPFIND"])
def test_methods_pass(world: World, method: str) -> None:
    got = ask(world.link("plain"), "/m", method=method)
    assert got.status == 200
    assert world.upstream.last.method == method
    if method == "HEAD":
        assert (got.header("Content-Length"), got.body) == ("1234", b"")


def test_trace_is_refused(world: World) -> None:
    before = len(world.upstream.seen)
    assert ask(world.link("plain"), method="TRACE").status == 405
    assert len(world.upstream.seen) == before


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_body_pass_and_the_connection_lives_on(world: World, status: int) -> None:
    with connect(world.link("plain")) as connection:
        for _ in range(2):
            connection.sendall(request_bytes(f"/{status}"))
            assert read_answer(connection).status == status


@pytest.mark.parametrize("status", [401, 404, 413, 429, 500, 502, 503, 504])
def test_an_upstreams_own_failure_is_not_replaced(world: World, status: int) -> None:
    got = ask(world.link("plain"), f"/status/{status}")
    assert (got.status, got.body) == (status, b"the upstream's own words\n")
    assert got.header("X-Handclasp-Link") is None


def test_an_upstream_cannot_command_nginx_to_ask_another_route(world: World) -> None:
    before = len(world.partner.seen)
    got = ask(world.link("plain"), "/accel")
    assert (got.status, got.body) == (200, b"mine")
    assert len(world.partner.seen) == before


def test_a_route_takes_its_own_upstream_and_identity_and_the_bare_path_is_not_redirected(
    world: World,
) -> None:
    assert ask(world.link("plain"), "/partner/x").body == f"svc-x {SERVER_NAME}\n".encode()
    assert world.partner.last.target == "/partner/x"
    assert ask(world.link("plain"), "/partner", method="POST", body=b"kept").status == 200
    assert (world.upstream.last.target, world.upstream.last.body) == ("/partner", b"kept")
    assert world.upstream.last.peer == "svc-b"


def test_a_redirect_of_the_upstream_to_itself_leads_back_through_the_link(world: World) -> None:
    def followed(location: str) -> str | None:
        got = ask(
            world.link("plain"),
            "/redirect",
            host="localhost:81",
            headers=[("X-Location", location)],
        )
        assert got.status == 302
        return got.header("Location")

    own = f"https://{SERVER_NAME}:{world.upstream.port}"
    assert followed(f"{own}/login?a=b") == "http://localhost:81/login?a=b"
    assert followed("/relative") == "/relative"
    assert followed("https://elsewhere.example/") == "https://elsewhere.example/"
    assert followed(f"https://{SERVER_NAME}/other-port") == f"https://{SERVER_NAME}/other-port"


def test_the_original_certificate_passes_from_a_trusted_socket_only(
    world: World, material: Material
) -> None:
    original = quote(material.client.pem.decode(), safe="")
    headers = [("X-SSL-CERT", original), ("X-Original-Client-Cert", "forged")]
    ask(world.link("original"), headers=headers)
    assert world.upstream.last.values("X-Original-Client-Cert") == [original]
    assert world.upstream.last.values("X-SSL-CERT") == []
    ask(world.link("plain"), headers=headers)
    assert world.upstream.last.values("X-Original-Client-Cert") == []


def test_limits_answer_413_and_429_and_say_whose_they_are(world: World) -> None:
    assert ask(world.link("small"), method="POST", body=b"x" * 1024).status == 200
    got = ask(world.link("small"), method="POST", body=b"x" * 1025)
    assert got.status == 413
    assert "link small" in got.text
    assert ask(world.link("rated")).status == 200
    got = ask(world.link("rated"), headers=[("Accept", "application/json")])
    assert (got.status, got.header("Content-Type")) == (429, "application/json")
    told = json.loads(got.body)
    assert (told["error"], told["link"]) == ("too-many-requests", "rated")


def test_connections_above_the_limit_are_refused(world: World) -> None:
    with connect(world.link("few")) as first:
        first.sendall(request_bytes("/slow/1"))
        time.sleep(0.2)
        assert ask(world.link("few"), "/x").status == 429
        assert read_answer(first).status == 200
    time.sleep(0.05)
    assert ask(world.link("few"), "/x").status == 200


def test_a_silent_upstream_is_given_up_after_the_read_timeout(world: World) -> None:
    started = time.monotonic()
    got = ask(world.link("impatient"), "/slow/3")
    assert got.status == 504
    assert 0.25 < time.monotonic() - started < 2
    assert got.header("X-Handclasp-Link") == "impatient"
    assert (got.header("X-Request-ID") or "") in got.text
    assert ask(world.link("backend"), "/slow/0.6").status == 200


def test_expect_100_continue_is_answered(world: World) -> None:
    with connect(world.link("plain")) as connection:
        connection.sendall(
            b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(b"hello")
        assert read_answer(connection).status == 200
    assert world.upstream.last.body == b"hello"
    assert world.upstream.last.values("Expect") == []


def test_a_websocket_is_carried(world: World) -> None:
    async def talk() -> list[str]:
        connector = aiohttp.UnixConnector(str(world.link("backend")))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.ws_connect("http://localhost/ws") as channel,
        ):
            heard = []
            for word in ("one", "two"):
                await channel.send_str(word)
                heard.append(await channel.receive_str())
            return heard

    assert asyncio.run(talk()) == ["ONE", "TWO"]


def test_other_upgrades_are_not_passed_on(world: World) -> None:
    headers = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
    ]
    assert ask(world.link("plain"), "/h2c", headers=headers).status == 200
    assert world.upstream.last.values("Upgrade") == []
    assert world.upstream.last.values("Connection") == []


def _arrivals(where: Path, target: str) -> list[float]:
    """When pieces of the body came in, counted from the first."""
    with connect(where) as connection:
        connection.sendall(request_bytes(target))
        moments: list[float] = []
        data = b""
        while b"data: 2" not in data:
            piece = connection.recv(65536)
            assert piece
            data += piece
            if b"data:" in piece:
                moments.append(time.monotonic())
    return [moment - moments[0] for moment in moments]


def test_chunked_events_arrive_one_by_one_with_default_buffering(world: World) -> None:
    arrivals = _arrivals(world.link("backend"), "/events/3")
    assert len(arrivals) == 3
    assert arrivals[2] > 0.3


def test_a_stream_of_known_length_is_passed_on_at_once_without_buffering(
    world: World, material: Material
) -> None:
    arrivals = _arrivals(world.link("unbuffered"), "/framed/3")
    assert len(arrivals) == 3
    assert arrivals[2] > 0.3
    # The twin: by default such an answer is collected first.
    assert len(_arrivals(world.link("backend"), "/framed/3")) == 1


def test_large_bodies_pass_both_ways_and_never_touch_the_disk(world: World) -> None:
    size = 64 * MIB
    piece = os.urandom(MIB)
    digest = hashlib.sha256(piece * 64).hexdigest()
    found: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            found.extend(world.files())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        with connect(world.link("backend"), timeout=60) as connection:
            connection.sendall(
                b"POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            for _ in range(64):
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            connection.sendall(b"0\r\n\r\n")
            told = json.loads(read_answer(connection, "POST").body)
        assert (told["body_size"], told["body_sha256"]) == (size, digest)
        with connect(world.link("backend"), timeout=60) as connection:
            connection.sendall(request_bytes(f"/bytes/{size}"))
            received = 0
            time.sleep(0.3)  # a slow reader is what makes proxies spool
            response = connection.makefile("rb")
            while response.readline() != b"\r\n":
                pass
            while length := int(response.readline(), 16):
                received += len(response.read(length))
                response.readline()
        assert received == size
    finally:
        done.set()
        looking.join()
    assert found == []


def test_a_body_reaches_the_upstream_while_it_is_still_being_sent(world: World) -> None:
    with connect(world.link("backend")) as connection:
        before = len(world.backend.seen)
        connection.sendall(
            b"POST /echo-start HTTP/1.1\r\nHost: localhost\r\nContent-Length: 131072\r\n\r\n"
        )
        connection.sendall(b"x" * 65536)
        deadline = time.monotonic() + 5
        while world.backend.begun <= before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert world.backend.begun > before
        assert len(world.backend.seen) == before
        connection.sendall(b"x" * 65536)
        assert read_answer(connection, "POST").status == 200


def test_two_requests_on_one_connection_share_nothing_but_the_connection(world: World) -> None:
    with connect(world.link("plain")) as connection:
        connection.sendall(request_bytes("/one") + request_bytes("/partner/two"))
        first = read_answer_pipelined(connection, 2)
    assert first == [200, 200]
    assert (world.upstream.last.target, world.partner.last.target) == ("/one", "/partner/two")


def read_answer_pipelined(connection: socket.socket, count: int) -> list[int]:
    """Statuses of pipelined answers with Content-Length."""
    stream = connection.makefile("rb")
    statuses = []
    for _ in range(count):
        statuses.append(int(stream.readline().split()[1]))
        size = 0
        while (line := stream.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        stream.read(size)
    return statuses
