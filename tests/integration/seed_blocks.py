"""The five blocks, made to run on one machine by the smallest changes: paths of certificates, ports,
`localhost` for the name of server A (it must resolve), a server or location around a fragment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.seed_stage import Cast, block

if TYPE_CHECKING:
    from pathlib import Path


def egress(cast: Cast, port: int, upstream: int) -> str:
    """Block 1."""
    certificate, key = cast.pair("client")
    return block(
        "1-egress",
        {
            "listen 8080": f"listen {port}",
            "serverA.example.com:443": f"localhost:{upstream}",
            "/path/to/client.crt": str(certificate),
            "/path/to/client.key": str(key),
            "/path/to/ca.crt": str(cast.certs / "ca.pem"),
        },
    )


def fragment(cast: Cast, port: int, upstream: int, *, certificate: Path, key: str = "") -> str:
    """Block 2 in a location."""
    text = block("2-fragment", {"/path/to/client_chain.pem": str(certificate)})
    target = f"proxy_pass https://localhost:{upstream};"
    return f"server {{ listen 127.0.0.1:{port}; location / {{ {target}\n{text}{key} }} }}"


def ingress(cast: Cast, port: int, backend: int) -> str:
    """Block 3."""
    certificate, key = cast.pair("server")
    return block(
        "3-ingress",
        {
            "listen 443 ssl": f"listen {port} ssl",
            "http://localhost:8000": f"http://localhost:{backend}",
            "/etc/nginx/ssl/server.crt": str(certificate),
            "/etc/nginx/ssl/server.key": str(key),
            "/etc/nginx/ssl/ca.crt": str(cast.certs / "ca.pem"),
        },
    )


def egress_original(cast: Cast, port: int, upstream: int) -> str:
    """Block 4."""
    certificate, key = cast.pair("client")
    return block(
        "4-egress-original",
        {
            "listen 8080": f"listen {port}",
            "https://serverA.example.com": f"https://localhost:{upstream}",
            "/etc/nginx/ssl/client.crt": str(certificate),
            "/etc/nginx/ssl/client.key": str(key),
            "/etc/nginx/ssl/ca.crt": str(cast.certs / "ca.pem"),
        },
    )


def pass_through(cast: Cast, port: int, upstream: int, *, repair: tuple[str, str] | None) -> str:
    """Block 5 in a server."""
    certificate, key = cast.pair("client")
    changes = {
        "https://serverA.example.com": f"https://localhost:{upstream}",
        "/etc/nginx/ssl/client.crt": str(certificate),
        "/etc/nginx/ssl/client.key": str(key),
    }
    text = block("5-pass-through", changes | dict([repair] if repair else []))
    return f"server {{ listen 127.0.0.1:{port};\n{text}\n}}"
