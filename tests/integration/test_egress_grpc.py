"""gRPC through an egress link: a real grpcio client, a real grpcio server behind mutual TLS."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]
import pytest

from tests.integration.running import SERVER_NAME, Material, Running, egress_spec, write_spec
from tests.integration.upstreams import dead_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration
MIB = 1024 * 1024
_LARGE = [
    ("grpc.max_receive_message_length", 8 * MIB),
    ("grpc.max_send_message_length", 8 * MIB),
]


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Methods over plain bytes; `seen` has the metadata of every call and who called."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, Any], list[bytes]]] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        methods = {
            "/t.T/Unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "/t.T/Server": grpc.unary_stream_rpc_method_handler(self._server),
            "/t.T/Client": grpc.stream_unary_rpc_method_handler(self._client),
            "/t.T/Both": grpc.stream_stream_rpc_method_handler(self._both),
            "/t.T/Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            "/t.T/Slow": grpc.unary_unary_rpc_method_handler(self._slow),
        }
        return methods.get(details.method)

    def _note(self, context: grpc.ServicerContext) -> None:
        names = context.auth_context().get("x509_common_name", [])
        self.seen.append((dict(context.invocation_metadata()), list(names)))

    def _unary(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        self._note(context)
        context.set_trailing_metadata((("x-trailer", "after"),))
        return message

    def _server(self, message: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._note(context)
        for number in range(3):
            yield message + b"%d" % number
            time.sleep(0.15)

    def _client(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        self._note(context)
        return b",".join(messages)

    def _both(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self._note(context)
        for message in messages:
            yield message.upper()

    def _fail(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("x-detail", "why"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now")
        raise AssertionError("abort raises")

    def _slow(self, message: bytes, _: grpc.ServicerContext) -> bytes:
        time.sleep(1)
        return message


@dataclass
class World:
    running: Running
    folder: Path
    service: Service

    def channel(self, link: str) -> grpc.Channel:
        options = [*_LARGE, ("grpc.default_authority", "localhost")]
        return grpc.insecure_channel(f"unix:{self.folder}/{link}.sock", options=options)


@pytest.fixture(scope="module")
def world(material: Material, nginx_build: Path) -> Iterator[World]:
    mark = f"grpc-{nginx_build.parent.name}"
    folder = material.folder / mark
    service = Service()
    server = grpc.server(ThreadPoolExecutor(8), handlers=[service], options=_LARGE)
    certificate, key = material.pair("server-a")
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        root_certificates=(material.folder / "ca.pem").read_bytes(),
        require_client_auth=True,
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    spec = egress_spec(material, "", "")
    base = {**spec["egress"][0], "protocol": "grpc"}

    def link(name: str, upstream: str, **more: Any) -> dict[str, Any]:
        listen = f"unix:{folder}/{name}.sock"
        return {**base, "name": name, "listen": listen, "upstream": upstream, **more}

    there = f"grpcs://127.0.0.1:{port}"
    spec["egress"] = [
        link("good", there),
        link("routed", there, routes=[{"path": "/t.T/Unary", "identity": "svc-x"}]),
        link("dead", f"grpcs://127.0.0.1:{dead_port()}"),
        link("distrusted", there, trust="others"),
        link(
            "unknown",
            "grpcs://nowhere.invalid",
            routes=[{"path": "/t.T/Unary", "upstream": there, "verify": {"name": SERVER_NAME}}],
        ),
    ]
    try:
        with Running(write_spec(material.folder, mark, spec), nginx_build) as running:
            yield World(running, folder, service)
    finally:
        server.stop(0).wait(5)


def call(channel: grpc.Channel, method: str, message: bytes, **more: Any) -> bytes:
    told: bytes = channel.unary_unary(f"/t.T/{method}")(
        message, **{"timeout": 10, "wait_for_ready": False, **more}
    )
    return told


def test_a_unary_call_keeps_metadata_trailers_and_the_callers_identity(world: World) -> None:
    with world.channel("good") as channel:
        method = channel.unary_unary("/t.T/Unary")
        sent = (("x-kept", "kept"), ("x-client-cert", "forged"), ("x-forwarded-for", "6.6.6.6"))
        answer, rpc = method.with_call(b"hello", metadata=sent, timeout=10)
    assert answer == b"hello"
    assert dict(rpc.trailing_metadata())["x-trailer"] == "after"
    metadata, names = world.service.seen[-1]
    assert names == [b"svc-b"]
    assert metadata["x-kept"] == "kept"
    assert "x-client-cert" not in metadata
    assert "6.6.6.6" not in metadata.values()


def test_streams_flow_in_every_direction_and_message_by_message(world: World) -> None:
    with world.channel("good") as channel:
        arrived = []
        for message in channel.unary_stream("/t.T/Server")(b"n", timeout=10):
            arrived.append((message, time.monotonic()))
        assert [message for message, _ in arrived] == [b"n0", b"n1", b"n2"]
        assert arrived[2][1] - arrived[0][1] > 0.2

        pieces = channel.stream_unary("/t.T/Client")(iter([b"a", b"b", b"c"]), timeout=10)
        assert pieces == b"a,b,c"

        heard: list[bytes] = []

        def talk() -> Iterator[bytes]:
            """The next word is sent only when the last one has been answered."""
            for number in range(4):
                yield b"word%d" % number
                deadline = time.monotonic() + 5
                while len(heard) <= number and time.monotonic() < deadline:
                    time.sleep(0.005)

        for message in channel.stream_stream("/t.T/Both")(talk(), timeout=10):
            heard.append(message)  # noqa: PERF402  the sender waits for what is heard
        assert heard == [b"WORD0", b"WORD1", b"WORD2", b"WORD3"]


def test_large_messages_pass(world: World) -> None:
    message = bytes(range(256)) * 4 * 4096
    assert len(message) == 4 * MIB
    with world.channel("good") as channel:
        assert call(channel, "Unary", message) == message
    temporary = world.running.state / "nginx" / "temp"
    assert [path for path in temporary.rglob("*") if path.is_file()] == []


def test_the_servers_own_status_and_details_pass(world: World) -> None:
    with world.channel("good") as channel, pytest.raises(grpc.RpcError) as failure:
        call(channel, "Fail", b"")
    error: Any = failure.value
    assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not now")
    assert dict(error.trailing_metadata())["x-detail"] == "why"


def test_a_deadline_ends_the_call_and_the_channel_lives_on(world: World) -> None:
    with world.channel("good") as channel:
        with pytest.raises(grpc.RpcError) as failure:
            call(channel, "Slow", b"", timeout=0.3)
        error: Any = failure.value
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert call(channel, "Unary", b"on") == b"on"


def test_a_method_can_have_an_identity_of_its_own(world: World) -> None:
    with world.channel("routed") as channel:
        for _ in range(3):
            assert call(channel, "Unary", b"x") == b"x"
            assert world.service.seen[-1][1] == [b"svc-x"]
            assert list(channel.unary_stream("/t.T/Server")(b"n", timeout=10))
            assert world.service.seen[-1][1] == [b"svc-b"]


@pytest.mark.parametrize("link", ["dead", "distrusted"])
def test_an_upstream_that_is_down_or_not_believed_is_unavailable(world: World, link: str) -> None:
    with world.channel(link) as channel, pytest.raises(grpc.RpcError) as failure:
        call(channel, "Unary", b"x")
    error: Any = failure.value
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "upstream unavailable" in error.details()


def test_an_unresolvable_upstream_is_unavailable_and_its_route_is_not(world: World) -> None:
    with world.channel("unknown") as channel:
        assert call(channel, "Unary", b"x") == b"x"
        with pytest.raises(grpc.RpcError) as failure:
            call(channel, "Fail", b"x")
    error: Any = failure.value
    assert error.code() is grpc.StatusCode.UNAVAILABLE


def test_another_authority_is_refused(world: World) -> None:
    options = [("grpc.default_authority", "attacker.example")]
    before = len(world.service.seen)
    with (
        grpc.insecure_channel(f"unix:{world.folder}/good.sock", options=options) as channel,
        pytest.raises(grpc.RpcError),
    ):
        call(channel, "Unary", b"x")
    assert len(world.service.seen) == before


def test_many_calls_at_once_share_few_connections(world: World) -> None:
    with world.channel("good") as channel, ThreadPoolExecutor(16) as pool:
        messages = [b"%d" % number for number in range(200)]
        assert list(pool.map(lambda one: call(channel, "Unary", one), messages)) == messages
