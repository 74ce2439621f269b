"""The servers around the proxies under test. Their CPU time is not counted.

Origin: one nginx that is the upstream of egress (mutual TLS, with and without session resumption)
and the backend of ingress (plain). Tunnel: an nginx in front of an ingress that brings the client
certificate wrk cannot bring, once over pooled connections and once with a handshake per request.
"""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.configurations.nginx import TEMPORARY_FOLDERS, outer
from bench.processes import Running, free_port, start
from handclasp.nginx.features import Feature
from handclasp.nginx.locate import read_facts

if TYPE_CHECKING:
    from bench.binaries import Binary
    from bench.model import Site

BIG = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Origin:
    """Ports of the one nginx behind everything."""

    running: Running
    fresh: int
    resuming: int
    plain: int


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Plain ports that lead through mutual TLS to one ingress."""

    running: Running
    pooled: int
    handshake: int
    stranger: int


def start_nginx(binary: Binary, folder: Path, http: str, ports: tuple[int, ...]) -> Running:
    """An nginx of its own prefix in `folder`. Raises StartError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TEMPORARY_FOLDERS:
        (folder / name).mkdir()
    path = folder / "nginx.conf"
    path.write_text(outer(str(folder), http, user=worker_user()))
    error_log = str(folder / "error.log")
    facts = read_facts(Path(binary.path))
    early = ["-e", error_log] if facts.has(Feature.EARLY_LOG) else []
    command = [binary.path, *early, "-p", str(folder), "-c", str(path)]
    return start(command, folder=folder, ports=ports)


def worker_user() -> str | None:
    """`nobody` with its group when started as root, which is what `user` takes; else None."""
    if os.geteuid() != 0:
        return None
    return f"nobody {grp.getgrgid(pwd.getpwnam('nobody').pw_gid).gr_name}"


def start_origin(binary: Binary, folder: Path, site: Site) -> Origin:
    """Upstream and backend. Raises StartError."""
    folder.mkdir(parents=True)
    (folder / "www").mkdir()
    (folder / "www" / "1m").write_bytes(os.urandom(BIG))
    fresh, resuming, plain = free_port(), free_port(), free_port()
    http = (
        _mutual_tls(site, fresh, plain, folder, "ssl_session_tickets off; ssl_session_cache off;")
        + _mutual_tls(site, resuming, plain, folder, "ssl_session_cache shared:s:10m;")
        + _backend(plain, folder)
    )
    running = start_nginx(binary, folder, http, (fresh, resuming, plain))
    return Origin(running, fresh, resuming, plain)


def _mutual_tls(site: Site, port: int, plain: int, folder: Path, sessions: str) -> str:
    return f"""
server {{
    listen 127.0.0.1:{port} ssl backlog=4096;
    server_name {site.name};
    ssl_certificate {site.certificate("server")};
    ssl_certificate_key {site.key("server")};
    ssl_client_certificate {site.ca};
    ssl_verify_client on;
    ssl_protocols TLSv1.2 TLSv1.3;
    {sessions}
    root {folder}/www;
    location = /small {{ return 200 "hello world\\n"; }}
    # `return` would answer before the body is read, and cost the proxy its connection.
    location = /sink {{
        client_body_buffer_size 2m;
        proxy_pass http://127.0.0.1:{plain}/small;
        proxy_method GET;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
    }}
    location = /seen {{
        return 200 "$ssl_client_s_dn|$ssl_protocol|$ssl_session_reused|$connection_requests";
    }}
}}
"""


def _backend(port: int, folder: Path) -> str:
    return f"""
server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {folder}/www;
    large_client_header_buffers 4 32k;
    location = /small {{ return 200 "hello world\\n"; }}
    location = /seen {{
        return 200 "$http_x_client_cert|$http_x_forwarded_client_cert|$http_x_ssl_client_verify";
    }}
}}
"""


def start_tunnel(binary: Binary, folder: Path, site: Site, ingress_port: int) -> Tunnel:
    """The client side of one ingress. Raises StartError."""
    pooled, handshake, stranger = free_port(), free_port(), free_port()
    pool = "upstream pool { server 127.0.0.1:%d; keepalive 128; keepalive_timeout 4s; }\n"
    http = (
        pool % ingress_port
        + _entry(site, pooled, "https://pool", "client", 'Connection ""')
        # Without an upstream block there is no pool in any version of nginx.
        + _entry(site, handshake, f"https://127.0.0.1:{ingress_port}", "client", "Connection close")
        + _entry(
            site, stranger, f"https://127.0.0.1:{ingress_port}", "stranger", "Connection close"
        )
    )
    running = start_nginx(binary, folder, http, (pooled, handshake, stranger))
    return Tunnel(running, pooled, handshake, stranger)


def _entry(site: Site, port: int, target: str, who: str, connection: str) -> str:
    return f"""
server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
        proxy_pass {target};
        proxy_http_version 1.1;
        proxy_set_header {connection};
        proxy_set_header Host {site.name};
        proxy_ssl_certificate {site.material}/{who}.pem;
        proxy_ssl_certificate_key {site.material}/{who}.key;
        proxy_ssl_trusted_certificate {site.ca};
        proxy_ssl_verify on;
        proxy_ssl_name {site.name};
        proxy_ssl_server_name on;
        proxy_ssl_protocols TLSv1.3;
        proxy_ssl_session_reuse off;
        proxy_max_temp_file_size 0;
        proxy_buffer_size 32k;
        proxy_buffers 8 32k;
        proxy_busy_buffers_size 64k;
    }}
}}
"""
