"""A caller over HTTP/2 that tells what was lost from what was refused before anything came of it.

A server that goes away names the last stream it has taken up (GOAWAY, RFC 9113, 6.8). Streams up to that one
it has to answer; later ones it has not looked at, and a client repeats them on another connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import h2.connection
import h2.events

if TYPE_CHECKING:
    import ssl

_FRAME_HEADER = 9  # RFC 9113, 4.1


class Refused(Exception):
    """The server has not looked at the request."""


class Lost(Exception):
    """Nobody knows what became of the request, or it was answered by no status."""


class Http2Connection:
    """Any number of requests at a time over one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.leaving = False
        self._reader, self._writer = reader, writer
        self._connection = h2.connection.H2Connection()
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._connection.initiate_connection()
        self._flush()
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def to(cls, port: int, name: str, context: ssl.SSLContext) -> Http2Connection:
        """With `name` as SNI; the context offers h2."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=name
        )
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        return cls(reader, writer)

    async def post(self, authority: str, path: str, body: bytes) -> int:
        """The status of the answer, when it has arrived whole. Raises Refused, Lost."""
        stream: int = self._connection.get_next_available_stream_id()
        fields = {":method": "POST", ":scheme": "https", ":path": path, ":authority": authority}
        self._connection.send_headers(stream, list(fields.items()))
        self._connection.send_data(stream, body, end_stream=True)
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answers[stream] = answer
        self._flush()
        return await answer

    async def close(self) -> None:
        self._writer.close()
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading

    def _flush(self) -> None:
        self._writer.write(self._connection.data_to_send())

    async def _read(self) -> None:
        statuses: dict[int, int] = {}
        because = "the connection ended"
        try:
            while True:
                # One frame at a time: for h2 a connection is over with GOAWAY, for the RFC it is not.
                header = await self._reader.readexactly(_FRAME_HEADER)
                payload = await self._reader.readexactly(int.from_bytes(header[:3], "big"))
                state = self._connection.state_machine.state
                for event in self._connection.receive_data(header + payload):
                    self._handle(event, statuses)
                    if isinstance(event, h2.events.ConnectionTerminated):
                        self._connection.state_machine.state = state
                self._flush()
        except (OSError, asyncio.IncompleteReadError) as error:
            because = f"{because}: {error}"
        finally:
            self.leaving = True
            for stream in list(self._answers):
                self._settle(stream, Lost(because))
            self._writer.close()

    def _handle(self, event: h2.events.Event, statuses: dict[int, int]) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            statuses[event.stream_id] = int(dict(event.headers or ())[b":status"])
        elif isinstance(event, h2.events.DataReceived):
            self._connection.acknowledge_received_data(
                event.flow_controlled_length or 0, event.stream_id
            )
        elif isinstance(event, h2.events.StreamEnded):
            self._settle(event.stream_id, statuses.pop(event.stream_id))
        elif isinstance(event, h2.events.StreamReset):
            self._settle(event.stream_id, Lost(f"reset with {event.error_code!r}"))
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.leaving = True
            last = event.last_stream_id or 0
            for stream in [one for one in self._answers if one > last]:
                self._settle(stream, Refused() if not event.error_code else Lost(f"{event}"))

    def _settle(self, stream: int, what: int | Exception) -> None:
        answer = self._answers.pop(stream, None)
        if answer is None or answer.done():
            return
        if isinstance(what, Exception):
            answer.set_exception(what)
        else:
            answer.set_result(what)


class Http2Pool:
    """One connection at a time, another when the server leaves it."""

    def __init__(self, port: int, name: str, context: ssl.SSLContext) -> None:
        self.refused = 0
        self._where = (port, name, context)
        self._authority = f"{name}:{port}"
        self._lock = asyncio.Lock()
        self._connections: list[Http2Connection] = []

    async def post(self, path: str, body: bytes) -> int:
        """Repeats what was refused, and nothing else. Raises Lost, OSError."""
        while True:
            async with self._lock:
                if not self._connections or self._connections[-1].leaving:
                    self._connections.append(await Http2Connection.to(*self._where))
                connection = self._connections[-1]
            try:
                # No other task comes between the look at `leaving` and the stream.
                return await connection.post(self._authority, path, body)
            except Refused:
                self.refused += 1

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()
