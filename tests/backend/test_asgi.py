"""The ASGI middleware by itself: scopes in, answers out. With real servers: test_servers.py."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from handclasp.backend import DIALECTS, ClientIdentity
from handclasp.backend.asgi import KEY, ClientIdentityMiddleware
from tests.backend.callers import facts, headers, replaced

TCP_SERVER = ("127.0.0.1", 8000)
UNIX: dict[str, Any] = {"client": None, "server": ("/run/app.sock", None)}


class Application:
    """Remembers what it was called with."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, _: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"let in"})


def raw(told: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in told]


def ask(
    middleware: Any, told: list[tuple[str, str]], kind: str = "http", **scope: Any
) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError("nobody reads the body of what is refused")

    asyncio.run(middleware({"type": kind, "headers": raw(told), **UNIX, **scope}, receive, send))
    return sent


def middleware(**options: Any) -> tuple[Any, Application]:
    application = Application()
    chosen: dict[str, Any] = {"dialect": "x-client-cert", "trusted_peers": ["unix"]} | options
    return ClientIdentityMiddleware(application, **chosen), application


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_identity_reaches_the_application_in_its_scope(dialect: str) -> None:
    wrapped, application = middleware(dialect=dialect)
    assert ask(wrapped, headers(dialect))[0]["status"] == 200
    identity = application.scopes[0][KEY]
    assert isinstance(identity, ClientIdentity)
    assert identity.sha256 == facts("p256").sha256


@pytest.mark.parametrize(
    ("scope", "trusted", "status"),
    [
        ({"client": None, "server": ("/run/app.sock", None)}, ["unix"], 200),
        ({"client": None, "server": None}, ["unix"], 200),
        ({"client": ("", "0"), "server": ("/run/app.sock", "0")}, ["unix"], 200),  # granian
        ({"client": ("", 0), "server": ("/run/app.sock", None)}, ["unix"], 200),
        # gunicorn's own ASGI worker: the first two characters of the path, if there are two.
        ({"client": None, "server": ("r", "u")}, ["unix"], 200),
        ({"client": None, "server": ("a", "1")}, ["unix"], 200),
        ({"client": None, "server": ("1",)}, ["unix"], 200),
        ({"client": None, "server": ("127.0.0.1", "8000")}, ["unix"], 403),  # granian
        # A peer that has gone is told as nobody, on a listener that has a port.
        ({"client": None, "server": TCP_SERVER}, ["unix"], 403),
        ({"client": ("", 0), "server": TCP_SERVER}, ["unix"], 403),
        ({"client": ("unix", 5), "server": TCP_SERVER}, ["unix"], 403),
        ({"client": ("127.0.0.1", 5), "server": TCP_SERVER}, ["unix"], 403),
        ({"client": ("127.0.0.1", 5), "server": TCP_SERVER}, ["loopback"], 200),
        ({"client": ("::1", 5), "server": ("::1", 8000)}, ["127.0.0.1"], 403),
        ({"client": ("10.0.0.9", 5), "server": TCP_SERVER}, ["10.0.0.8"], 403),
        ({"client": None, "server": ("/run/app.sock", None)}, ["loopback"], 403),
    ],
)
def test_only_a_trusted_peer_may_tell(
    scope: dict[str, Any], trusted: list[str], status: int
) -> None:
    wrapped, application = middleware(trusted_peers=trusted)
    sent = ask(wrapped, headers("x-client-cert"), **scope)
    assert sent[0]["status"] == status
    assert bool(application.scopes) is (status == 200)


@pytest.mark.parametrize(
    ("client", "forwarded"),
    [
        (("127.0.0.1", 0), "127.0.0.1"),
        (("127.0.0.1", 51), "10.9.9.9, 127.0.0.1:51"),
        (("::1", 51), "[::1]:51"),
        # What Python's int takes for a port.
        (("127.0.0.1", 51), "127.0.0.1:051"),
        (("127.0.0.1", 51), "127.0.0.1:+51"),
        (("127.0.0.1", 51), "127.0.0.1: 51"),
        (("127.0.0.1", 51), "127.0.0.1:5_1"),
        (("127.0.0.1", -51), "127.0.0.1:-051"),
        (("127.0.0.1", 51), "[127.0.0.1]:051"),
        (("127.0.0.1", 51), '"127.0.0.1:051"'),
        (("127.0.0.1", 51), "\x85127.0.0.1:051"),
        (("::1", 51), "[0:0::1]:051"),
        (("127.0.0.1", 51), "[::ffff:127.0.0.1]:051"),
        (("0:0::1", 51), "[0:0::1]:051"),
    ],
)
def test_a_peer_taken_from_x_forwarded_for_is_not_believed(
    client: tuple[str, int], forwarded: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrapped, application = middleware(trusted_peers=["loopback"])
    told = [*headers("x-client-cert"), ("X-Forwarded-For", forwarded)]
    sent = ask(wrapped, told, client=client, server=TCP_SERVER)
    assert sent[0]["status"] == 403
    assert "--no-proxy-headers" in caplog.text
    assert not application.scopes


def test_an_address_in_x_forwarded_for_beside_the_true_peer_does_no_harm() -> None:
    wrapped, _ = middleware(trusted_peers=["loopback"])
    for address in ("127.0.0.1", "127.0.0.1, 10.9.9.9", "127.0.0.10:51", "127.0.0:51", "x:51", ""):
        told = [*headers("x-client-cert"), ("X-Forwarded-For", address)]
        assert ask(wrapped, told, client=("127.0.0.1", 51), server=TCP_SERVER)[0]["status"] == 200


def test_a_refusal_is_plain_text_and_one_log_line_that_hold_no_header(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrapped, _ = middleware()
    told = replaced(headers("x-client-cert"), "X-Client-Serial", "7\u00e4" + "x" * 500)
    start, body = ask(wrapped, told)
    assert start["status"] == 400
    assert (b"content-type", b"text/plain; charset=us-ascii") in start["headers"]
    assert body["body"] == b"The client's identity was refused: contradiction\n"
    (record,) = caplog.records
    assert record.name == "handclasp.backend"
    assert record.levelno == logging.WARNING
    assert "serial number" in record.getMessage()
    assert record.getMessage().isascii()
    assert len(record.getMessage()) < 400


def test_without_identity_the_answer_is_403_unless_none_is_required() -> None:
    wrapped, application = middleware()
    assert ask(wrapped, [("X-Client-Verify", "NONE")])[0]["status"] == 403
    assert not application.scopes
    wrapped, application = middleware(required=False)
    assert ask(wrapped, [("X-Client-Verify", "NONE")])[0]["status"] == 200
    assert application.scopes[0][KEY] is None


def test_what_is_odd_is_refused_even_if_no_identity_is_required() -> None:
    wrapped, application = middleware(required=False)
    told = replaced(headers("x-client-cert"), "X-Client-Verify", "FAILED:expired")
    assert ask(wrapped, told)[0]["status"] == 403
    assert ask(wrapped, [*headers("x-client-cert")] * 2)[0]["status"] == 400
    misspelt = [("X_Client-Cert", "x")]
    assert ask(wrapped, misspelt)[0]["status"] == 400
    assert not application.scopes


def test_a_stranger_may_come_without_identity_but_not_with_one() -> None:
    wrapped, application = middleware(required=False)
    stranger: dict[str, Any] = {"client": ("10.0.0.9", 5), "server": TCP_SERVER}
    assert ask(wrapped, [], **stranger)[0]["status"] == 200
    assert application.scopes.pop()[KEY] is None
    assert ask(wrapped, headers("x-client-cert"), **stranger)[0]["status"] == 403
    assert not application.scopes


def test_what_a_caller_of_the_middleware_put_there_before_is_replaced() -> None:
    wrapped, application = middleware(required=False)
    ask(wrapped, [], **{KEY: "admin"})
    assert application.scopes[0][KEY] is None


def test_headers_of_other_dialects_do_not_reach_the_application() -> None:
    told = [
        *headers("x-client-cert"),
        *headers("rfc9440"),
        ("X_SSL-Client_Verify", "SUCCESS"),
        ("Host", "example.org"),
    ]
    wrapped, application = middleware()
    ask(wrapped, told)
    left = {name for name, _ in application.scopes[0]["headers"]}
    assert left == {name.lower().encode() for name, _ in headers("x-client-cert")} | {b"host"}
    wrapped, application = middleware(keep_other_dialects=True)
    ask(wrapped, told)
    assert application.scopes[0]["headers"] == raw(told)


def test_two_dialects_can_be_read_into_two_keys() -> None:
    application = Application()
    inner = ClientIdentityMiddleware(
        application, dialect="rfc9440", trusted_peers=["unix"], key="original"
    )
    outer = ClientIdentityMiddleware(
        inner, dialect="x-client-cert", trusted_peers=["unix"], keep_other_dialects=True
    )
    ask(outer, [*headers("x-client-cert"), *headers("rfc9440", "hostile")])
    (scope,) = application.scopes
    assert scope[KEY].sha256 == facts("p256").sha256
    assert scope["original"].sha256 == facts("hostile").sha256


def test_a_websocket_is_refused_before_it_is_accepted() -> None:
    wrapped, application = middleware()
    assert ask(wrapped, [], "websocket") == [{"type": "websocket.close", "code": 1008}]
    sent = ask(wrapped, [], "websocket", extensions={"websocket.http.response": {}})
    assert [message["type"] for message in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert sent[0]["status"] == 403
    assert not application.scopes
    ask(wrapped, headers("x-client-cert"), "websocket")
    assert application.scopes[0][KEY].sha256 == facts("p256").sha256


def test_lifespan_passes() -> None:
    wrapped, application = middleware()
    asyncio.run(wrapped({"type": "lifespan"}, None, None))
    assert application.scopes == [{"type": "lifespan"}]


def test_a_repair_is_logged_once_for_each_caller(caplog: pytest.LogCaptureFixture) -> None:
    wrapped, _ = middleware(dialect="azure-arr")
    mangled = headers("azure-arr", "rsa4096")[0][1].replace("+", " ")
    for _ in range(3):
        assert ask(wrapped, [("X-ARR-ClientCert", mangled)])[0]["status"] == 200
    assert [record.getMessage() for record in caplog.records] == [
        "identity of 'CN=svc-r,O=Example Org' from 'unix' was repaired: plus-as-space"
    ]


@pytest.mark.parametrize(
    "options", [{"dialect": "auto"}, {"trusted_peers": []}, {"trusted_peers": "unix"}, {"hop": "x"}]
)
def test_a_middleware_that_cannot_be_meant_is_not_made(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        middleware(**options)
