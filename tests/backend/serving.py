"""Real ASGI and WSGI servers, each a process, and raw requests to them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
ASGI = "tests.backend.applications:asgi_application"
WSGI = "tests.backend.applications:wsgi_application"
SERVERS = ("uvicorn", "hypercorn", "granian", "gunicorn", "waitress")
Place = Path | int
"""A unix socket, or a loopback port."""


def command(server: str, application: str, place: Place, interface: str) -> list[str]:
    """How each of them is told where to listen; the socket may be used by nginx's account."""
    unix = isinstance(place, Path)
    tcp = f"127.0.0.1:{place}"
    arguments = {
        "uvicorn": [
            *(["--uds", str(place)] if unix else ["--port", str(place), "--no-proxy-headers"]),
            *("--http", "h11", application),
        ],
        "uvicorn-as-it-comes": [
            *(["--uds", str(place)] if unix else ["--port", str(place)]),
            *("--http", "httptools", application),
        ],
        "hypercorn": ["--bind", f"unix:{place}" if unix else tcp, "--umask", "0", application],
        "gunicorn": [
            *("--bind", f"unix:{place}" if unix else tcp, "--umask", "0", "--no-control-socket"),
            application,
        ],
        "gunicorn-uvicorn": [
            *("--bind", f"unix:{place}" if unix else tcp, "--umask", "0", "--no-control-socket"),
            *("--worker-class", "uvicorn.workers.UvicornWorker", application),
        ],
        "gunicorn-asgi": [
            *("--bind", f"unix:{place}" if unix else tcp, "--umask", "0", "--no-control-socket"),
            *("--worker-class", "asgi", application),
        ],
        "waitress-forwarding": [
            *(f"--listen={tcp}", "--trusted-proxy=*"),
            *("--trusted-proxy-headers=x-forwarded-for x-forwarded-port", application),
        ],
        "waitress": [
            *(
                [f"--unix-socket={place}", "--unix-socket-perms=666"]
                if unix
                else [f"--listen={tcp}"]
            ),
            application,
        ],
        "granian": [
            *(
                ["--uds", str(place), "--uds-permissions", "0666"]
                if unix
                else ["--port", str(place)]
            ),
            *("--interface", interface, application),
        ],
    }[server]
    return [sys.executable, "-m", server.partition("-")[0], *arguments]


@contextlib.contextmanager
def serving(
    server: str,
    application: str,
    place: Place,
    *,
    folder: Path = ROOT,
    working: Path | None = None,
    variables: Mapping[str, str] | None = None,
    interface: str | None = None,
) -> Iterator[Place]:
    """Runs the server until the block ends. `folder` is where the application is imported from, `working`
    what a relative `place` starts at; `interface` is `asgi` or `wsgi`, for the one that does not know.
    """
    interface = interface or ("asgi" if application == ASGI else "wsgi")
    environment = {**os.environ, **(variables or {}), "PYTHONPATH": str(folder)}
    process = subprocess.Popen(
        command(server, application, place, interface),
        cwd=working or folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait(process, place)
        yield place
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _wait(process: subprocess.Popen[bytes], place: Place) -> None:
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError):
            connect(place).close()
            return
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"it does not listen: {process.communicate()[0].decode()}")
        time.sleep(0.05)


def connect(place: Place) -> socket.socket:
    if isinstance(place, Path):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10)
        try:
            connection.connect(str(place))
        except OSError:
            connection.close()
            raise
        return connection
    return socket.create_connection(("127.0.0.1", place), timeout=10)


@dataclass
class Answer:
    status: int
    body: bytes


def ask(place: Place, headers: Sequence[tuple[str, str]], *, lines: Sequence[str] = ()) -> Answer:
    """One GET with these headers, and raw lines after them. Status 0: closed without an answer."""
    head = ["GET / HTTP/1.1", "Host: app.example.com", "Connection: close"]
    head += [f"{name}: {value}" for name, value in headers]
    request = "\r\n".join([*head, *lines]).encode("latin-1") + b"\r\n\r\n"
    with connect(place) as connection:
        received = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            connection.sendall(request)
            while data := connection.recv(65536):
                received += data
    answer, _, body = received.partition(b"\r\n\r\n")
    return Answer(int(answer.split()[1]) if answer else 0, body)
