"""One HTTP/1.1 request and its answer, over bytes. Parsing is h11's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11

from handclasp.errors import UsageError
from handclasp.wire.observation import HttpAnswer

if TYPE_CHECKING:
    from handclasp.wire.offer import HttpRequest

BODY_LIMIT = 64 * 1024  # enough for any error page; the rest of a body says nothing about TLS
_SWITCHING = 101


class AnswerError(Exception):
    """The peer's bytes are no HTTP/1.1 answer, or it ends too early."""


class Exchange:
    """Feed it what the peer sends until `done`; `answer` is what there is so far.

    Raises UsageError for a request that HTTP/1.1 cannot carry.
    """

    def __init__(self, request: HttpRequest, default_host: str) -> None:
        self._connection = h11.Connection(h11.CLIENT)
        self._head: h11.Response | h11.InformationalResponse | None = None
        self._body = bytearray()
        self._complete = False
        self.done = False
        self.received = b""
        self.outgoing = self._serialise(request, default_host)

    def _serialise(self, request: HttpRequest, default_host: str) -> bytes:
        given = {name.lower() for name, _ in request.headers}
        headers = [
            ("Host", request.host or default_host),
            *request.headers,
            ("Connection", "close"),
        ]
        if request.body and not given & {"content-length", "transfer-encoding"}:
            headers.append(("Content-Length", str(len(request.body))))
        connection = self._connection
        try:
            head = h11.Request(method=request.method, target=request.path, headers=headers)
            parts = [connection.send(head)]
            if request.body:
                parts.append(connection.send(h11.Data(data=request.body)))
            parts.append(connection.send(h11.EndOfMessage()))
        except (h11.LocalProtocolError, UnicodeError) as error:
            raise UsageError(f"this request cannot be sent: {error}") from error
        return b"".join(part for part in parts if part)

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer, none at its end. Raises AnswerError."""
        self.received = (self.received + data)[:256]
        try:
            self._connection.receive_data(data)
            while not self.done:
                event = self._connection.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                self._take(event)
        except h11.RemoteProtocolError as error:
            raise AnswerError(str(error)) from error

    def _take(self, event: h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]) -> None:
        if isinstance(event, h11.InformationalResponse):
            if event.status_code == _SWITCHING:
                self._head, self._complete, self.done = event, True, True
        elif isinstance(event, h11.Response):
            self._head = event
        elif isinstance(event, h11.Data):
            self._body += event.data[: BODY_LIMIT - len(self._body)]
            self.done = len(self._body) >= BODY_LIMIT
        elif isinstance(event, h11.EndOfMessage):
            self._complete, self.done = True, True
        else:  # ConnectionClosed, the only event left
            raise AnswerError("the peer closed before it answered")

    @property
    def answer(self) -> HttpAnswer | None:
        """The answer as far as it has come; None before its head is complete."""
        if self._head is None:
            return None
        return HttpAnswer(
            status=self._head.status_code,
            reason=bytes(self._head.reason).decode("latin-1"),
            http_version=bytes(self._head.http_version).decode("ascii"),
            headers=tuple(
                (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
                for name, value in self._head.headers
            ),
            body=bytes(self._body),
            complete=self._complete,
        )
