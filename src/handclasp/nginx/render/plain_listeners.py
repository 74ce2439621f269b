"""Listeners without TLS that never reach a backend: health of an ingress link, redirects to https,
answers to challenges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.nginx.render.challenges import challenge_location, challenge_server
from handclasp.nginx.render.inherited import inherited_include
from handclasp.nginx.render.text import block, directive

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """redirects.conf: one default server per address that knows no name, and a redirect per link; where
    challenges are answered, each has the location for that, and addresses that do nothing else follow."""
    lines: list[str] = []
    answering = context.plan.challenges
    by_address: dict[ListenAddress, list[IngressServer]] = {}
    for server in context.plan.ingress:
        if server.redirect:
            by_address.setdefault(server.redirect, []).append(server)
    for address, servers in sorted(by_address.items(), key=lambda item: str(item[0])):
        answers = _answers(context) if address in answering else []
        lines += _plain_server(address, ("_",), directive("return", 421), answers, default=True)
        for server in servers:
            port = server.listen[0].port
            target = "https://$host" if port in (443, None) else f"https://$host:{port}"
            redirect = directive("return", 308, f"{target}$request_uri")
            lines += _plain_server(address, server.server_names, redirect, answers, default=False)
    for address in answering:
        if address not in by_address:
            lines += challenge_server(
                address, context.layout.challenges, inherited_include(context)
            )
    return lines


def _answers(context: Context) -> list[str]:
    return [*inherited_include(context), *challenge_location(context.layout.challenges)]


def _plain_server(
    address: ListenAddress, names: Sequence[str], end: str, answers: Sequence[str], *, default: bool
) -> list[str]:
    """A server that `end`s every request but those that `answers` has a location for. (A `return` of the
    server itself comes before any location.)"""
    return block(
        "server",
        body=[
            directive("listen", address, *(["default_server"] if default else [])),
            directive("server_name", *names),
            directive("server_tokens", "off"),
            directive("access_log", "off"),
            *((*answers, *block("location", "/", body=[end])) if answers else (end,)),
        ],
    )
