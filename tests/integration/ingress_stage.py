"""Many ingress links in one running nginx, and a caller that chooses every byte and every certificate."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import pytest

from handclasp.nginx.features import Feature
from tests.conftest import facts_of
from tests.integration.running import Running, write_spec

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from handclasp.nginx.facts import Facts
    from tests.integration.running import Material

SERVER = "servera.example.com"
NAMES = (
    SERVER,
    "*.example.com",
    "*.wild.example.com",
)
Credentials = tuple["Path", "Path"]


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def value(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Caller:
    """Opens connections to one address of a link. `ca` verifies the server; None takes any server."""

    port: int
    ca: Path | None = None
    address: str = "127.0.0.1"
    preamble: bytes = b""  # sent before TLS begins: the PROXY protocol
    unix: Path | None = None

    def connect(
        self,
        sni: str | None = SERVER,
        credentials: Credentials | None = None,
        *,
        alpn: Sequence[str] = (),
        version: ssl.TLSVersion | None = None,
        session: ssl.SSLSession | None = None,
        context: ssl.SSLContext | None = None,
        source: str | None = None,
    ) -> ssl.SSLSocket:
        """A finished handshake. Raises ssl.SSLError when the server refuses it."""
        context = context or self.context(credentials, alpn=alpn, version=version)
        plain = self.plain(source)
        plain.sendall(self.preamble)
        try:
            return context.wrap_socket(plain, server_hostname=sni, session=session)
        except BaseException:
            plain.close()
            raise

    def context(
        self,
        credentials: Credentials | None = None,
        *,
        alpn: Sequence[str] = (),
        version: ssl.TLSVersion | None = None,
    ) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        if self.ca is None:
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_verify_locations(self.ca)
        if credentials:
            context.load_cert_chain(*credentials)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def plain(self, source: str | None = None) -> socket.socket:
        """TCP alone."""
        if self.unix is not None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(10)
            connection.connect(str(self.unix))
            return connection
        return socket.create_connection(
            (self.address, self.port), timeout=10, source_address=(source, 0) if source else None
        )

    def get(
        self,
        path: str = "/",
        *,
        sni: str | None = SERVER,
        host: str | None = None,
        credentials: Credentials | None = None,
        headers: Sequence[tuple[str, str]] = (),
        method: str = "GET",
        body: bytes = b"",
        source: str | None = None,
    ) -> Answer:
        """One well-formed HTTP/1.1 request. The Host is the SNI unless told otherwise."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host or sni}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        request = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
        (answer,) = self.send(request, sni=sni, credentials=credentials, source=source)
        return answer

    def send(
        self,
        request: bytes,
        *,
        sni: str | None = SERVER,
        credentials: Credentials | None = None,
        source: str | None = None,
    ) -> list[Answer]:
        """Raw bytes over TLS, and every answer until the server closes (or falls silent)."""
        with self.connect(sni, credentials, source=source) as tls:
            tls.sendall(request)
            return read_answers(tls)


class _Reader:
    """http.client wants something with `makefile`; one buffer serves all answers of a connection."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream

    def makefile(self, *_: Any) -> Any:
        return _Unclosable(self._stream)


class _Unclosable:
    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """The next answer is read from the same stream."""

    def flush(self) -> None:
        """Nothing is written here."""


def read_answers(connection: socket.socket, *, method: str = "GET") -> list[Answer]:
    """Every complete answer on the connection."""
    connection.settimeout(10)
    answers: list[Answer] = []
    with (
        contextlib.suppress(TimeoutError, ConnectionError, ssl.SSLError, OSError),
        connection.makefile("rb") as stream,
    ):
        while stream.peek(1):
            answer = http.client.HTTPResponse(_Reader(stream), method=method)  # type: ignore[arg-type]
            answer.begin()
            body = answer.read()
            answers.append(Answer(answer.status, answer.getheaders(), body))
            connection.settimeout(0.15)
    return answers


class FixedBackend:
    """Answers every request with the same bytes, whatever it says, and counts them."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                if request := connection.recv(65536):
                    self.requests.append(request)
                    connection.sendall(self.answer)


class RecordingBackend:
    """Keeps every byte of a request, trailers too, which HTTP servers drop; answers it with 200."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self._record(connection)

    def _record(self, connection: socket.socket) -> None:
        """One request. What follows its end, until the peer closes or falls silent, is kept with it."""
        connection.settimeout(5)
        index, told = len(self.requests), False
        self.requests.append(b"")
        while data := connection.recv(65536):
            self.requests[index] += data
            if not told and _is_whole(self.requests[index]):
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                told = True
                connection.settimeout(0.2)


def _is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    if fields.get(b"transfer-encoding") == b"chunked":
        last_chunk = body.startswith(b"0\r\n") or b"\r\n0\r\n" in body
        return last_chunk and body.endswith(b"\r\n\r\n")
    return bool(end) and len(body) >= int(fields.get(b"content-length", b"0"))


@dataclass
class Stage:
    """A running nginx with the links of one spec."""

    material: Material
    running: Running
    port: int
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def caller(self) -> Caller:
        return Caller(self.port, self.material.folder / "ca.pem")

    def pair(self, name: str = "svc-b") -> Credentials:
        return self.material.pair(name)

    @property
    def facts(self) -> Facts:
        """What this nginx can do."""
        return facts_of(self.running.nginx)

    def ask_host(self, host: str, path: str = "/", *, sni: str = SERVER) -> Answer | None:
        """Ask for a Host that may be nobody's here: before 1.19.4 that is an end without an answer."""
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        answers = self.caller.send(request.encode("latin-1"), sni=sni, credentials=self.pair())
        if not answers and not self.facts.has(Feature.REJECT_HANDSHAKE):
            return None
        (answer,) = answers
        return answer

    def assert_unknown_name_is_rejected(self, caller: Caller, sni: str | None) -> None:
        """In the handshake; before 1.19.4 by a certificate that names nobody and no answer."""
        if self.facts.has(Feature.REJECT_HANDSHAKE):
            with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
                caller.connect(sni, self.pair())
            return
        blind = dataclasses.replace(caller, ca=None)
        request = f"GET / HTTP/1.1\r\nHost: {sni or 'nobody.invalid'}\r\n\r\n"
        with blind.connect(sni, self.pair()) as tls:
            certificate = tls.getpeercert(binary_form=True)
            assert certificate is not None
            assert b"rejected.invalid" in certificate
            tls.sendall(request.encode())
            assert read_answers(tls) == []


def link(name: str, listen: str | list[str], backend: str, **more: Any) -> dict[str, Any]:
    """One ingress link with sensible keys; NAME.example.com unless `server_names` is given."""
    return {
        "name": name,
        "listen": listen,
        "server_names": [f"{name}.example.com"],
        "identity": "server-a",
        "clients": {"trust": "company", "allow": "any"},
        "backend": backend,
        "forward": ["x-client-cert", "x-ssl-cert"],
        **more,
    }


def spec_of(
    material: Material,
    links: Sequence[dict[str, Any]],
    *,
    trust: dict[str, Any] | None = None,
    **top: Any,
) -> dict[str, Any]:
    """A spec of ingress links over the usual cast."""
    used = {one["clients"]["trust"] for one in links} | {
        one["backend_tls"]["trust"] for one in links if "backend_tls" in one
    }
    known = {
        "company": {"certificates": ["ca.pem"]},
        "others": {"certificates": ["other-ca.pem"]},
        **(trust or {}),
    }
    return {
        "identities": {"server-a": material.identity("server-a")},
        "trust": {name: value for name, value in known.items() if name in used},
        "ingress": list(links),
        **top,
    }


@contextlib.contextmanager
def running_stage(
    material: Material,
    nginx: Path,
    name: str,
    spec: dict[str, Any],
    port: int,
    **extra: Any,
) -> Iterator[Stage]:
    """Runs the spec until the block ends."""
    path = write_spec(material.folder, f"{name}-{port}", spec)
    with Running(path, nginx) as running:
        yield Stage(material, running, port, extra)


_GIVEN: set[int] = set()


def ports(count: int) -> list[int]:
    """So many different free loopback ports, for module-scoped fixtures; none is given twice in a run, since
    files of a test are named after them."""
    sockets: list[socket.socket] = []
    found: list[int] = []
    while len(found) < count:
        sockets.append(socket.create_server(("127.0.0.1", 0)))
        port = sockets[-1].getsockname()[1]
        if port not in _GIVEN:
            found.append(port)
    for one in sockets:
        one.close()
    _GIVEN.update(found)
    return found


def until(claim: Callable[[], bool], within: float = 5.0) -> bool:
    """Whether the claim comes true in time (logs are written after the answer)."""
    import time

    deadline = time.monotonic() + within
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
