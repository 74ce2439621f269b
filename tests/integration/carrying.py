"""Traffic that must not be disturbed, from a process of its own: `python -m tests.integration.carrying JSON`.

Pools of connections whose requests are never repeated (POST), WebSockets that echo all the time, and a gRPC
stream. Ends when its standard input does, each request with its answer, and prints what it has seen as JSON.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import grpc  # type: ignore[import-untyped]

from tests.integration.http2_pool import Http2Pool, Lost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_ECHO_SECONDS = 0.2
_POOL = 8
_BODY = b"x" * 64


@dataclass
class Tally:
    """What was seen; `answers` by path, `trouble` holds at most fifty sentences."""

    answers: dict[str, int] = field(default_factory=dict)
    refused: int = 0  # HTTP/2 requests that the server had not looked at, and that were repeated
    echoes: int = 0
    messages: int = 0
    failures: int = 0
    trouble: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def answered(self, url: str, status: int) -> None:
        if status == 200:
            path = urlsplit(url).path
            self.answers[path] = self.answers.get(path, 0) + 1
        else:
            self.failed(f"{url}: HTTP {status}")

    def failed(self, what: str) -> None:
        self.failures += 1
        if len(self.trouble) < 50:
            self.trouble.append(what)


async def at_rate(tally: Tally, url: str, rate: float, post: Callable[[], Awaitable[int]]) -> None:
    """So many requests a second, eight at a time at most, until it is over."""
    period = _POOL / rate
    now = asyncio.get_running_loop().time

    async def one(at: float) -> None:
        while not tally.over.is_set():
            await asyncio.sleep(at - now())
            try:
                tally.answered(url, await post())
            except (aiohttp.ClientError, OSError, Lost) as error:
                tally.failed(f"{url}: {type(error).__name__} {error}")
            at = max(at + period, now())

    await asyncio.gather(*(one(now() + period * number / _POOL) for number in range(_POOL)))


async def pool(
    tally: Tally, url: str, rate: float, context: ssl.SSLContext | None, name: str | None
) -> None:
    """POST after POST, on connections that are kept."""
    connector = aiohttp.TCPConnector(limit=_POOL)
    headers = {"Host": name} if name else {}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def post() -> int:
            async with session.post(
                url,
                data=_BODY,
                ssl=context or False,
                server_hostname=name if context else None,
            ) as answer:
                await answer.read()
                return answer.status

        await at_rate(tally, url, rate, post)


async def http2_pool(
    tally: Tally, url: str, rate: float, context: ssl.SSLContext, name: str
) -> None:
    """The same over HTTP/2."""
    context.set_alpn_protocols(["h2"])
    parts = urlsplit(url)
    assert parts.port is not None
    connections = Http2Pool(parts.port, name, context)
    await at_rate(tally, url, rate, lambda: connections.post(parts.path, _BODY))
    tally.refused += connections.refused
    await connections.close()


async def socket(tally: Tally, url: str) -> None:
    """One WebSocket for the whole time."""
    try:
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as connection:
            while not tally.over.is_set():
                await connection.send_str("still here")
                message = await connection.receive(timeout=20)
                if message.data != "STILL HERE":
                    tally.failed(f"{url}: {message.type.name} {connection.close_code}")
                    return
                tally.echoes += 1
                await asyncio.sleep(_ECHO_SECONDS)
    except (aiohttp.ClientError, OSError, TypeError) as error:
        tally.failed(f"{url}: {type(error).__name__} {error}")


async def stream(tally: Tally, target: str) -> None:
    """One gRPC stream for the whole time."""
    options = [("grpc.default_authority", "localhost")]
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        call = channel.stream_stream("/t.T/Both")()
        try:
            while not tally.over.is_set():
                await call.write(b"still here")
                if await call.read() is grpc.aio.EOF:
                    tally.failed(f"{target}: the stream ended: {await call.details()}")
                    return
                tally.messages += 1
                await asyncio.sleep(_ECHO_SECONDS)
        except grpc.aio.AioRpcError as error:
            tally.failed(f"{target}: {error.code().name} {error.details()}")


def trusting(asked: dict[str, Any]) -> ssl.SSLContext:
    """What a pool says with."""
    context = ssl.create_default_context(cafile=asked["ca"])
    context.load_cert_chain(asked["certificate"], asked["key"])
    return context


async def carry(asked: dict[str, Any]) -> Tally:
    """Everything at once, until standard input ends."""
    tally = Tally()
    work = []
    for one in asked["pools"]:
        context = trusting(one) if "certificate" in one else None
        work.append(pool(tally, one["url"], one["rate"], context, one.get("name")))
    for one in asked["http2"]:
        work.append(http2_pool(tally, one["url"], one["rate"], trusting(one), one["name"]))
    for one in asked["sockets"]:
        work += [socket(tally, one["url"]) for _ in range(one["count"])]
    work += [stream(tally, target) for target in asked["streams"]]
    tasks = [asyncio.ensure_future(one) for one in work]
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    tally.over.set()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            tally.failed(f"{type(ended).__name__} {ended}")
    return tally


def told(tally: Tally) -> str:
    return json.dumps({**vars(tally), "over": None})


if __name__ == "__main__":
    sys.stdout.write(told(asyncio.run(carry(json.loads(sys.argv[1])))) + "\n")
