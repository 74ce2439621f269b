"""How large a request header the usual servers admit by default, and which of them a caller exceeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from handclasp.identity.encoders.encode import line_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ORDINARY_HEADERS: Final = 1024
"""Bytes kept for what else a request carries: request line, Host, User-Agent, Accept, X-Forwarded-*."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One server's default. `line` is the most bytes of one header line, `total` of the whole head; None:
    no such bound. `option` raises it; `source` is where the number comes from."""

    server: str
    line: int | None
    total: int | None
    option: str
    source: str


LIMITS: Final[tuple[Limit, ...]] = (
    Limit(
        "nginx",
        8 * 1024,
        32 * 1024,
        "large_client_header_buffers",
        "https://nginx.org/en/docs/http/ngx_http_core_module.html#large_client_header_buffers",
    ),
    Limit(
        "Apache httpd",
        8190,
        None,
        "LimitRequestFieldSize",
        "https://httpd.apache.org/docs/2.4/mod/core.html#limitrequestfieldsize",
    ),
    Limit(
        "HAProxy",
        None,
        15 * 1024,  # tune.bufsize less tune.maxrewrite
        "tune.bufsize",
        "https://docs.haproxy.org/2.8/configuration.html#tune.bufsize",
    ),
    Limit(
        "Envoy",
        None,
        60 * 1024,
        "max_request_headers_kb",
        "https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/network/"
        "http_connection_manager/v3/http_connection_manager.proto",
    ),
    Limit(
        "gunicorn",
        8190,
        None,
        "--limit-request-field_size",
        "https://docs.gunicorn.org/en/stable/settings.html#limit-request-field-size",
    ),
    Limit(
        "uvicorn and hypercorn (h11)",
        None,
        16 * 1024,
        "--h11-max-incomplete-event-size",
        "h11/_connection.py, DEFAULT_MAX_INCOMPLETE_EVENT_SIZE; hypercorn/config.py",
    ),
    Limit(
        "waitress",
        None,
        256 * 1024,
        "max_request_header_size",
        "https://docs.pylonsproject.org/projects/waitress/en/stable/arguments.html",
    ),
    Limit(
        "wsgiref and http.server",
        64 * 1024,
        None,
        "none",
        "https://docs.python.org/3/library/http.client.html, _MAXLINE",
    ),
    Limit(
        "Node.js",
        None,
        16 * 1024,
        "--max-http-header-size",
        "https://nodejs.org/api/cli.html#--max-http-header-sizesize",
    ),
    Limit(
        "Tomcat",
        None,
        8 * 1024,
        "maxHttpRequestHeaderSize",
        "https://tomcat.apache.org/tomcat-10.1-doc/config/http.html",
    ),
    Limit(
        "Jetty",
        None,
        8 * 1024,
        "requestHeaderSize",
        "https://jetty.org/docs/jetty/12/operations-guide/modules/standard.html",
    ),
    Limit(
        "Kestrel (ASP.NET Core)",
        None,
        32 * 1024,
        "MaxRequestHeadersTotalSize",
        "https://learn.microsoft.com/dotnet/api/microsoft.aspnetcore.server.kestrel.core."
        "kestrelserverlimits.maxrequestheaderstotalsize",
    ),
    Limit(
        "IIS (http.sys)",
        16 * 1024,
        16 * 1024,
        "MaxFieldLength, MaxRequestBytes",
        "https://learn.microsoft.com/troubleshoot/developer/webapps/iis/iisadmin-service-inetinfo/"
        "httpsys-registry-windows",
    ),
    Limit(
        "Go net/http",
        None,
        1024 * 1024,
        "Server.MaxHeaderBytes",
        "https://pkg.go.dev/net/http#pkg-constants",
    ),
)
"""Defaults, smallest or largest as the server's own documentation or source has them."""


@dataclass(frozen=True, slots=True)
class Excess:
    """A server that refuses these headers with its default settings."""

    limit: Limit
    size: int
    header: str | None
    """The header that is too long by itself; None: all of them together are."""


def too_large(
    headers: Sequence[tuple[str, str]],
    *,
    limits: Iterable[Limit] = LIMITS,
    others: int = ORDINARY_HEADERS,
) -> tuple[Excess, ...]:
    """The servers that these headers are too large for; `others` are bytes of what else is sent."""
    sizes = {name: line_size(name, value) for name, value in headers}
    longest = max(sizes, key=sizes.__getitem__, default=None)
    total = sum(sizes.values()) + others
    found = []
    for limit in limits:
        if longest is not None and limit.line is not None and sizes[longest] > limit.line:
            found.append(Excess(limit, sizes[longest], longest))
        elif limit.total is not None and total > limit.total:
            found.append(Excess(limit, total, None))
    return tuple(found)


def fits(headers: Sequence[tuple[str, str]], server: str) -> bool:
    """Whether a server of the table admits these headers. Raises KeyError for an unknown one."""
    limit = {one.server: one for one in LIMITS}[server]
    return not too_large(headers, limits=[limit])
