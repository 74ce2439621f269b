"""The Django middleware: settings, WSGI, and behind ASGI. With a server: test_behind_nginx.py."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings  # type: ignore[import-untyped]
from django.core.asgi import get_asgi_application  # type: ignore[import-untyped]
from django.core.exceptions import ImproperlyConfigured  # type: ignore[import-untyped]
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]
from django.http import HttpResponse  # type: ignore[import-untyped]
from django.test.utils import override_settings  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]

from handclasp.backend.asgi import ClientIdentityMiddleware as AsgiMiddleware
from handclasp.backend.django import ClientIdentityMiddleware
from tests.backend.callers import headers
from tests.backend.test_wsgi import environ_of

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = {"dialect": "x-client-cert", "trusted_peers": ["unix"]}


def greet(request: Any) -> HttpResponse:
    return HttpResponse(str(request.client_identity and request.client_identity.spiffe_id))


urlpatterns = [path("", greet)]

if not settings.configured:
    settings.configure()


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    with override_settings(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["handclasp.backend.django.ClientIdentityMiddleware"],
        HANDCLASP=OPTIONS,
    ):
        yield


def ask(told: list[tuple[str, str]], **more: Any) -> tuple[int, bytes]:
    environ = environ_of(told, PATH_INFO="/", SERVER_NAME="app", SERVER_PORT="80", **more)
    environ["wsgi.input"] = io.BytesIO()
    status: list[str] = []
    body = b"".join(get_wsgi_application()(environ, lambda line, _: status.append(line)))
    return int(status[0].split()[0]), body


def ask_asgi(app: Any, told: list[tuple[str, str]], **more: Any) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        if len(sent) == 0 and not asked:
            asked.append(True)
            return {"type": "http.request", "body": b""}
        await asyncio.sleep(10)
        return {"type": "http.disconnect"}

    asked: list[bool] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "http_version": "1.1",
        "client": None,
        "server": ("/run/app.sock", None),
        "headers": [(name.lower().encode(), value.encode()) for name, value in told],
        **more,
    }
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def test_the_view_sees_the_caller() -> None:
    assert ask(headers("x-client-cert")) == (200, b"spiffe://example.org/svc-b")


def test_nobody_else_gets_to_the_view() -> None:
    assert ask([])[0] == 403
    assert ask(headers("x-client-cert"), REMOTE_ADDR="10.0.0.9") == (
        403,
        b"The client's identity was refused: untrusted-peer\n",
    )
    assert ask([*headers("x-client-cert")] * 2)[0] == 400


def test_the_caller_may_be_nobody_if_the_settings_say_so() -> None:
    with override_settings(HANDCLASP=OPTIONS | {"required": False}):
        assert ask([]) == (200, b"None")


def test_behind_asgi_the_asgi_middleware_decides() -> None:
    app = AsgiMiddleware(get_asgi_application(), dialect="x-client-cert", trusted_peers=["unix"])
    assert ask_asgi(app, headers("x-client-cert")) == (200, b"spiffe://example.org/svc-b")
    assert ask_asgi(app, [])[0] == 403


def test_behind_asgi_without_it_nobody_gets_to_the_view() -> None:
    status, body = ask_asgi(get_asgi_application(), headers("x-client-cert"))
    assert (status, body) == (500, b"handclasp.backend.asgi is not in front\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "dialect"),
        ({"dialect": "x-client-cert", "trusted_peers": []}, "empty"),
        ({"dialect": "x-client-cert", "trusted_peers": ["unix"], "colour": 1}, "colour"),
    ],
)
def test_settings_that_cannot_be_meant_are_named(options: dict[str, Any], message: str) -> None:
    with (
        override_settings(HANDCLASP=options),
        pytest.raises(ImproperlyConfigured, match=f"settings.HANDCLASP: .*{message}"),
    ):
        ClientIdentityMiddleware(greet)


def test_settings_that_are_missing_are_named() -> None:
    with override_settings():
        del settings.HANDCLASP
        with pytest.raises(ImproperlyConfigured, match="HANDCLASP"):
            ClientIdentityMiddleware(greet)
