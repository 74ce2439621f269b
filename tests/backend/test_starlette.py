"""The dependency in FastAPI and Starlette applications, without a server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse
from starlette.applications import Starlette
from starlette.routing import Route

from handclasp.backend import ClientIdentity
from handclasp.backend.asgi import KEY, ClientIdentityMiddleware
from handclasp.backend.starlette import client_identity, optional_client_identity
from tests.backend.callers import headers

if TYPE_CHECKING:
    from starlette.requests import Request

Caller = Annotated[ClientIdentity, Depends(client_identity)]
PerhapsCaller = Annotated[ClientIdentity | None, Depends(optional_client_identity)]


def ask(app: Any, told: list[tuple[str, str]], path: str = "/", **more: Any) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "root_path": "",
        "http_version": "1.1",
        "scheme": "http",
        "client": None,
        "server": ("/run/app.sock", None),
        "headers": [(name.lower().encode(), value.encode()) for name, value in told],
        **more,
    }
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def application(**options: Any) -> FastAPI:
    app = FastAPI()
    if options:
        app.add_middleware(
            ClientIdentityMiddleware, dialect="x-client-cert", trusted_peers=["unix"], **options
        )

    @app.get("/", response_class=PlainTextResponse)
    def greet(caller: Caller) -> str:
        return str(caller.spiffe_id)

    @app.get("/perhaps", response_class=PlainTextResponse)
    def perhaps(caller: PerhapsCaller) -> str:
        return "nobody" if caller is None else str(caller.spiffe_id)

    return app


def test_fastapi_is_given_the_caller() -> None:
    app = application(required=True)
    told = headers("x-client-cert")
    assert ask(app, told) == (200, b"spiffe://example.org/svc-b")
    assert ask(app, told, "/perhaps") == (200, b"spiffe://example.org/svc-b")
    assert ask(app, [])[0] == 403


def test_a_caller_is_no_parameter_of_the_request() -> None:
    """FastAPI would take an argument it does not understand from the query."""
    schema = application(required=True).openapi()
    assert "parameters" not in schema["paths"]["/"]["get"]


def test_where_no_identity_is_required_the_dependency_asks_for_one() -> None:
    app = application(required=False)
    assert ask(app, [])[0] == 403
    assert ask(app, [], "/perhaps") == (200, b"nobody")


def test_without_the_middleware_nobody_is_let_in_by_accident() -> None:
    with pytest.raises(RuntimeError, match="no ClientIdentityMiddleware"):
        ask(application(), headers("x-client-cert"))
    with pytest.raises(RuntimeError, match="is not handclasp's"):
        ask(application(), [], **{KEY: "admin"})


def test_starlette_endpoints_call_it_themselves() -> None:
    async def greet(request: Request) -> PlainTextResponse:
        return PlainTextResponse(client_identity(request).subject)

    app = ClientIdentityMiddleware(
        Starlette(routes=[Route("/", greet)]), dialect="x-client-cert", trusted_peers=["unix"]
    )
    assert ask(app, headers("x-client-cert")) == (200, b"CN=svc-b,O=Example Org")
