"""Listeners without TLS that never reach a backend: health of an ingress link, redirects to https."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.nginx.render.text import block, directive

if TYPE_CHECKING:
    from handclasp.nginx.parts import IngressServer
    from handclasp.nginx.render.context import Context
    from handclasp.spec.values import ListenAddress


def health_server(address: ListenAddress) -> list[str]:
    """A default server that answers 200 to GET /healthz and nothing else."""
    return block(
        "server",
        body=[
            directive("listen", address, "default_server"),
            directive("access_log", "off"),
            directive("server_tokens", "off"),
            directive("default_type", "text/plain"),
            *block("location", "=", "/healthz", body=[directive("return", 200, "ok\n")]),
            *block("location", "/", body=[directive("return", 404)]),
        ],
    )


def redirects_fragment(context: Context) -> list[str]:
    """redirects.conf: one default server per address that knows no name, and a redirect per link."""
    lines: list[str] = []
    by_address: dict[ListenAddress, list[IngressServer]] = {}
    for server in context.plan.ingress:
        if server.redirect:
            by_address.setdefault(server.redirect, []).append(server)
    for address, servers in sorted(by_address.items(), key=lambda item: str(item[0])):
        lines += block(
            "server",
            body=[
                directive("listen", address, "default_server"),
                directive("server_name", "_"),
                directive("server_tokens", "off"),
                directive("access_log", "off"),
                directive("return", 421),
            ],
        )
        for server in servers:
            port = server.listen[0].port
            target = "https://$host" if port in (443, None) else f"https://$host:{port}"
            lines += block(
                "server",
                body=[
                    directive("listen", address),
                    directive("server_name", *server.server_names),
                    directive("server_tokens", "off"),
                    directive("access_log", "off"),
                    directive("return", 308, f"{target}$request_uri"),
                ],
            )
    return lines
