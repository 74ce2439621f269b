from __future__ import annotations

import asyncio
import socket

import pytest

from handclasp.wire.stream import ByteStream

RESET_ON_CLOSE = b"\x01\0\0\0\0\0\0\0"


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setblocking(False)
    return ours, theirs


def test_what_the_peer_said_before_its_reset_is_read_after_a_failed_send() -> None:
    """A TLS 1.3 refusal in the shape it has when our request was already on its way."""

    async def scenario(ours: socket.socket, theirs: socket.socket) -> None:
        stream = ByteStream(ours)
        theirs.sendall(b"alert")
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        theirs.close()
        await stream.send(b"request")
        assert await stream.receive() == b"alert"
        with pytest.raises(ConnectionError):
            await stream.receive()

    ours, theirs = pair()
    with ours, theirs:
        asyncio.run(asyncio.wait_for(scenario(ours, theirs), 5))


def test_a_cancelled_wait_takes_no_bytes() -> None:
    async def scenario(ours: socket.socket, theirs: socket.socket) -> None:
        stream = ByteStream(ours)
        for _ in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await stream.receive()
        theirs.sendall(b"whole")
        assert await stream.receive() == b"whole"
        assert stream.first_bytes == b"whole"
        assert stream.bytes_received == 5

    ours, theirs = pair()
    with ours, theirs:
        asyncio.run(asyncio.wait_for(scenario(ours, theirs), 5))


def test_more_than_the_socket_holds_is_sent_whole() -> None:
    size = 8 * 1024 * 1024

    async def scenario(ours: socket.socket, theirs: socket.socket) -> int:
        theirs.setblocking(False)
        there, arrived = ByteStream(theirs), 0
        sending = asyncio.ensure_future(ByteStream(ours).send(b"x" * size))
        while arrived < size:
            arrived += len(await there.receive())
        await sending
        return arrived

    ours, theirs = pair()
    with ours, theirs:
        assert asyncio.run(asyncio.wait_for(scenario(ours, theirs), 20)) == size
