"""Request headers: what is stripped, what is set. nginx inherits none of them once a level sets one,
so each location states all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.nginx.render.text import directive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.nginx.parts import Plan
    from handclasp.nginx.render.context import Context

# Enough for every stripped name in both spellings and those we set; grpc_pass has fixed sizes.
_HASH = ("proxy_headers_hash_max_size", 4096), ("proxy_headers_hash_bucket_size", 128)

_METHOD_OVERRIDES = ("X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override")
"""Many frameworks take the method from these; a rule would then have judged another one."""


def strip_fragment(plan: Plan, kind: str) -> list[str]:
    """Removes every identity and forwarding header a caller may have sent.

    An empty value removes the header. nginx drops names with underscores itself while
    `underscores_in_headers` is off; they are listed for installations where it is on.
    """
    return [directive(f"{kind}_set_header", name, "") for name in plan.stripped]


def strip_file(kind: str) -> str:
    """Name of the fragment."""
    return f"strip-{kind}.conf"


def location_headers(
    kind: str,
    context: Context,
    *,
    host: str,
    scheme: str,
    identity: Sequence[tuple[str, str]],
    websocket: bool,
    by_method: bool = False,
) -> list[str]:
    """The include that strips, then what we set. `by_method`: rules go by the method of a request."""
    lines = [context.include(strip_file(kind))]
    if by_method:
        lines += [directive(f"{kind}_set_header", name, "") for name in _METHOD_OVERRIDES]
    if kind == "proxy":
        lines += [directive(name, value) for name, value in _HASH]
    lines.append(directive(f"{kind}_set_header", "Host", host))
    if websocket:
        lines += [
            directive("proxy_set_header", "Upgrade", "$hc_upgrade"),
            directive("proxy_set_header", "Connection", "$hc_connection"),
        ]
    forwarded = (
        ("X-Real-IP", "$hc_remote"),
        ("X-Forwarded-For", "$hc_remote"),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-Host", "$host"),
        ("X-Forwarded-Port", "$server_port"),
        ("X-Request-ID", "$request_id"),
    )
    lines += [
        directive(f"{kind}_set_header", name, value) for name, value in (*forwarded, *identity)
    ]
    return lines
