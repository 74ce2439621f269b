"""The real Pebble (Let's Encrypt's ACME server for tests), the DNS it asks, and an nginx that answers it.

Debian's `pebble` brings Pebble and pebble-challtestsrv. Every name resolves to 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests import pki
from tests.conftest import early_log
from tests.issuers.openbao import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

START_SECONDS = 20


def programs() -> bool:
    """Whether both programs are installed."""
    return bool(shutil.which("pebble") and shutil.which("pebble-challtestsrv"))


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 0.5):
        return True
    return False


def until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"did not start: {log.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(0.02)


@contextlib.contextmanager
def started(
    command: list[str], folder: Path, name: str, ready: Callable[[], bool], **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A server with its log in `folder`, up when `ready`, ended by its pid."""
    log = folder / f"{name}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin", **environment},
        )
    try:
        until(ready, process, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@dataclass(frozen=True)
class NameServer:
    """Where DNS is asked, and where records are set: POST /set-txt and /clear-txt."""

    port: int
    management: int


@contextlib.contextmanager
def name_server(folder: Path, *, address: str = "127.0.0.1") -> Iterator[NameServer]:
    """A DNS server by which every name is at `address`."""
    port, management = free_port(), free_port()
    command = [
        "pebble-challtestsrv",
        *("-defaultIPv4", address, "-defaultIPv6", ""),
        *("-dns01", f"127.0.0.1:{port}", "-management", f"127.0.0.1:{management}"),
        *("-http01", "", "-https01", "", "-tlsalpn01", ""),
    ]
    with started(command, folder, "challtestsrv", lambda: accepts(management)):
        yield NameServer(port, management)


@dataclass(frozen=True)
class Pebble:
    """A running server: where its directory is, and the CA of its own TLS certificate."""

    directory: str
    ca: Path
    log: Path


@contextlib.contextmanager
def running(
    folder: Path,
    *,
    dns: int,
    http_port: int,
    environment: Mapping[str, str] | None = None,
    bindings: Mapping[str, str] | None = None,
) -> Iterator[Pebble]:
    """Pebble, which looks for answers at `http_port`; with `bindings` it wants external accounts."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    authority = pki.authority("Pebble TLS CA")
    pair = pki.leaf(authority, "pebble", sans=("ip:127.0.0.1", "localhost"), usages=(pki.SERVER,))
    certificate, key = pair.write(folder, "pebble")
    ca = folder / "ca.pem"
    ca.write_bytes(authority.pem)
    configuration = {
        "listenAddress": f"127.0.0.1:{port}",
        "certificate": str(certificate),
        "privateKey": str(key),
        "httpPort": http_port,
        "tlsPort": free_port(),
        "externalAccountBindingRequired": bindings is not None,
        "externalAccountMACKeys": dict(bindings or {}),
    }
    file = folder / "pebble.json"
    file.write_text(json.dumps({"pebble": configuration}))
    command = ["pebble", "-config", str(file), "-dnsserver", f"127.0.0.1:{dns}"]
    fast = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
    variables = {**fast, **(environment or {})}
    with started(command, folder, "pebble", lambda: _answers(port, ca), **variables):
        yield Pebble(f"https://127.0.0.1:{port}/dir", ca, folder / "pebble.log")


def _answers(port: int, ca: Path) -> bool:
    context = ssl.create_default_context(cafile=str(ca))
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as plain:
        context.wrap_socket(plain, server_hostname="127.0.0.1").close()
        return True
    return False


CHALLENGE_LOCATION = """
        location ^~ /.well-known/acme-challenge/ {
            alias %s/;
            default_type text/plain;
            limit_except GET { deny all; }
        }
"""


@contextlib.contextmanager
def answering(
    binary: Path, folder: Path, challenges: Path, *, port: int, address: str = "127.0.0.1"
) -> Iterator[None]:
    """An nginx on `address`:`port` that serves the files of `challenges`, and 404 else."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nginx.conf").write_text(
        f"""
daemon off; master_process off; pid nginx.pid; error_log error.log;
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
    uwsgi_temp_path tmp; scgi_temp_path tmp;
    server {{
        listen {address}:{port};
        {CHALLENGE_LOCATION % challenges}
        location / {{ return 404; }}
    }}
}}
"""
    )
    early = early_log(binary, str(folder / "error.log"))
    command = [str(binary), *early, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with started(command, folder, "nginx", lambda: accepts(port, address)):
        yield
