"""Traffic that must not be disturbed, from a process of its own: `python -m tests.integration.carrying JSON`.

Pools of connections whose requests are never repeated (POST), WebSockets that echo all the time, and a gRPC
stream. Ends when its standard input does, and then prints what it has seen as JSON.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
import grpc  # type: ignore[import-untyped]

_ECHO_SECONDS = 0.2
_POOL = 8


@dataclass
class Tally:
    """What was seen; `trouble` holds at most fifty sentences."""

    answers: int = 0
    echoes: int = 0
    messages: int = 0
    failures: int = 0
    trouble: list[str] = field(default_factory=list)

    def failed(self, what: str) -> None:
        self.failures += 1
        if len(self.trouble) < 50:
            self.trouble.append(what)


async def pool(
    tally: Tally, url: str, rate: float, context: ssl.SSLContext | None, name: str | None
) -> None:
    """POST after POST at `rate` a second, on connections that are kept."""
    connector = aiohttp.TCPConnector(limit=_POOL)
    headers = {"Host": name} if name else {}
    period = _POOL / rate
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def one(delay: float) -> None:
            await asyncio.sleep(delay)
            while True:
                try:
                    async with session.post(
                        url,
                        data=b"x" * 64,
                        ssl=context or False,
                        server_hostname=name if context else None,
                    ) as answer:
                        await answer.read()
                        if answer.status == 200:
                            tally.answers += 1
                        else:
                            tally.failed(f"{url}: HTTP {answer.status}")
                except (aiohttp.ClientError, OSError) as error:
                    tally.failed(f"{url}: {type(error).__name__} {error}")
                await asyncio.sleep(period)

        await asyncio.gather(*(one(period * number / _POOL) for number in range(_POOL)))


async def socket(tally: Tally, url: str) -> None:
    """One WebSocket for the whole time."""
    try:
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as connection:
            while True:
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
            while True:
                await call.write(b"still here")
                if await call.read() is grpc.aio.EOF:
                    tally.failed(f"{target}: the stream ended: {await call.details()}")
                    return
                tally.messages += 1
                await asyncio.sleep(_ECHO_SECONDS)
        except grpc.aio.AioRpcError as error:
            tally.failed(f"{target}: {error.code().name} {error.details()}")


async def carry(asked: dict[str, Any]) -> Tally:
    """Everything at once, until standard input ends."""
    tally = Tally()
    work = []
    for one in asked["pools"]:
        context = None
        if "certificate" in one:
            context = ssl.create_default_context(cafile=one["ca"])
            context.load_cert_chain(one["certificate"], one["key"])
        work.append(pool(tally, one["url"], one["rate"], context, one.get("name")))
    for one in asked["sockets"]:
        work += [socket(tally, one["url"]) for _ in range(one["count"])]
    work += [stream(tally, target) for target in asked["streams"]]
    tasks = [asyncio.ensure_future(one) for one in work]
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            tally.failed(f"{type(ended).__name__} {ended}")
    return tally


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(asyncio.run(carry(json.loads(sys.argv[1]))))) + "\n")
