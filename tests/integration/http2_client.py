"""One HTTP/2 connection that lets a test send what well-behaved clients would not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import h2.config
import h2.connection
import h2.events

from tests.integration.ingress_stage import Answer

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence

    from tests.integration.ingress_stage import Caller, Credentials


class Http2Client:
    """Requests one after the other over one connection."""

    def __init__(
        self, caller: Caller, sni: str, credentials: Credentials | None = None, **connect: object
    ) -> None:
        self.sni = sni
        secured = caller.connect(
            sni,
            credentials,
            alpn=["h2"],
            **connect,  # type: ignore[arg-type]
        )
        assert secured.selected_alpn_protocol() == "h2"
        self._socket: socket.socket = secured
        self._begin()

    def _begin(self) -> None:
        configuration = h2.config.H2Configuration(
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._connection = h2.connection.H2Connection(configuration)
        self._connection.initiate_connection()
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _flush(self) -> None:
        self._socket.sendall(self._connection.data_to_send())

    def request(
        self,
        path: str,
        *,
        method: str = "GET",
        authority: str | None = "",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        trailers: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """Status 0 stands for a stream that was reset. `authority` None leaves the field out."""
        stream = self._connection.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "https"), (":path", path)]
        if authority is not None:
            fields.append((":authority", authority or self.sni))
        self._connection.send_headers(stream, [*fields, *headers], end_stream=not body)
        if body:
            self._connection.send_data(stream, body, end_stream=not trailers)
        if trailers:
            self._connection.send_headers(stream, list(trailers), end_stream=True)
        self._flush()
        return self._answer(stream)

    def upload(self, path: str, blocks: Iterable[bytes]) -> Answer:
        """A POST whose body is sent as fast as the server's windows allow."""
        stream = self._connection.get_next_available_stream_id()
        fields = [(":method", "POST"), (":scheme", "https"), (":path", path)]
        self._connection.send_headers(stream, [*fields, (":authority", self.sni)])
        for block in blocks:
            rest = memoryview(block)
            while rest:
                room = min(
                    self._connection.local_flow_control_window(stream),
                    self._connection.max_outbound_frame_size,
                    len(rest),
                )
                if room:
                    self._connection.send_data(stream, bytes(rest[:room]))
                    rest = rest[room:]
                    self._flush()
                else:
                    self._connection.receive_data(self._socket.recv(65536))
        self._connection.end_stream(stream)
        self._flush()
        return self._answer(stream)

    def _answer(self, stream: int) -> Answer:
        answer = Answer(0, [], b"")
        while data := self._socket.recv(65536):
            for event in self._connection.receive_data(data):
                if isinstance(event, h2.events.ConnectionTerminated):
                    return answer
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    pairs = [(str(name), str(value)) for name, value in event.headers or ()]
                    answer.headers += pairs
                    answer.status = int(dict(pairs).get(":status", answer.status))
                elif isinstance(event, h2.events.DataReceived):
                    answer.body += event.data or b""
                    self._connection.acknowledge_received_data(
                        event.flow_controlled_length or 0, stream
                    )
                elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                    return answer
            self._flush()
        return answer


class CleartextHttp2Client(Http2Client):
    """The same by prior knowledge, over a plain connection that is open already."""

    def __init__(self, connection: socket.socket, authority: str = "localhost") -> None:
        self.sni = authority
        self._socket = connection
        self._begin()
