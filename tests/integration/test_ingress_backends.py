"""How backends are reached, what passes through unchanged, and what callers may send at most."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import hashlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]
import pytest

from tests import pki
from tests.integration.http2_client import Http2Client
from tests.integration.ingress_stage import (
    NAMES,
    FixedBackend,
    Stage,
    link,
    ports,
    read_answers,
    running_stage,
    spec_of,
)
from tests.integration.running import handclasp, write_spec
from tests.integration.servers import CHUNK, Backend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.running import Material

pytestmark = pytest.mark.integration

MEBIBYTE = 1 << 20


class _Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers with the request, reversed, and remembers what it was told of the caller."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, str]] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        self.metadata.append(dict(details.invocation_metadata))
        return grpc.unary_unary_rpc_method_handler(lambda request, _: request[::-1])


@contextlib.contextmanager
def grpc_backend() -> Iterator[tuple[int, _Echo]]:
    echo = _Echo()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((echo,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port, echo
    finally:
        server.stop(None).wait()


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path, place: Path) -> Iterator[Stage]:
    folder = material.folder
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    material.add("inner", sans=["inner.internal"], usages=[pki.SERVER])
    (port, nobody) = ports(2)
    listen = f"127.0.0.1:{port}"
    unix = place / f"backend-{port}.sock"
    with contextlib.ExitStack() as servers:
        enter = servers.enter_context
        backend = enter(Backend())
        at_unix = enter(Backend(unix=unix))
        unix.chmod(0o666)
        secure = enter(Backend(certificate=material.pair("inner")))
        mutual = enter(Backend(certificate=material.pair("inner"), client_ca=folder / "ca.pem"))
        upgrade = enter(FixedBackend(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"))
        grpc_port, echo = enter(grpc_backend())
        url = f"http://127.0.0.1:{backend.port}"
        https = f"https://127.0.0.1:{secure.port}"

        def verified(trust: str = "company", **more: Any) -> dict[str, Any]:
            name = more.pop("name", "inner.internal")
            return {"backend_tls": {"trust": trust, "verify": {"name": name}, **more}}

        links = [
            link("plain", listen, url, limits={"body": 0}),
            link("unix", listen, f"http://unix:{unix}"),
            link("secure", listen, https, **verified()),
            link("wrong-name", listen, https, **verified(name="outer.internal")),
            link("wrong-ca", listen, https, **verified("others")),
            link("not-tls", listen, f"https://127.0.0.1:{backend.port}", **verified()),
            link("no-identity", listen, f"https://127.0.0.1:{mutual.port}", **verified()),
            link(
                "mutual",
                listen,
                f"https://127.0.0.1:{mutual.port}",
                **verified(identity="svc-b"),
            ),
            link("down", listen, f"http://127.0.0.1:{nobody}"),
            link("upgrade", listen, f"http://127.0.0.1:{upgrade.port}"),
            link("grpc", listen, f"grpc://127.0.0.1:{grpc_port}"),
            link("grpc-down", listen, f"grpc://127.0.0.1:{nobody}"),
            link(
                "grpc-limited",
                listen,
                f"grpc://127.0.0.1:{grpc_port}",
                limits={"body": "1k", "rate": {"requests": 1, "per": "minute", "burst": 1}},
            ),
            link("limited", listen, url, limits={"body": "10k", "header": "2k"}),
            link("default", listen, url),
            link("unbuffered", listen, url, buffering=False),
            link("narrow", listen, url, clients={"trust": "company", "allow": ["cn:nobody"]}),
            link(
                "rated", listen, url, limits={"rate": {"requests": 1, "per": "minute", "burst": 1}}
            ),
            link("counted", listen, url, limits={"connections": 1}),
        ]
        spec = spec_of(material, links)
        spec["identities"]["svc-b"] = material.identity("svc-b")
        enter_stage = running_stage(
            material,
            nginx_build,
            "backends",
            spec,
            port,
            backend=backend,
            unix=at_unix,
            secure=secure,
            mutual=mutual,
            echo=echo,
        )
        yield enter(enter_stage)


def status(stage: Stage, name: str, path: str = "/", **more: Any) -> int:
    return stage.caller.get(
        path, sni=f"{name}.example.com", credentials=stage.pair(), **more
    ).status


def test_backends_over_http_unix_and_verified_https(stage: Stage) -> None:
    for name, key, host in (
        ("plain", "backend", "plain.example.com"),
        ("unix", "unix", "unix.example.com"),
        ("secure", "secure", "inner.internal"),
        ("mutual", "mutual", "inner.internal"),
    ):
        assert status(stage, name, "/a?b=c") == 200
        seen = stage.extra[key].last
        assert (seen.path, seen.values("Host")) == ("/a?b=c", [host])
        assert seen.values("X-Client-Verify") == ["SUCCESS"]
        assert seen.values("X-Forwarded-Host") == [f"{name}.example.com"]
        assert seen.values("X-Forwarded-Proto") == ["https"]
    assert stage.extra["mutual"].last.peer == "svc-b"
    assert stage.extra["secure"].last.peer is None


@pytest.mark.parametrize("name", ["wrong-name", "wrong-ca", "not-tls"])
def test_a_backend_that_cannot_be_verified_gets_no_request(stage: Stage, name: str) -> None:
    """Also with connections to the same address open that another link has verified."""
    assert status(stage, "secure") == status(stage, "plain") == 200
    before = [len(stage.extra[key].seen) for key in ("secure", "backend")]
    assert status(stage, name) == 502
    assert [len(stage.extra[key].seen) for key in ("secure", "backend")] == before


def test_a_backend_that_wants_a_certificate_is_not_reached_without_one(stage: Stage) -> None:
    assert status(stage, "mutual") == 200
    before = len(stage.extra["mutual"].seen)
    assert status(stage, "no-identity") == 502
    assert len(stage.extra["mutual"].seen) == before


def test_a_backend_that_is_down_is_a_bad_gateway(stage: Stage) -> None:
    answer = stage.caller.get("/", sni="down.example.com", credentials=stage.pair())
    assert answer.status == 502
    assert "127.0.0.1" not in answer.text


def call(
    stage: Stage,
    name: str,
    who: str | None = "svc-b",
    metadata: tuple[tuple[str, str], ...] = (),
    message: bytes = b"abc",
) -> bytes:
    """One unary call by a real gRPC client."""
    folder = stage.material.folder
    certificate = key = None
    if who:
        certificate, key = (path.read_bytes() for path in stage.pair(who))
    credentials = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes(), key, certificate)
    options = (("grpc.ssl_target_name_override", f"{name}.example.com"),)
    with grpc.secure_channel(f"127.0.0.1:{stage.port}", credentials, options) as channel:
        reply: bytes = channel.unary_unary("/t.T/M")(message, timeout=10, metadata=metadata)
        return reply


def test_grpc_crosses_and_its_metadata_cannot_forge_the_identity(stage: Stage) -> None:
    forged = (("x-client-verify", "forged"), ("x-client-subject", "forged"), ("x-own", "kept"))
    assert call(stage, "grpc", metadata=forged) == b"cba"
    told = stage.extra["echo"].metadata[-1]
    assert told["x-client-verify"] == "SUCCESS"
    assert told["x-client-subject"] == "CN=svc-b,O=Example Org"
    assert told["x-own"] == "kept"
    assert "forged" not in told.values()


@pytest.mark.parametrize(
    ("name", "who", "code"),
    [
        ("grpc", None, grpc.StatusCode.UNAUTHENTICATED),
        ("grpc", "stranger", grpc.StatusCode.UNAUTHENTICATED),
        ("grpc-down", "svc-b", grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_a_grpc_client_understands_why_it_failed(
    stage: Stage, name: str, who: str | None, code: grpc.StatusCode
) -> None:
    before = len(stage.extra["echo"].metadata)
    with pytest.raises(grpc.RpcError) as caught:
        call(stage, name, who)
    assert caught.value.code() is code
    assert len(stage.extra["echo"].metadata) == before


def test_a_grpc_client_understands_the_limits(stage: Stage) -> None:
    """Two requests are within the rate: one is too large, one is not; the third is too many."""
    with pytest.raises(grpc.RpcError, match=r"larger than limits\.body of this link") as large:
        call(stage, "grpc-limited", message=b"x" * 2000)
    assert large.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert call(stage, "grpc-limited") == b"cba"
    with pytest.raises(grpc.RpcError, match=r"more requests than limits of this link") as many:
        call(stage, "grpc-limited")
    assert many.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_answers_of_the_backend_pass_unchanged(stage: Stage) -> None:
    for code in (204, 301, 403, 404, 418, 421, 500, 502):
        answer = stage.caller.get(
            f"/status/{code}", sni="plain.example.com", credentials=stage.pair()
        )
        assert answer.status == code
        if code != 204:
            assert answer.text == f"the backend says {code}"


def test_a_body_above_the_limit_never_reaches_the_backend(stage: Stage) -> None:
    before = len(stage.extra["backend"].seen)
    assert status(stage, "limited", method="POST", body=b"x" * 10_241) == 413
    assert status(stage, "default", method="POST", body=b"x" * (16 * MEBIBYTE + 1)) == 413
    assert len(stage.extra["backend"].seen) == before
    assert status(stage, "limited", method="POST", body=b"x" * 10_240) == 200
    assert status(stage, "default", method="POST", body=b"x" * (16 * MEBIBYTE)) == 200


def test_a_chunked_body_above_the_limit_is_cut_off(stage: Stage) -> None:
    head = (
        b"POST / HTTP/1.1\r\nHost: limited.example.com\r\nTransfer-Encoding: chunked\r\n"
        b"Connection: close\r\n\r\n"
    )
    body = b"".join(b"1000\r\n" + b"x" * 4096 + b"\r\n" for _ in range(4)) + b"0\r\n\r\n"
    answers = stage.caller.send(head + body, sni="limited.example.com", credentials=stage.pair())
    assert [answer.status for answer in answers] == [413]
    assert all(seen.body_size <= 10_240 for seen in stage.extra["backend"].seen
               if seen.values("Host") == ["limited.example.com"])  # fmt: skip


def test_a_header_above_the_limit_is_refused(stage: Stage) -> None:
    def sent(size: int) -> int:
        return status(stage, "limited", headers=[("X-Filler", "x" * size)])

    assert sent(1500) == 200
    assert sent(3000) == 400
    assert status(stage, "plain", headers=[("X-Filler", "x" * 3000)]) == 200


def test_requests_above_the_rate_are_turned_away(stage: Stage) -> None:
    before = len(stage.extra["backend"].seen)
    assert [status(stage, "rated") for _ in range(4)] == [200, 200, 429, 429]
    assert len(stage.extra["backend"].seen) == before + 2


def test_connections_above_the_limit_are_turned_away(stage: Stage) -> None:
    answers: list[int] = []
    slow = threading.Thread(target=lambda: answers.append(status(stage, "counted", "/slow/0.6")))
    slow.start()
    time.sleep(0.25)
    assert status(stage, "counted") == 429
    slow.join()
    assert answers == [200]
    assert status(stage, "counted") == 200


def test_websocket_frames_go_both_ways(stage: Stage) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    head = (
        "GET /ws HTTP/1.1\r\nHost: plain.example.com\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with (
        stage.caller.connect("plain.example.com", stage.pair()) as connection,
        connection.makefile("rb") as stream,
    ):
        connection.sendall(head.encode())
        assert b" 101 " in stream.readline()
        while stream.readline().strip():
            pass
        for word in (b"hello", b"again"):
            connection.sendall(bytes((0x81, 0x80 | len(word))) + b"\0" * 4 + word)
            opcode, size = stream.read(2)
            assert (opcode, stream.read(size)) == (0x81, word.upper())


def test_a_backend_cannot_switch_to_a_protocol_nobody_asked_for(stage: Stage) -> None:
    """A 101 without an Upgrade of the caller opens no tunnel past nginx."""
    for headers in ([], [("Upgrade", "h2c"), ("Connection", "Upgrade")]):
        with contextlib.suppress(ValueError):
            answer = stage.caller.get(
                "/", sni="upgrade.example.com", credentials=stage.pair(), headers=headers
            )
            assert answer.status in (101, 502)
    with stage.caller.connect("upgrade.example.com", stage.pair()) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: upgrade.example.com\r\n\r\n")
        connection.settimeout(2)
        with contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"GET /smuggled HTTP/1.1\r\nHost: upgrade.example.com\r\n\r\n")


def arrivals(stage: Stage, name: str, accept: str) -> list[float]:
    """When each event of a stream of three arrives."""
    head = f"GET /events/3 HTTP/1.1\r\nHost: {name}.example.com\r\nAccept: {accept}\r\n"
    with (
        stage.caller.connect(f"{name}.example.com", stage.pair()) as connection,
        connection.makefile("rb") as stream,
    ):
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        return [time.monotonic() for line in stream if line.startswith(b"data:")]


def test_events_arrive_one_by_one(stage: Stage) -> None:
    for name, accept in (
        ("plain", "text/event-stream"),
        ("plain", "application/json, Text/Event-Stream;q=0.5"),
        ("secure", "text/event-stream"),
        ("unbuffered", "*/*"),
    ):
        times = arrivals(stage, name, accept)
        assert len(times) == 3
        assert times[2] - times[0] > 0.25, (name, accept)


def test_a_request_for_events_is_verified_and_told_of_like_any_other(stage: Stage) -> None:
    """The twin location without buffering strips, sets and refuses what the first one does."""
    wanted = ("Accept", "text/event-stream")
    forged = [wanted, ("X-Client-Verify", "forged"), ("X-Forwarded-Client-Cert", "forged")]
    answer = stage.caller.get(
        "/up?a=b",
        sni="plain.example.com",
        credentials=stage.pair(),
        headers=forged,
        method="POST",
        body=b"hello",
    )
    assert answer.status == 200
    seen = stage.extra["backend"].last
    assert (seen.method, seen.path, seen.body_size) == ("POST", "/up?a=b", 5)
    assert seen.values("X-Client-Verify") == ["SUCCESS"]
    assert seen.values("Host") == ["plain.example.com"]
    assert not any("forged" in value for _, value in seen.headers)
    before = len(stage.extra["backend"].seen)
    for who, host, code in (
        (None, "plain.example.com", 400),
        ("stranger", "plain.example.com", 400),
        ("svc-b", "unix.example.com", 421),
        ("svc-b", "narrow.example.com", 403),
    ):
        credentials = stage.pair(who) if who else None
        sni = host if code == 403 else "plain.example.com"
        answer = stage.caller.get(
            "/", sni=sni, host=host, credentials=credentials, headers=[wanted]
        )
        assert answer.status == code
    assert len(stage.extra["backend"].seen) == before
    assert status(stage, "plain", "/status/418", headers=[wanted]) == 418
    assert status(stage, "wrong-ca", headers=[wanted]) == 502


def temporary_files(stage: Stage) -> list[Path]:
    return [path for path in (stage.running.state / "nginx" / "temp").rglob("*") if path.is_file()]


@contextlib.contextmanager
def watching_temporary_files(stage: Stage) -> Iterator[list[Path]]:
    """Looks while the block runs. nginx unlinks at once, so its open descriptors are looked at too."""
    found: list[Path] = []
    stop = threading.Event()
    temp = str(stage.running.state / "nginx" / "temp")

    def look() -> None:
        while not stop.wait(0.01):
            found.extend(temporary_files(stage))
            for pid in workers(stage):
                with contextlib.suppress(OSError):
                    links = [one.readlink() for one in Path(f"/proc/{pid}/fd").iterdir()]
                    found.extend(link for link in links if str(link).startswith(temp))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def workers(stage: Stage) -> list[str]:
    master = stage.running.master_pid
    return Path(f"/proc/{master}/task/{master}/children").read_text().split()


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_64_mebibytes_go_up_without_touching_the_disk(stage: Stage, protocol: str) -> None:
    block, count = CHUNK * 16, 64  # 1 MiB each
    expected = hashlib.sha256()
    with watching_temporary_files(stage) as found:
        if protocol == "h2":
            with Http2Client(stage.caller, "plain.example.com", stage.pair()) as client:
                answer = client.upload("/up", (block for _ in range(count // 4)))
            count //= 4
        else:
            with stage.caller.connect("plain.example.com", stage.pair()) as connection:
                size = len(block) * count
                connection.sendall(
                    f"POST /up HTTP/1.1\r\nHost: plain.example.com\r\nContent-Length: {size}\r\n"
                    "Connection: close\r\n\r\n".encode()
                )
                for _ in range(count):
                    connection.sendall(block)
                (answer,) = read_answers(connection)
    for _ in range(count):
        expected.update(block)
    assert answer.status == 200
    assert answer.json["body_size"] == len(block) * count
    assert answer.json["body_sha256"] == expected.hexdigest()
    assert found == []


def test_64_mebibytes_come_down_to_a_slow_reader_without_touching_the_disk(stage: Stage) -> None:
    size = 64 * MEBIBYTE
    with (
        watching_temporary_files(stage) as found,
        stage.caller.connect("plain.example.com", stage.pair()) as connection,
    ):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(
            f"GET /bytes/{size} HTTP/1.0\r\nHost: plain.example.com\r\n\r\n".encode()
        )
        time.sleep(0.4)  # the backend is far ahead of us meanwhile
        got = 0
        with connection.makefile("rb") as stream:
            while stream.readline().strip():
                pass
            while piece := stream.read(MEBIBYTE):
                got += len(piece)
    assert got == size
    assert found == []


def test_a_header_name_too_long_for_grpc_is_told_before_nginx_chokes_on_it(
    material: Material, nginx_build: Path
) -> None:
    def checked(length: int) -> tuple[int, str]:
        forward = [{"dialect": "x-client-cert", "headers": {"serial": "X" * length}}]
        links = [link("g", "127.0.0.1:1", "grpc://127.0.0.1:1", forward=forward)]
        path = write_spec(material.folder, "long", spec_of(material, links))
        done = handclasp("check", "-c", path, "--nginx", nginx_build, cwd=material.folder)
        return done.returncode, done.stdout

    assert checked(46)[0] == 0
    code, told = checked(47)
    assert code == 1
    assert "46 at most" in told
