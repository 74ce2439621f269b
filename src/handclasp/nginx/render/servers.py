"""What every server of ours has: connection limits and logs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from handclasp.nginx.features import Feature
from handclasp.nginx.render.inherited import inherited_include
from handclasp.nginx.render.text import directive, duration, identifier, size

if TYPE_CHECKING:
    from datetime import timedelta

    from handclasp.nginx.parts import LimitSettings, TimeoutSettings
    from handclasp.nginx.render.context import Context

_LOG_FIELDS = {
    "time": "$time_iso8601",
    "request_id": "$request_id",
    "status": "$status",
    "remote": "$remote_addr",
    "host": "$host",
    "method": "$request_method",
    "protocol": "$server_protocol",
    "seconds": "$request_time",
    "upstream": "$upstream_addr",
    "upstream_status": "$upstream_status",
}
_TLS_LOG_FIELDS = {
    "sni": "$ssl_server_name",
    "tls": "$ssl_protocol",
    "verify": "$ssl_client_verify",
    "subject": "$ssl_client_s_dn",
    "issuer": "$ssl_client_i_dn",
    "serial": "$ssl_client_serial",
    "days_left": "$ssl_client_v_remain",
}
INTERNAL = "/.handclasp"
"""Prefix of our own internal locations; requests from outside get 404 there."""


def log_format(link: str, *, tls: bool, reason: str | None = None) -> str:
    """The access log of a link: one JSON object a line. A refused certificate shows as status 400, so
    the verification result stands beside it; `reason` is the variable that says why a caller was refused."""
    fields = {"link": link, **_LOG_FIELDS, **(_TLS_LOG_FIELDS if tls else {})}
    if reason:
        fields["reason"] = reason
    return directive("log_format", _format_name(link), "escape=json", json.dumps(fields))


def _format_name(link: str) -> str:
    return f"hc_{identifier(link)}"


def refusal_log(link: str, context: Context) -> str:
    """For a location that answers refused callers with status 200, which `access: refused` leaves out."""
    if context.plan.access_log == "off":
        return directive("access_log", "off")
    return directive("access_log", context.layout.access_log, _format_name(link))


def access_log(link: str, context: Context) -> str:
    """Where and what requests are logged."""
    match context.plan.access_log:
        case "off":
            return directive("access_log", "off")
        case "all":
            return directive("access_log", context.layout.access_log, _format_name(link))
        case _:
            return directive(
                "access_log", context.layout.access_log, _format_name(link), "if=$hc_refused"
            )


def connection_directives(
    timeouts: TimeoutSettings,
    limits: LimitSettings,
    context: Context,
    *,
    link: str,
    age: timedelta | None = None,
) -> list[str]:
    """Limits on what a caller may do with a connection."""
    lines = [
        *inherited_include(context),
        directive("server_tokens", "off"),
        directive("client_max_body_size", size(limits.body)),
        directive("large_client_header_buffers", 4, size(limits.header)),
        directive("client_header_timeout", duration(timeouts.header)),
        directive("client_body_timeout", duration(timeouts.send)),
        directive("send_timeout", duration(timeouts.send)),
        directive("keepalive_timeout", duration(timeouts.idle)),
        directive("keepalive_requests", 10_000),
        # Stated, because an existing installation may have set them otherwise.
        directive("underscores_in_headers", "off"),
        directive("ignore_invalid_headers", "on"),
    ]
    if age and context.facts.has(Feature.CLIENT_KEEPALIVE_TIME):
        lines.append(directive("keepalive_time", duration(age)))
    if context.facts.has(Feature.KEEPALIVE_MIN_TIMEOUT):
        # A reload then tells idle clients with their next answer instead of resetting them.
        lines.append(directive("keepalive_min_timeout", "5s"))
    if limits.rate:
        burst = [f"burst={limits.burst}", "nodelay"] if limits.burst else []
        lines += [
            directive("limit_req", f"zone=hc_rate_{identifier(link)}", *burst),
            directive("limit_req_status", 429),
        ]
    if limits.connections:
        lines += [
            directive("limit_conn", f"hc_conn_{identifier(link)}", limits.connections),
            directive("limit_conn_status", 429),
        ]
    return lines


def limit_zones(link: str, limits: LimitSettings) -> list[str]:
    """Zones the limits count in, for the http context."""
    lines: list[str] = []
    if limits.rate:
        zone = f"zone=hc_rate_{identifier(link)}:2m"
        lines.append(
            directive("limit_req_zone", "$binary_remote_addr", zone, f"rate={limits.rate}")
        )
    if limits.connections:
        zone = f"zone=hc_conn_{identifier(link)}:2m"
        lines.append(directive("limit_conn_zone", "$binary_remote_addr", zone))
    return lines
