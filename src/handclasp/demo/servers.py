"""The far ends: a backend that tells what it received, and a server with the wrong certificate (edge)."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

_POLL_SECONDS = 0.02
_TIMEOUT_SECONDS = 10.0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT_SECONDS
    server: _Server

    def do_GET(self) -> None:
        """Tells the request back as JSON."""
        self.server.received += 1
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True  # what is left unread would be taken for a request
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = {
            "method": self.command,
            "path": self.path,
            "headers": [f"{name}: {value}" for name, value in self.headers.items()],
        }
        self._answer(json.dumps(told, indent=1).encode() + b"\n")

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Demo-Backend", "answered")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def setup(self) -> None:
        """The TLS handshake, if there is one, belongs to this connection's own thread."""
        if self.server.context is not None:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        """The server closes the socket it accepted, which TLS has taken over."""
        super().finish()
        if self.server.context is not None:
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing: the demo shows what matters."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.context = context
        self.received = 0
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        """Without http.server's look-up of our own name, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that goes away, as one that refuses our certificate does, is no news."""


class EchoServer:
    """Answers on a free loopback port from a thread of its own, until the context is left.

    With a certificate it speaks TLS. `received` counts the requests that arrived.
    """

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        context = None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
        self._server = _Server(context)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def received(self) -> int:
        return self._server.received
