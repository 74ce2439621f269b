"""The HTTP/2 caller of the traffic test sees every loss: what it calls refused was refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import pytest

from tests.integration.http2_pool import Http2Connection, Lost, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

Server = h2.connection.H2Connection


def outcomes(leave: Callable[[Server, list[int]], None]) -> list[object]:
    """Of two requests at a time, to a server that does `leave` once it has both streams, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = Server(h2.config.H2Configuration(client_side=False))
        server.initiate_connection()
        ended: list[int] = []
        while len(ended) < 2:
            events = server.receive_data(await reader.read(65536))
            ended += [one.stream_id for one in events if isinstance(one, h2.events.StreamEnded)]
        leave(server, ended)
        writer.write(server.data_to_send())
        writer.close()

    async def ask() -> list[object]:
        listening = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        connection = Http2Connection(*await asyncio.open_connection("127.0.0.1", port))
        both = (connection.post("localhost", f"/{number}", b"x") for number in range(2))
        told = await asyncio.gather(*both, return_exceptions=True)
        assert connection.leaving
        await connection.close()
        listening.close()
        await listening.wait_closed()
        return [type(one) if isinstance(one, Exception) else one for one in told]

    return asyncio.run(ask())


def test_what_goaway_names_is_answered_and_what_is_later_was_refused() -> None:
    def leave(server: Server, streams: list[int]) -> None:
        first, _ = streams
        # Answered after GOAWAY, which h2 would not send: its frames are put in this order by hand.
        server.send_headers(first, [(":status", "200")], end_stream=True)
        answer = server.data_to_send()
        server.close_connection(last_stream_id=first)
        server._data_to_send += answer

    assert outcomes(leave) == [200, Refused]


@pytest.mark.parametrize("how", ["hangs up", "resets", "goes away with an error"])
def test_whoever_leaves_without_an_answer_has_lost_the_request(how: str) -> None:
    def leave(server: Server, streams: list[int]) -> None:
        first, second = streams
        server.send_headers(first, [(":status", "200")], end_stream=True)
        if how == "resets":
            server.reset_stream(second)
        elif how != "hangs up":
            server.close_connection(error_code=2, last_stream_id=first)

    assert outcomes(leave) == [200, Lost]
