"""An nginx without handclasp: what it does with certificates as they are."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _configured(folder: Path, port: int, directives: str) -> Path:
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi")
    )
    places += f"uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;"
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log info;"
        f"events {{}} http {{ access_log off; {places} server {{ listen 127.0.0.1:{port} ssl;"
        f" ssl_protocols TLSv1.2 TLSv1.3; {directives} location / {{ return 200 ok; }} }} }}\n"
    )
    return path


def refusal(binary: Path, folder: Path, directives: str) -> str:
    """What `nginx -t` says against it; empty when it takes it."""
    configuration = _configured(folder, 1, directives)
    done = subprocess.run(
        [binary, "-t", "-q", "-p", folder, "-c", configuration],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.stderr if done.returncode else ""


@contextlib.contextmanager
def serving(binary: Path, folder: Path, port: int, directives: str) -> Iterator[None]:
    """It listens on 127.0.0.1:port until the end of the block."""
    configuration = _configured(folder, port, directives)
    with subprocess.Popen(
        [binary, "-p", folder, "-c", configuration], stderr=subprocess.DEVNULL
    ) as one:
        try:
            _wait(port, one)
            yield
        finally:
            one.terminate()
            one.wait(10)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, "nginx ended"
        time.sleep(0.02)
    raise AssertionError("nginx does not listen")


def status(
    port: int, *, root: Path, identity: tuple[Path, Path] | None = None, version: str = "TLSv1_3"
) -> int:
    """The status of `GET /` over a connection to localhost that is verified by `root`."""
    context = ssl.create_default_context(cafile=root)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    if identity is not None:
        context.load_cert_chain(*identity)
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        return connection.getresponse().status
