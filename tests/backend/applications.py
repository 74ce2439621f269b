"""The smallest applications behind each middleware: they tell whom they take the caller for.

Run by tests in servers of their own; HANDCLASP_TEST_DIALECT, _TRUSTED (comma-separated) and _REQUIRED
choose what the middleware is told. Each time an application is reached, a byte is added to the file
HANDCLASP_TEST_REACHED.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handclasp.backend import asgi, wsgi

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.backend import ClientIdentity

OPTIONS: dict[str, Any] = {
    "dialect": os.environ.get("HANDCLASP_TEST_DIALECT", "x-client-cert"),
    "trusted_peers": os.environ.get("HANDCLASP_TEST_TRUSTED", "unix").split(","),
    "required": os.environ.get("HANDCLASP_TEST_REQUIRED", "yes") == "yes",
}


def told(identity: ClientIdentity | None) -> bytes:
    if reached := os.environ.get("HANDCLASP_TEST_REACHED"):
        with Path(reached).open("ab") as file:
            file.write(b".")
    if identity is None:
        return b"null"
    return json.dumps(
        {"subject": identity.subject, "spiffe_id": identity.spiffe_id, "sha256": identity.sha256}
    ).encode()


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for _ in ("startup", "shutdown"):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
        return
    body = told(scope[asgi.KEY])
    length = str(len(body)).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
    )
    await send({"type": "http.response.body", "body": body})


def _wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    body = told(environ[wsgi.KEY])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


asgi_application = asgi.ClientIdentityMiddleware(_asgi, **OPTIONS)
wsgi_application = wsgi.ClientIdentityMiddleware(_wsgi, **OPTIONS)
