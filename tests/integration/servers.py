"""Real servers at the far ends: a backend that tells what it received, plain or behind mutual TLS."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

CHUNK = b"0123456789abcdef" * 4096  # 64 KiB


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body_size: int
    body_sha256: str
    peer: str | None  # common name of the client certificate
    connection: int

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Backend:
    """An HTTP/1.1 server in a thread of its own. Every request is recorded in `seen` and told back as JSON.

    Paths: /events/N (SSE, one event every 0.2 s), /framed/N (the same with a Content-Length),
    /ws (echoes), /bytes/N (N bytes), /status/N,
    /slow/SECONDS, /hangup (closes without an answer), anything else: the request as JSON.
    """

    certificate: tuple[Path, Path] | None = None
    client_ca: Path | None = None
    unix: Path | None = None
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    begun: int = 0  # requests whose header has arrived
    handshakes: int = 0
    _stop: asyncio.Event | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def last(self) -> Seen:
        return self.seen[-1]

    def _context(self) -> ssl.SSLContext | None:
        if self.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate)
        if self.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.client_ca)
        return context

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=0.5
        )
        await runner.setup()
        if self.unix is not None:
            await web.UnixSite(runner, str(self.unix), ssl_context=self._context()).start()
        else:
            listener = socket.create_server(("127.0.0.1", self.port))
            self.port = listener.getsockname()[1]
            await web.SockSite(runner, listener, ssl_context=self._context()).start()
        ready.set()
        await self._stop.wait()
        server = runner.server
        assert server is not None
        transports = [handler.transport for handler in server.connections]
        await runner.cleanup()
        # One with TLS would wait for the peer's close_notify beyond the end of the loop.
        for transport in transports:
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        await asyncio.sleep(0.05)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        self.begun += 1
        number = getattr(transport, "_handclasp_number", None)
        if number is None:
            self.connections += 1
            number = self.connections
            transport._handclasp_number = number  # type: ignore[attr-defined]
        certificate = transport.get_extra_info("peercert") or {}
        names = [
            value
            for rdn in certificate.get("subject", ())
            for key, value in rdn
            if key == "commonName"
        ]
        kind, _, argument = request.path.lstrip("/").partition("/")
        body = hashlib.sha256()
        size = 0
        if kind != "ws":
            async for chunk in request.content.iter_any():
                body.update(chunk)
                size += len(chunk)
        seen = Seen(
            request.method,
            request.raw_path,
            [
                (key.decode("latin-1"), value.decode("latin-1"))
                for key, value in request.raw_headers
            ],
            size,
            body.hexdigest(),
            names[0] if names else None,
            number,
        )
        self.seen.append(seen)
        special: dict[str, Callable[[web.Request, str], Awaitable[web.StreamResponse]]] = {
            "events": _events,
            "framed": _framed,
            "ws": _websocket,
            "bytes": _bytes,
            "status": _status,
            "slow": _slow,
            "hangup": _hangup,
        }
        if kind in special:
            return await special[kind](request, argument)
        return web.Response(text=json.dumps(seen.__dict__), content_type="application/json")


async def _events(request: web.Request, count: str) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    for number in range(int(count or 3)):
        await answer.write(f"data: {number}\n\n".encode())
        await asyncio.sleep(0.2)
    return answer


async def _framed(request: web.Request, count: str) -> web.StreamResponse:
    events = [f"data: {number}\n\n".encode() for number in range(int(count))]
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    answer.content_length = sum(map(len, events))
    await answer.prepare(request)
    for event in events:
        await answer.write(event)
        await asyncio.sleep(0.2)
    return answer


async def _websocket(request: web.Request, _: str) -> web.StreamResponse:
    answer = web.WebSocketResponse()
    await answer.prepare(request)
    async for message in answer:
        if message.type is WSMsgType.TEXT:
            await answer.send_str(message.data.upper())
    return answer


async def _bytes(request: web.Request, size: str) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    left = int(size)
    while left:
        piece = CHUNK[: min(left, len(CHUNK))]
        await answer.write(piece)
        left -= len(piece)
    return answer


async def _status(_: web.Request, code: str) -> web.StreamResponse:
    return web.Response(status=int(code), text=f"the backend says {code}")


async def _slow(_: web.Request, seconds: str) -> web.StreamResponse:
    await asyncio.sleep(float(seconds))
    return web.Response(text="at last")


async def _hangup(request: web.Request, _: str) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()
