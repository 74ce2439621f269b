"""nginx without handclasp: the floor (no TLS at all) and TLS left at nginx's defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.model import Site

_POOL = """
upstream target {{
    server 127.0.0.1:{port};
    keepalive 128;
    keepalive_requests 1000000000;
}}
"""


def floor(site: Site) -> str:
    """Plain HTTP on both sides with a pool: what proxying itself costs. `target` speaks HTTP."""
    return (
        _POOL.format(port=site.target)
        + f"""
server {{
    listen 127.0.0.1:{site.listen};
    location / {{
        proxy_pass http://target;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host {site.name};
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $host;
        proxy_set_header X-Forwarded-Port $server_port;
        proxy_set_header X-Request-ID $request_id;
    }}
}}
"""
    )


def stock_ingress(site: Site) -> str:
    """A client certificate required, everything else of TLS as nginx has it by default.

    It has a pool to the backend, so that a comparison with it is about TLS and headers alone, and
    it removes no header: the usual configuration does not.
    """
    return (
        _POOL.format(port=site.target)
        + f"""
server {{
    listen 127.0.0.1:{site.listen} ssl;
    server_name {site.name};
    ssl_certificate {site.certificate("server")};
    ssl_certificate_key {site.key("server")};
    ssl_client_certificate {site.ca};
    ssl_verify_client on;
    ssl_verify_depth 2;
    ssl_protocols TLSv1.2 TLSv1.3;
    location / {{
        proxy_pass http://target;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Client-Cert $ssl_client_escaped_cert;
    }}
}}
"""
    )
