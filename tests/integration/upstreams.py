"""An HTTPS server that does exactly what a case needs, and a client that sends exactly these bytes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from dataclasses import dataclass, field
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from io import BufferedReader
    from pathlib import Path

    Where = int | str | Path
    """A port of 127.0.0.1, `[::1]:PORT` or the path of a socket."""


@dataclass
class Request:
    """One request as it arrived, and what was known of the connection."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    peer: str | None
    sni: str | None
    protocol: str | None
    cipher: str | None
    reused: bool

    @property
    def method(self) -> str:
        return self.line.split(" ", 1)[0]

    @property
    def target(self) -> str:
        return self.line.split(" ", 1)[1].rsplit(" ", 1)[0]

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


def ok(request: Request) -> bytes | None:
    """The usual answer: who was seen, in one line."""
    return answer(f"{request.peer} {request.sni}\n".encode())


def answer(
    body: bytes = b"", *, status: str = "200 OK", headers: Iterable[tuple[str, str]] = ()
) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


@dataclass
class Upstream:
    """A server with a thread per connection. `respond` gives the bytes of an answer, or None to hang up;
    `adjust` changes the TLS context; `idle` closes a connection after so many seconds of silence."""

    certificate: tuple[Path, Path]
    client_ca: Path | None = None
    respond: Callable[[Request], bytes | None] = ok
    adjust: Callable[[ssl.SSLContext], None] = lambda _: None
    host: str = "127.0.0.1"
    unix: Path | None = None
    idle: float = 30.0
    port: int = 0
    seen: list[Request] = field(default_factory=list)
    accepted: int = 0
    failures: list[str] = field(default_factory=list)
    _open: set[socket.socket] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*self.certificate)
        if self.client_ca is not None:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(self.client_ca)
        self._context.sni_callback = self._note_sni
        self.adjust(self._context)
        if self.unix is not None:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self.unix))
            self.unix.chmod(0o666)
            self._listener.listen(128)
        else:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            self._listener = socket.create_server((self.host, self.port), family=family)
            self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Refuses connections from now on and drops those that are open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def last(self) -> Request:
        return self.seen[-1]

    @staticmethod
    def _note_sni(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.sni = name  # type: ignore[attr-defined]

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(plain, self.accepted), daemon=True).start()

    def _serve(self, plain: socket.socket, number: int) -> None:
        plain.settimeout(self.idle)
        self._open.add(plain)
        try:
            with self._context.wrap_socket(plain, server_side=True) as connection:
                self._open.add(connection)
                with connection.makefile("rb") as stream:
                    while request := self._read(stream, connection, number):
                        self.seen.append(request)
                        told = self.respond(request)
                        if told is None:
                            return
                        connection.sendall(told)
        except (OSError, AttributeError) as error:
            # AttributeError: stopped just now, and the ssl module has let go of the connection.
            self.failures.append(str(error))
        finally:
            self._open.discard(plain)
            plain.close()

    @staticmethod
    def _read(stream: BufferedReader, connection: ssl.SSLSocket, number: int) -> Request | None:
        line: bytes = stream.readline()
        if not line:
            return None
        headers: list[tuple[str, str]] = []
        while (header := stream.readline()) not in (b"\r\n", b""):
            name, _, value = header.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        sizes = {name.lower(): value for name, value in headers}
        body = b""
        if "content-length" in sizes:
            body = stream.read(int(sizes["content-length"]))
        elif sizes.get("transfer-encoding") == "chunked":
            while size := int(stream.readline(), 16):
                body += stream.read(size)
                stream.readline()
            stream.readline()
        certificate = connection.getpeercert() or {}
        subject: Any = certificate.get("subject", ())
        names = [value for rdn in subject for key, value in rdn if key == "commonName"]
        cipher = connection.cipher()
        return Request(
            line.decode("latin-1").rstrip("\r\n"),
            headers,
            body,
            number,
            names[0] if names else None,
            getattr(connection, "sni", None),
            connection.version(),
            cipher[0] if cipher else None,
            bool(connection.session_reused),
        )


@dataclass
class Answer:
    """What the caller got."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("latin-1")

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def connect(where: Where, *, timeout: float = 10) -> socket.socket:
    """A plain connection to an egress listener."""
    if isinstance(where, int):
        return socket.create_connection(("127.0.0.1", where), timeout)
    text = str(where)
    if text.startswith("["):
        host, _, port = text[1:].partition("]:")
        return socket.create_connection((host, int(port)), timeout)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    connection.connect(text)
    return connection


def request_bytes(
    target: str = "/",
    *,
    method: str = "GET",
    host: str | None = "localhost",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    version: str = "1.1",
) -> bytes:
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def ask(
    where: Where,
    target: str = "/",
    *,
    method: str = "GET",
    host: str | None = "localhost",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    version: str = "1.1",
    timeout: float = 10,
) -> Answer:
    """One request over a connection of its own; nothing is added to what is asked for."""
    with connect(where, timeout=timeout) as connection:
        connection.sendall(
            request_bytes(
                target, method=method, host=host, headers=headers, body=body, version=version
            )
        )
        return read_answer(connection, method)


def read_answer(connection: socket.socket, method: str = "GET") -> Answer:
    """The next answer on a connection."""
    response = HTTPResponse(connection, method=method)
    response.begin()
    body = response.read()
    return Answer(response.status, response.getheaders(), body)


def dead_port() -> int:
    """A port that refuses connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
