"""The WSGI middleware by itself, and Werkzeug's ProxyFix in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.middleware.proxy_fix import ProxyFix

from handclasp.backend import DIALECTS
from handclasp.backend.wsgi import KEY, ClientIdentityMiddleware
from tests.backend.callers import facts, headers, replaced

if TYPE_CHECKING:
    from collections.abc import Iterable


class Application:
    def __init__(self) -> None:
        self.environs: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.environs.append(dict(environ))
        start_response("200 OK", [])
        return [b"let in"]


def environ_of(told: list[tuple[str, str]], **more: Any) -> dict[str, Any]:
    """As a server makes it: names folded, repeated headers joined."""
    environ: dict[str, Any] = {"REMOTE_ADDR": "", "REQUEST_METHOD": "GET"}
    for name, value in told:
        key = "HTTP_" + name.upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ | more


def ask(wrapped: Any, environ: dict[str, Any]) -> tuple[int, bytes]:
    status: list[str] = []
    body = b"".join(wrapped(environ, lambda line, _: status.append(line)))
    return int(status[0].split()[0]), body


def middleware(**options: Any) -> tuple[Any, Application]:
    application = Application()
    chosen: dict[str, Any] = {"dialect": "x-client-cert", "trusted_peers": ["unix"]} | options
    return ClientIdentityMiddleware(application, **chosen), application


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_identity_reaches_the_application_in_its_environ(dialect: str) -> None:
    wrapped, application = middleware(dialect=dialect)
    assert ask(wrapped, environ_of(headers(dialect))) == (200, b"let in")
    assert application.environs[0][KEY].sha256 == facts("p256").sha256


@pytest.mark.parametrize("dialect", DIALECTS)
def test_headers_that_came_twice_are_known_although_they_were_joined(dialect: str) -> None:
    wrapped, application = middleware(dialect=dialect)
    for case in ("p256", "hostile"):
        status, _ = ask(wrapped, environ_of([*headers(dialect), *headers(dialect, case)]))
        assert status == 400 or (dialect == "haproxy" and status == 403)
    assert not application.environs


WAITRESS = {"REMOTE_PORT": "None"}


@pytest.mark.parametrize(
    ("address", "more", "trusted", "status"),
    [
        ("", {}, ["unix"], 200),
        ("", {"REMOTE_PORT": "4711"}, ["unix"], 403),
        ("", {"REMOTE_PORT": ""}, ["unix"], 403),
        ("localhost", WAITRESS, ["unix"], 200),
        ("localhost", {}, ["unix"], 403),  # granian's wrapper
        ("localhost", {"REMOTE_PORT": "4711"}, ["unix"], 403),
        ("localhost", {**WAITRESS, "HTTP_X_FORWARDED_FOR": "10.0.0.9"}, ["unix"], 200),
        ("localhost", {**WAITRESS, "HTTP_X_FORWARDED_FOR": "localhost:None"}, ["unix"], 403),
        ("localhost", {**WAITRESS, "HTTP_FORWARDED": 'For="local\\Host:None"'}, ["unix"], 403),
        ("unix", {}, ["unix"], 403),
        (None, {}, ["unix"], 403),
        ("127.0.0.1", {}, ["unix"], 403),
        ("127.0.0.1", {}, ["loopback"], 200),
        ("10.0.0.9", {}, ["loopback"], 403),
        ("", {}, ["loopback"], 403),
        ("localhost", WAITRESS, ["loopback"], 403),
    ],
)
def test_only_a_trusted_peer_may_tell(
    address: str | None, more: dict[str, str], trusted: list[str], status: int
) -> None:
    wrapped, application = middleware(trusted_peers=trusted)
    environ = environ_of(headers("x-client-cert"), REMOTE_ADDR=address, **more)
    if address is None:
        del environ["REMOTE_ADDR"]
    assert ask(wrapped, environ)[0] == status
    assert bool(application.environs) is (status == 200)


def test_a_peer_taken_from_x_forwarded_for_is_not_believed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrapped, application = middleware(trusted_peers=["loopback"])
    told = [*headers("x-client-cert"), ("X-Forwarded-For", "127.0.0.1")]
    environ = environ_of(told, REMOTE_ADDR="10.0.0.9")
    assert ask(ProxyFix(wrapped), environ)[0] == 403
    assert "rewritten-peer" in caplog.text
    assert not application.environs


def test_proxy_fix_behind_the_middleware_does_no_harm() -> None:
    application = Application()
    wrapped = ClientIdentityMiddleware(
        ProxyFix(application), dialect="x-client-cert", trusted_peers=["unix"]
    )
    told = [*headers("x-client-cert"), ("X-Forwarded-For", "10.0.0.9")]
    assert ask(wrapped, environ_of(told))[0] == 200
    assert application.environs[0]["REMOTE_ADDR"] == "10.0.0.9"
    assert application.environs[0][KEY].sha256 == facts("p256").sha256


def test_refusals_are_plain_text_with_the_code_alone() -> None:
    wrapped, application = middleware()
    told = replaced(headers("x-client-cert"), "X-Client-Verify", "NONE")
    assert ask(wrapped, environ_of(told)) == (
        400,
        b"The client's identity was refused: contradiction\n",
    )
    assert ask(wrapped, environ_of([]))[0] == 403
    assert not application.environs


def test_none_is_there_if_no_identity_is_required() -> None:
    wrapped, application = middleware(required=False)
    assert ask(wrapped, environ_of([], **{KEY: "admin"}))[0] == 200
    assert application.environs[0][KEY] is None


def test_headers_of_other_dialects_do_not_reach_the_application() -> None:
    told = [*headers("x-client-cert"), *headers("xfcc")]
    wrapped, application = middleware()
    ask(wrapped, environ_of(told))
    assert "HTTP_X_FORWARDED_CLIENT_CERT" not in application.environs[0]
    assert "HTTP_X_CLIENT_CERT" in application.environs[0]
    wrapped, application = middleware(keep_other_dialects=True)
    ask(wrapped, environ_of(told))
    assert "HTTP_X_FORWARDED_CLIENT_CERT" in application.environs[0]


def test_text_that_is_no_latin_1_is_refused() -> None:
    wrapped, _ = middleware(dialect="azure-arr")
    assert ask(wrapped, environ_of([("X-ARR-ClientCert", "東")]))[0] == 400
