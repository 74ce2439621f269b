"""A non-blocking socket that loses nothing.

asyncio's StreamReader throws away what it has buffered when a reset follows it, and that is how a
TLS 1.3 refusal looks: an alert, then a reset because our request was in flight. Here bytes are
taken from the kernel only at the moment they are handed on, so waiting can be cut short any time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

FIRST_BYTES = 256


class ByteStream:
    """A connected socket and what went through it. Raises OSError."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._send_error: OSError | None = None
        self.first_bytes = b""
        self.bytes_received = 0
        self.bytes_sent = 0

    async def send(self, data: bytes) -> None:
        """Send all of it. A peer that no longer listens may have said why: that is read first, so
        the error is kept until `receive` finds nothing more.
        """
        if not data or self._send_error is not None:
            return
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, data)
            self.bytes_sent += len(data)
        except ConnectionError as error:
            self._send_error = error

    async def receive(self, size: int = 65536) -> bytes:
        """The next bytes, b"" at the end."""
        while True:
            try:
                data = self._socket.recv(size)
                break
            except (BlockingIOError, InterruptedError):
                await self.readable()
        if not data and self._send_error is not None:
            raise self._send_error
        self.first_bytes = (self.first_bytes + data)[:FIRST_BYTES]
        self.bytes_received += len(data)
        return data

    async def readable(self) -> None:
        """Wait until `receive` would not wait; takes nothing, so it may be cancelled."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        descriptor = self._socket.fileno()
        loop.add_reader(descriptor, _settle, ready)
        try:
            await ready
        finally:
            loop.remove_reader(descriptor)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
