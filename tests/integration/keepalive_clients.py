"""Clients that keep their connections, never repeat a request, and note everything that goes wrong."""

from __future__ import annotations

import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.integration.running import SERVER_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.running import Material

_PAUSE_SECONDS = 0.002


@dataclass
class Clients:
    """`keeping` of them hold on to a connection for as long as nginx does, `fresh` make one per request.

    With TLS for a port, without for the path of a unix socket.

    `raced` is apart from `lost`: a worker that is told to finish, at a reload too, closes its idle
    connections at once, and a request may just be on its way (RFC 9112, 9.3.1). From 1.27.4 on
    keepalive_min_timeout prevents that; before, the agent has nginx say `Connection: close` first.
    """

    material: Material
    address: int | Path
    keeping: int = 3
    fresh: int = 2
    answers: int = 0
    renewed: int = 0  # connections that nginx had closed, or said it would, before the next request
    refused: list[str] = field(default_factory=list)  # connections that were not had
    lost: list[str] = field(default_factory=list)  # requests without the right answer
    raced: list[str] = field(default_factory=list)  # sent while nginx closed an idle connection
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        kinds = [True] * self.keeping + [False] * self.fresh
        self._threads = [threading.Thread(target=self._work, args=(keep,)) for keep in kinds]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    @property
    def trouble(self) -> list[str]:
        return self.refused + self.lost

    def slow(self, seconds: float) -> threading.Thread:
        """One request more that takes so long; to be joined."""

        def ask() -> None:
            with self._connect() as connection:
                self._ask(connection, f"/slow/{seconds:g}", keep=False, within=seconds + 20)

        thread = threading.Thread(target=ask)
        thread.start()
        return thread

    def _work(self, keep: bool) -> None:
        connection: socket.socket | None = None
        asked = 0  # on this connection
        while not self._stop.wait(_PAUSE_SECONDS):
            try:
                if connection is not None and _closed(connection):
                    connection.close()
                    connection = None
                    self.renewed += 1
                if connection is None:
                    connection, asked = self._connect(), 0
            except OSError as problem:
                self.refused.append(repr(problem))
                connection = None
                continue
            try:
                kept = self._ask(connection, "/", keep=keep)
            except OSError as problem:
                raced = isinstance(problem, _Unanswered) and asked
                where = self.raced if raced else self.lost
                where.append(f"after {asked} on the connection: {problem!r}")
                keep_it = False
            else:
                asked, keep_it = asked + 1, keep and kept
                self.renewed += keep and not kept
            if not keep_it:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _connect(self) -> socket.socket:
        if not isinstance(self.address, int):
            plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            plain.settimeout(15)
            try:
                plain.connect(str(self.address))
            except OSError:
                plain.close()
                raise
            return plain
        context = ssl.create_default_context(cafile=str(self.material.folder / "ca.pem"))
        context.load_cert_chain(*self.material.pair("svc-b"))
        plain = socket.create_connection(("127.0.0.1", self.address), timeout=15)
        try:
            return context.wrap_socket(plain, server_hostname=SERVER_NAME)
        except OSError:
            plain.close()
            raise

    def _ask(self, connection: socket.socket, path: str, *, keep: bool, within: float = 15) -> bool:
        """Whether the answer leaves the connection open. Raises OSError when there is no answer; another
        answer than 200 is noted as lost."""
        connection.settimeout(within)
        how = "keep-alive" if keep else "close"
        head = f"GET {path} HTTP/1.1\r\nHost: {SERVER_NAME}\r\nConnection: {how}\r\n\r\n"
        try:
            connection.sendall(head.encode())
            answer = _received(connection)
        except ConnectionError as problem:
            raise _Unanswered(repr(problem)) from problem
        while b"\r\n\r\n" not in answer:
            answer += _received(connection)
        header, _, body = answer.partition(b"\r\n\r\n")
        lines = header.decode().lower().split("\r\n")
        length = next(line for line in lines if line.startswith("content-length:"))
        while len(body) < int(length.partition(":")[2]):
            body += _received(connection)
        if lines[0].split(" ")[1] != "200":
            self.lost.append(lines[0])
        self.answers += 1
        return "connection: close" not in lines


class _Unanswered(OSError):
    """The connection was closed before a byte of the answer."""


def _received(connection: socket.socket) -> bytes:
    if piece := connection.recv(65536):
        return piece
    raise ConnectionResetError("closed instead of an answer")


def _closed(connection: socket.socket) -> bool:
    """Whether the other side has closed it, so that a request would have to go elsewhere."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
