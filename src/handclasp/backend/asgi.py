"""ASGI: FastAPI, Starlette, Django behind ASGI, or any other application.

    app = ClientIdentityMiddleware(app, dialect="x-client-cert", trusted_peers=["unix"])

puts a `ClientIdentity` into `scope["client_identity"]`. It must be the outermost middleware, and the
server must tell the real peer: run uvicorn with `--no-proxy-headers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from handclasp.backend.forwarding import names_with_more
from handclasp.backend.gate import Gate, Refusal
from handclasp.backend.identity import IdentityError, Reason
from handclasp.backend.peers import UNIX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Unpack

    from handclasp.backend.gate import GateOptions

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

KEY: Final = "client_identity"
_POLICY_VIOLATION: Final = 1008  # RFC 6455 section 7.4.1


class ClientIdentityMiddleware:
    """Sets `scope["client_identity"]` or answers 400 or 403; WebSockets are refused with 403."""

    def __init__(self, app: Application, *, key: str = KEY, **options: Unpack[GateOptions]) -> None:
        """The options are those of GateOptions. Raises ValueError for what cannot be meant."""
        self._app = app
        self._gate = Gate(**options)
        self._removed = frozenset(name.encode("ascii") for name in self._gate.removed)
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = list(scope["headers"])  # uvicorn with httptools goes on adding to its own list
        peer = _peer(scope)
        try:
            collected = self._gate.reader.collect(headers)
            _check_rewritten(scope, headers)
        except IdentityError as error:
            result = self._gate.refuse(peer, error)
        else:
            admitted = self._gate.admit(peer, collected)
            if not isinstance(admitted, Refusal):
                kept = [header for header in headers if _folded(header[0]) not in self._removed]
                await self._app({**scope, "headers": kept, self._key: admitted}, receive, send)
                return
            result = admitted
        await _answer(scope, result, send)


def _folded(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")


def _peer(scope: Scope) -> str | None:
    """The peer's address, "unix", or None.

    A server that knows no address may listen on a unix socket, or may have lost a TCP peer that is
    already gone: only the listener tells them apart. Of a unix socket uvicorn gives the path and no
    port, granian the path and a port, hypercorn nothing.
    """
    client, server = scope.get("client"), scope.get("server")
    if client and client[0]:
        # Nobody's address is the word that stands for unix sockets.
        return None if client[0] == UNIX else str(client[0])
    return UNIX if _is_unix(server) else None


def _is_unix(server: Any) -> bool:
    """Whether `scope["server"]` is a unix socket's. gunicorn's own ASGI worker tells the first two
    characters of the path: `("/", "r")`, or `("r", "u")` of a relative one.
    """
    if not server or len(server) < 2 or server[1] is None:
        return True
    host, port = str(server[0]), server[1]
    return host.startswith("/") or (len(host) == 1 and isinstance(port, str))


def _check_rewritten(scope: Scope, headers: list[tuple[bytes, bytes]]) -> None:
    """uvicorn puts what X-Forwarded-For says in the place of the peer, with port 0 or the port given
    there (uvicorn/middleware/proxy_headers.py). Raises IdentityError (rewritten-peer).
    """
    client = scope.get("client")
    if not client or not client[0]:
        return
    told = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
    if not client[1] or names_with_more(told, str(client[0])):
        raise IdentityError(
            Reason.REWRITTEN_PEER,
            "the server took the peer's address from X-Forwarded-For: turn that off "
            "(uvicorn --no-proxy-headers)",
        )


async def _answer(scope: Scope, refusal: Refusal, send: Send) -> None:
    if scope["type"] == "websocket":
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        prefix = "websocket.http"
    else:
        prefix = "http"
    await send(
        {
            "type": f"{prefix}.response.start",
            "status": refusal.status,
            "headers": [
                (name.lower().encode("ascii"), value.encode("ascii"))
                for name, value in refusal.headers
            ],
        }
    )
    await send({"type": f"{prefix}.response.body", "body": refusal.body})
