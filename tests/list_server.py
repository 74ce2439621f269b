"""A real HTTP server on loopback that hands out revocation lists, well or badly."""

from __future__ import annotations

import hashlib
import http.server
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Answer:
    """What a path is answered with. `chunked` sends the body without saying how long it is; `waits` are
    seconds before each byte; `validators` are those that a client may come back with."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = False
    waits: float = 0.0
    validators: bool = True


class ListServer:
    """`answers` by path; `asked` are the requests: path and headers."""

    def __init__(self, credentials: tuple[Path, Path] | None = None, port: int = 0) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.stopping = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append((self.path, dict(self.headers)))
                outer.respond(self)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Clients hang up: that is what is tested."""

        self._server = Server(("127.0.0.1", port), Handler)
        self._scheme = "http"
        if credentials is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*credentials)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def url(self, path: str = "/ca.crl", host: str = "127.0.0.1") -> str:
        return f"{self._scheme}://{host}:{self.port}{path}"

    def put(self, body: bytes, path: str = "/ca.crl", **options: object) -> None:
        """What is there from now on."""
        self.answers[path] = Answer(body, **options)  # type: ignore[arg-type]

    def respond(self, request: http.server.BaseHTTPRequestHandler) -> None:
        answer = self.answers.get(request.path, Answer(b"not here", 404))
        tag = '"' + hashlib.sha256(answer.body).hexdigest()[:8] + '"'
        if answer.validators and request.headers.get("If-None-Match") == tag:
            request.send_response(304)
            request.send_header("ETag", tag)
            request.end_headers()
            return
        request.send_response(answer.status)
        if answer.validators:
            request.send_header("ETag", tag)
        for name, value in answer.headers.items():
            request.send_header(name, value)
        request.send_header(
            *(
                ("Transfer-Encoding", "chunked")
                if answer.chunked
                else ("Content-Length", str(len(answer.body)))
            )
        )
        request.end_headers()
        self._send(request, answer)

    def _send(self, request: http.server.BaseHTTPRequestHandler, answer: Answer) -> None:
        size = 1 if answer.waits else 65_536
        for at in range(0, len(answer.body), size):
            if answer.waits and self.stopping.wait(answer.waits):
                return
            part = answer.body[at : at + size]
            head, tail = (b"%x\r\n" % len(part), b"\r\n") if answer.chunked else (b"", b"")
            request.wfile.write(head + part + tail)
            request.wfile.flush()
        if answer.chunked:
            request.wfile.write(b"0\r\n\r\n")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Closes the port."""
        self.stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def until_asked(server: ListServer, times: int, seconds: float = 10) -> bool:
    """Waits for so many requests altogether."""
    deadline = time.monotonic() + seconds
    while len(server.asked) < times and time.monotonic() < deadline:
        time.sleep(0.02)
    return len(server.asked) >= times
