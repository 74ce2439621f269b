"""Servers that speak some of ACME, for answers that no real one can be made to give at will."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import threading
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests import pki

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.issuers.pebble import Pebble


@dataclass(frozen=True)
class Canned:
    """One answer; HERE in it is the server's own address. A status of 400 and more is a problem."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Front:
    """A server, where it is reached, and what it was asked."""

    answer: Callable[[str], Canned]
    directory: str
    ca: Path
    asked: list[str] = field(default_factory=list)
    """Paths, in order."""
    said: list[tuple[str, Any]] = field(default_factory=list)
    """Path and payload of signed requests, in order."""


def problem(kind: str, detail: str, *, status: int = 400, **headers: str) -> Canned:
    """A refusal (RFC 7807)."""
    body = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Canned(status, body, named)


NONCE = {"Replay-Nonce": "bm9uY2Utbm9uY2Utbm9uY2U", "Cache-Control": "no-store"}
DIRECTORY = {name: f"HERE/{name}" for name in ("newNonce", "newAccount", "newOrder")}
ACCOUNT = Canned(201, {"status": "valid"}, {"Location": "HERE/account/1"})


@contextlib.contextmanager
def stubborn(
    folder: Path, answers: Mapping[str, Canned], *, directory: Mapping[str, Any] | None = None
) -> Iterator[Front]:
    """A whole server that gives what `answers` has for a path, always the same."""
    fixed = {
        "/dir": Canned(200, {**DIRECTORY, **(directory or {})}),
        "/newNonce": Canned(200, {}),
        **answers,
    }
    with listening(folder, fixed.__getitem__) as front:
        yield front


@contextlib.contextmanager
def with_renewal_info(
    folder: Path, server: Pebble, window: dict[str, str] | None, *, offered: bool = True
) -> Iterator[Front]:
    """`server` with RFC 9773 on top: its directory, and the `window` for every certificate.

    All the rest goes to `server` itself, whose addresses are in the directory.
    """
    trust = ssl.create_default_context(cafile=str(server.ca))

    def answer(path: str) -> Canned:
        if path == "/dir":
            with urllib.request.urlopen(server.directory, context=trust, timeout=10) as real:
                directory = json.load(real)
            directory.pop("renewalInfo", None)  # newer ones have it themselves
            ours = {"renewalInfo": "HERE/renewal-info"} if offered else {}
            return Canned(200, directory | ours)
        if window is None:
            return problem("serverInternal", "no", status=500)
        return Canned(200, {"suggestedWindow": window})

    with listening(folder, answer) as front:
        yield front


@contextlib.contextmanager
def listening(folder: Path, answer: Callable[[str], Canned]) -> Iterator[Front]:
    """`answer` behind TLS on loopback; the directory is at /dir."""
    authority = pki.authority("Front TLS CA")
    pair = pki.leaf(authority, "front", sans=("ip:127.0.0.1",), usages=(pki.SERVER,))
    certificate, key = pair.write(folder, "front")
    ca = folder / "front-ca.pem"
    ca.write_bytes(authority.pem)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server = _Server(tls)
    server.front = Front(answer, f"https://127.0.0.1:{server.server_port}/dir", ca)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.front
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close waits for them
    front: Front

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        with contextlib.suppress(OSError), self.tls.wrap_socket(request, server_side=True) as safe:
            super().finish_request(safe, client_address)


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.0: every connection is for one request."""

    server: _Server

    def do_GET(self) -> None:
        front = self.server.front
        front.asked.append(self.path)
        canned = front.answer(self.path)
        here = front.directory.removesuffix("/dir")
        body = json.dumps(canned.body).replace("HERE", here).encode()
        self.send_response(canned.status)
        failed = canned.status >= 400
        self.send_header("Content-Type", f"application/{'problem+' if failed else ''}json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in {**NONCE, **canned.headers}.items():
            self.send_header(name, value.replace("HERE", here))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self) -> None:
        signed = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["payload"]
        text = base64.urlsafe_b64decode(signed + "==")
        self.server.front.said.append((self.path, json.loads(text) if text else None))
        self.do_GET()

    do_HEAD = do_GET  # noqa: N815  the library's names

    def log_message(self, *_: object) -> None:
        pass
