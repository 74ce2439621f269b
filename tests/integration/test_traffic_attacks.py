"""What a hostile caller, page, upstream or hop can try with well-placed bytes, on one pair of links."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import grpc  # type: ignore[import-untyped]
import pytest

from tests.conftest import facts_of
from tests.integration.http2_client import CleartextHttp2Client
from tests.integration.ingress_stage import Caller, ports
from tests.integration.running import (
    SERVER_NAME,
    Material,
    Running,
    egress_spec,
    ingress_spec,
    write_spec,
)
from tests.integration.servers import Backend
from tests.integration.upstreams import Request, Upstream, ask, connect, ok, read_answer
from tests.nginx.planning import DISTRIBUTION, WHEEL, Planner, egress, ingress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.upstreams import Answer

pytestmark = pytest.mark.integration
ORIGINAL = "X-Original-Client-Cert"
BODY_LIMIT = 1024


@dataclass
class World:
    running: Running
    material: Material
    folder: Path
    upstreams: tuple[Upstream, Upstream]
    backend: Backend
    calls: list[bytes]
    web: int
    ingress: int

    def socket(self, link: str) -> Path:
        return self.folder / f"{link}.sock"

    @property
    def caller(self) -> Caller:
        return Caller(self.ingress, self.material.folder / "ca.pem")

    def arrivals(self, target: str) -> list[int]:
        """How often a target arrived at each upstream."""
        return [[one.target for one in each.seen].count(target) for each in self.upstreams]

    @property
    def joins_headers(self) -> bool:
        """From 1.23.0 on `$http_NAME` has the values of all headers of that name, joined by commas."""
        return facts_of(self.running.nginx).version >= (1, 23, 0)


def hanging_up(request: Request) -> bytes | None:
    return None if request.target.startswith("/hangup") else ok(request)


@pytest.fixture(scope="module")
def world(material: Material, nginx_build: Path) -> Iterator[World]:
    mark = f"attacks-{nginx_build.parent.name}"
    folder = material.folder / mark
    ca, pair = material.folder / "ca.pem", material.pair("server-a")
    web, inward = ports(2)
    calls: list[bytes] = []
    server, there = _grpc_server(material, calls)
    try:
        with (
            Upstream(pair, ca, respond=hanging_up) as one,
            Upstream(pair, ca, respond=hanging_up) as two,
            Backend() as backend,
        ):
            urls = [f"https://127.0.0.1:{each.port}" for each in (one, two)]
            spec = _spec(material, folder, urls, f"grpcs://127.0.0.1:{there}", web)
            api = ingress_spec(
                material,
                f"127.0.0.1:{inward}",
                f"http://127.0.0.1:{backend.port}",
                original_certificate={"trusted": ["cn:svc-b"]},
                real_ip={"trusted": ["127.0.0.1/32"]},
            )
            spec["ingress"] = api["ingress"]
            spec["identities"] |= api["identities"]
            with Running(write_spec(material.folder, mark, spec), nginx_build) as running:
                yield World(running, material, folder, (one, two), backend, calls, web, inward)
    finally:
        server.stop(0).wait(5)


def _spec(
    material: Material, folder: Path, urls: list[str], there: str, web: int
) -> dict[str, Any]:
    spec = egress_spec(material, "", urls[0])
    base = spec["egress"][0]

    def link(name: str, **more: Any) -> dict[str, Any]:
        return {**base, "name": name, "listen": f"unix:{folder}/{name}.sock", **more}

    spec["nginx"] = {"workers": 1}
    spec["egress"] = [
        # Both stay in use however often they hang up.
        link("two", upstream=[{"url": url, "max_fails": 0} for url in urls]),
        link("web", listen=f"127.0.0.1:{web}"),
        link("preserving", host="preserve"),
        link("hop", original_certificate={"from": "x-client-cert", "trusted": ["unix"]}),
        link("calls", upstream=there, protocol="grpc", limits={"body": BODY_LIMIT}),
    ]
    del spec["trust"]["others"], spec["identities"]["svc-x"]
    return spec


def _grpc_server(material: Material, calls: list[bytes]) -> tuple[grpc.Server, int]:
    """A server that answers /t.T/Unary with the message it was sent."""

    def unary(message: bytes, _: grpc.ServicerContext) -> bytes:
        calls.append(message)
        return message

    handlers = {"Unary": grpc.unary_unary_rpc_method_handler(unary)}
    server = grpc.server(
        ThreadPoolExecutor(2), handlers=[grpc.method_handlers_generic_handler("t.T", handlers)]
    )
    certificate, key = material.pair("server-a")
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        root_certificates=(material.folder / "ca.pem").read_bytes(),
        require_client_auth=True,
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    return server, port


# One name with several addresses


@pytest.mark.parametrize("build", [DISTRIBUTION, WHEEL])
def test_the_further_addresses_of_one_backend_are_used_when_the_first_fails(build: str) -> None:
    link = ingress(backend="http://localhost:8000")
    addresses = {"localhost": ("127.0.0.1", "::1")}
    plan = Planner(build).plan(ingress=[link], addresses=addresses)
    (upstream,) = plan.upstreams
    assert [(one.address, one.backup, one.max_fails) for one in upstream.servers] == [
        ("127.0.0.1:8000", False, 0),
        ("[::1]:8000", True, 0),
    ]
    texts = Planner(build).text(ingress=[link], addresses=addresses)
    (text,) = (text for name, text in texts.items() if name.endswith("link-api.conf"))
    assert "proxy_next_upstream_tries 2;" in text


@pytest.mark.parametrize("build", [DISTRIBUTION, WHEEL])
def test_servers_that_are_listed_share_the_load_whatever_their_addresses(build: str) -> None:
    link = egress(upstream=["https://192.0.2.1", "https://192.0.2.2"])
    (upstream,) = Planner(build).plan(link).upstreams
    assert [one.backup for one in upstream.servers] == [False, False]


# Requests that must not be sent twice


@pytest.mark.parametrize("state", ["cold", "warm"])
@pytest.mark.parametrize("method", ["CHARGE", "POST", "PATCH", "CONNECTX"])
def test_what_may_not_be_idempotent_is_sent_once_though_the_server_hangs_up(
    world: World, method: str, state: str
) -> None:
    if state == "warm":  # a closed connection of the pool is another branch of nginx's
        for _ in range(4):
            assert ask(world.socket("two")).status == 200
    target = f"/hangup/{method}-{state}"
    assert ask(world.socket("two"), target, method=method, body=b"once").status == 502
    assert sum(world.arrivals(target)) == 1


def test_what_is_sent_once_arrives_whole(world: World) -> None:
    answer = ask(world.socket("two"), "/charged", method="CHARGE", body=b"fifty")
    assert answer.status == 200
    (seen,) = (one for each in world.upstreams for one in each.seen if one.target == "/charged")
    assert (seen.method, seen.body) == ("CHARGE", b"fifty")


def test_what_is_sent_once_arrives_whole_when_it_is_long_and_chunked(world: World) -> None:
    size = 300_000  # more than nginx reads ahead
    piece = f"{size:x}\r\n".encode() + b"x" * size + b"\r\n0\r\n\r\n"
    with connect(world.socket("two")) as connection:
        connection.sendall(
            b"CHARGE /long HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(piece)
        assert read_answer(connection).status == 200
        connection.sendall(b"GET /after HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_answer(connection).status == 200
    (seen,) = (one for each in world.upstreams for one in each.seen if one.target == "/long")
    assert len(seen.body) == size


@pytest.mark.parametrize("method", ["PUT", "CHARGE"])
def test_a_caller_that_waits_to_be_told_to_continue_is_told(world: World, method: str) -> None:
    with connect(world.socket("two"), timeout=2) as connection:
        connection.sendall(
            f"{method} /continued HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"fifty")
        assert read_answer(connection).status == 200


def test_what_is_sent_once_fails_with_the_same_page_as_the_rest(world: World) -> None:
    for method in ("GET", "CHARGE"):
        answer = ask(world.socket("two"), "/hangup/page", method=method)
        assert answer.status == 502
        assert answer.header("X-Handclasp-Link") == "two", method


def test_a_get_is_tried_at_the_other_server(world: World) -> None:
    assert ask(world.socket("two"), "/hangup/get").status == 502
    assert all(count >= 1 for count in world.arrivals("/hangup/get"))


# Pages of other sites

WEBSOCKET = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


@pytest.mark.parametrize("extra", [[], WEBSOCKET], ids=["plain", "websocket"])
@pytest.mark.parametrize("method", ["GET", "POST", "CHARGE"])
def test_a_page_of_another_site_does_not_reach_the_upstream(
    world: World, method: str, extra: list[tuple[str, str]]
) -> None:
    before = sum(len(each.seen) for each in world.upstreams)
    headers = [("Sec-Fetch-Site", "cross-site"), *extra]
    assert ask(world.web, "/", method=method, headers=headers).status == 403
    assert sum(len(each.seen) for each in world.upstreams) == before


@pytest.mark.parametrize("extra", [[], WEBSOCKET], ids=["plain", "websocket"])
@pytest.mark.parametrize("site", ["same-origin", "same-site", "none", None])
def test_other_requests_reach_the_upstream(
    world: World, site: str | None, extra: list[tuple[str, str]]
) -> None:
    target = f"/from/{site}/{len(extra)}"
    headers = [*([("Sec-Fetch-Site", site)] if site else []), *extra]
    assert ask(world.web, target, headers=headers).status == 200
    assert sum(world.arrivals(target)) == 1


# Host


def test_a_preserved_host_is_the_one_that_was_judged(world: World) -> None:
    with connect(world.socket("preserving")) as connection:
        connection.sendall(b"GET http://localhost/absolute HTTP/1.1\r\nHost: evil.com\r\n\r\n")
        answer = read_answer(connection)
    seen = [one for one in world.upstreams[0].seen if one.target == "/absolute"]
    if answer.status == 400:  # a build that refuses the contradiction
        assert seen == []
        return
    assert answer.status == 200
    assert [one.values("Host") for one in seen] == [["localhost"]]
    assert not any("evil.com" in value for one in seen for _, value in one.headers)


# The certificate of an earlier hop


def passed_inward(world: World, *values: str) -> list[str]:
    headers = [(ORIGINAL, value) for value in values]
    credentials = world.material.pair("svc-b")
    answer = world.caller.get("/", sni=SERVER_NAME, credentials=credentials, headers=headers)
    assert answer.status == 200
    return world.backend.last.values(ORIGINAL)


def passed_outward(world: World, *values: str) -> list[str]:
    answer: Answer = ask(
        world.socket("hop"), headers=[("X-Client-Cert", value) for value in values]
    )
    assert answer.status == 200
    return world.upstreams[0].last.values(ORIGINAL)


@pytest.mark.parametrize("passed", [passed_inward, passed_outward])
class TestTheCertificateOfAnEarlierHop:
    def test_is_passed_on_when_it_is_one_escaped_pem(self, world: World, passed: Any) -> None:
        certificate = quote(world.material.client.pem.decode(), safe="")
        assert passed(world, certificate) == [certificate]

    def test_is_not_passed_on_when_there_are_two(self, world: World, passed: Any) -> None:
        of_the_hops_client, of_the_hop = (
            quote(world.material.pair(name)[0].read_text(), safe="") for name in ("svc-x", "svc-b")
        )
        told = passed(world, of_the_hops_client, of_the_hop)
        # Before 1.23.0 nginx looks at the first alone: no two are ever believed at once.
        assert told == ([] if world.joins_headers else [of_the_hops_client])
        assert passed(world, of_the_hops_client + of_the_hop) == []

    @pytest.mark.parametrize(
        "value",
        [",", ", ", " ", ";", '"', "-", "$host", "\t", "\xe9", "%00", "%20", "="],
    )
    def test_is_not_passed_on_when_it_has_other_characters(
        self, world: World, passed: Any, value: str
    ) -> None:
        certificate = quote(world.material.client.pem.decode(), safe="")
        assert passed(world, certificate.replace("%0AMI", f"%0AMI{value}", 1)) == []
        assert passed(world, value) == []

    def test_is_passed_on_as_a_load_balancer_escapes_it(self, world: World, passed: Any) -> None:
        certificate = quote(world.material.client.pem.decode(), safe="+/=")
        assert passed(world, certificate) == [certificate]


# The address of the caller


@pytest.mark.parametrize(
    ("chain", "address"),
    [
        ("6.6.6.6, 127.0.0.1", "6.6.6.6"),
        ("7.7.7.7, 6.6.6.6, 127.0.0.1", "6.6.6.6"),
        ("6.6.6.6", "6.6.6.6"),
    ],
)
def test_the_caller_is_the_last_address_that_is_no_trusted_proxy(
    world: World, chain: str, address: str
) -> None:
    world.caller.get(
        "/",
        sni=SERVER_NAME,
        credentials=world.material.pair("svc-b"),
        headers=[("X-Forwarded-For", chain)],
    )
    assert world.backend.last.values("X-Real-IP") == [address]


# gRPC messages


def called(world: World, size: int, *headers: tuple[str, str]) -> Any:
    message = bytes(1) + size.to_bytes(4, "big") + bytes(size)
    told = [("content-type", "application/grpc"), ("te", "trailers"), *headers]
    with CleartextHttp2Client(connect(world.socket("calls"))) as client:
        return client.request("/t.T/Unary", method="POST", headers=told, body=message)


@pytest.mark.parametrize("announced", [True, False])
def test_a_grpc_message_over_the_limit_gets_a_grpc_status(world: World, announced: bool) -> None:
    before = len(world.calls)
    size = 4 * BODY_LIMIT
    answer = called(world, size, *([("content-length", str(size + 5))] if announced else []))
    assert answer.status == 200
    assert answer.value("grpc-status") == "8"
    assert (answer.value("content-type") or "").startswith("application/grpc")
    assert len(world.calls) == before


def test_a_grpc_message_within_the_limit_arrives(world: World) -> None:
    answer = called(world, BODY_LIMIT - 5)
    assert (answer.status, answer.value("grpc-status")) == (200, "0")
    assert len(world.calls[-1]) == BODY_LIMIT - 5
