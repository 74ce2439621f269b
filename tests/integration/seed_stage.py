"""The five blocks of the document this project was asked from, run by nginx itself; and the specs that do
their job, run by handclasp."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from tests import pki
from tests.conftest import early_log
from tests.integration.running import write_spec
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = ROOT / "tests" / "fixtures" / "seed"
EXAMPLES = ROOT / "examples"
SERVER_A = "servera.example.com"
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Cast:
    """What the examples and the blocks name, in `certs/` of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certs = folder / "certs"
        self.ca, self.customers = pki.authority("Test CA"), pki.authority("Customers CA")
        self.other_ca = pki.authority("Other CA")
        self.client = self.add("client", "svc-b")
        self.add("svc-x", "svc-x")
        self.partner = self.add("partner", "svc-b-partner")
        names = [SERVER_A, "localhost"]  # the blocks are tried against localhost, which resolves
        self.add("server", "server-a", sans=names, usages=[pki.SERVER])
        self.add("wrong-name", "x", sans=["other.example.com"], usages=[pki.SERVER])
        self.add("wrong-ca", "y", issuer=self.other_ca, sans=names, usages=[pki.SERVER])
        self.add("edge", "edge", sans=["edge.example.com"], usages=[pki.SERVER])
        self.customer = self.add("customer", "customer-7", issuer=self.customers)
        intermediate = pki.authority("Intermediate", issuer=self.ca)
        self.add("client_chain", "svc-b", issuer=intermediate)
        (self.certs / "ca.pem").write_bytes(self.ca.pem)
        (self.certs / "customers-ca.pem").write_bytes(self.customers.pem)

    def add(
        self, file: str, name: str, *, issuer: pki.Pair | None = None, **options: Any
    ) -> pki.Pair:
        """FILE.pem and FILE.key, by our CA unless told otherwise."""
        pair = pki.leaf(issuer or self.ca, name, **options)
        pair.write(self.certs, file)
        return pair

    def pair(self, file: str) -> tuple[Path, Path]:
        return self.certs / f"{file}.pem", self.certs / f"{file}.key"

    def trusting(self, client: str | None, *, ciphers: str | None = None) -> ssl.SSLContext:
        """A caller's TLS context."""
        context = ssl.create_default_context(cafile=str(self.certs / "ca.pem"))
        if ciphers:
            context.set_ciphers(ciphers)
        if client:
            context.load_cert_chain(*self.pair(client))
        return context


@dataclass
class Origin(Backend):
    """A server A that wants a client certificate, and writes down which names it was called by."""

    called: list[str | None] = field(default_factory=list)
    refuses_nameless: bool = False
    ciphers: str | None = None

    async def _serve(self, ready: threading.Event) -> None:
        await super()._serve(ready)
        await asyncio.sleep(0.05)  # handshakes the client broke off end in callbacks of their own

    def _context(self) -> ssl.SSLContext | None:
        context = super()._context()
        assert context is not None

        def note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
            self.called.append(name)
            refused = self.refuses_nameless and name is None
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME if refused else None

        context.sni_callback = note
        if self.ciphers:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(self.ciphers)
        return context


def origin(cast: Cast, certificate: str = "server", **options: Any) -> Origin:
    """Server A; it accepts clients of the Test CA."""
    return Origin(certificate=cast.pair(certificate), client_ca=cast.certs / "ca.pem", **options)


class RawBackend:
    """Keeps the bytes of each request's head; for what an HTTP server would already have interpreted."""

    def __init__(self) -> None:
        heads: list[bytes] = []

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                heads.append(b"".join(iter(self.rfile.readline, b"\r\n")))
                self.wfile.write(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )

        self.heads = heads
        self._server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def block(name: str, changes: Mapping[str, str]) -> str:
    """A block of the document; every change must find what it replaces."""
    text = (BLOCKS / f"{name}.conf").read_text("utf-8")
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def installation(nginx: Path, folder: Path, text: str, *, http_only: bool = True) -> list[str]:
    """Arguments for an nginx whose http block holds `text` and nothing that changes its meaning."""
    (folder / "temp").mkdir(parents=True, exist_ok=True)
    temps = " ".join(f"{name}_temp_path temp/{name};" for name in _TEMPORARY)
    user = "user root root;" if os.geteuid() == 0 else ""
    # Not a pipe: what nginx logs at its default level is part of what is tested.
    head = f"daemon off; pid nginx.pid; {user} worker_processes 1; error_log error.log;"
    events = "events { worker_connections 64; }"
    body = f"http {{ access_log off; {temps}\n{text}\n}}" if http_only else text
    (folder / "nginx.conf").write_text(f"{head}\n{events}\n{body}\n")
    return ["-p", str(folder), "-c", "nginx.conf", *early_log(nginx, "error.log")]


def nginx_test(nginx: Path, folder: Path, text: str) -> str:
    """What `nginx -t` says; empty when it accepts."""
    done = subprocess.run(
        [str(nginx), "-t", "-q", *installation(nginx, folder, text)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode == 0) == (done.stderr.strip() == ""), done.stderr
    return done.stderr


class Original:
    """nginx with a block of the document."""

    def __init__(self, nginx: Path, folder: Path, text: str, port: int) -> None:
        arguments = installation(nginx, folder, text)
        self.folder, self.port = folder, port
        self.process = subprocess.Popen([str(nginx), *arguments], stderr=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError as error:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.__exit__()
                    raise AssertionError(self.error_log) from error
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)

    @property
    def error_log(self) -> str:
        return (self.folder / "error.log").read_text(errors="replace")


@dataclass(frozen=True)
class Answer:
    """Status and body."""

    status: int
    text: str


class Caller:
    """A keep-alive connection of a client, plain or TLS, over TCP or a unix socket."""

    def __init__(
        self,
        where: int | Path,
        *,
        tls: ssl.SSLContext | None = None,
        name: str | None = SERVER_A,
        address: str = "127.0.0.1",
    ) -> None:
        if isinstance(where, Path):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(where))
        else:
            connection = socket.create_connection((address, where), 10)
        connection.settimeout(10)
        if tls is not None:
            if name is None:
                tls.check_hostname = False
            connection = tls.wrap_socket(connection, server_hostname=name)
        self._http = http.client.HTTPConnection(SERVER_A if tls else "localhost")
        self._http.sock = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str = "/", **headers: str) -> Answer:
        """Header names are given with `_` for `-`."""
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        self._http.request("GET", path, headers=sent)
        answer = self._http.getresponse()
        return Answer(answer.status, answer.read().decode(errors="replace"))


def get(where: int | Path, path: str = "/", **headers: str) -> Answer:
    """One request on a connection of its own."""
    with Caller(where) as caller:
        return caller.get(path, **headers)


def example(cast: Cast, name: str, **link: Any) -> Path:
    """examples/NAME.yaml beside the certificates, its one link moved to this machine by `link`.

    Nothing else of the example changes, and every key but `verify` must be in it already.
    """
    spec = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text("utf-8"))
    (target,) = spec.get("egress", []) + spec.get("ingress", [])
    assert set(link) - set(target) <= {"verify"}, link
    target.update(link)
    return write_spec(cast.folder, f"{name}-{time.monotonic_ns()}", spec)
