"""Fragment of one egress link: a server for the Hosts it answers to, and a default one that refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.nginx.features import Feature
from handclasp.nginx.render.allow import original_map, original_variable
from handclasp.nginx.render.draining import drain_directives, drain_guard, drain_page
from handclasp.nginx.render.failures import (
    down_location,
    failure_directives,
    failure_pages,
)
from handclasp.nginx.render.headers import location_headers
from handclasp.nginx.render.servers import (
    access_log,
    connection_directives,
    limit_zones,
    log_format,
)
from handclasp.nginx.render.text import block, directive
from handclasp.nginx.render.upstreams import once_guard, once_page, pass_directives

if TYPE_CHECKING:
    from handclasp.nginx.parts import EgressServer, Route
    from handclasp.nginx.render.context import Context

_CROSS_SITE = "A web page of another site sent this request; this link is for applications.\n"
_REFUSED_HOST = (
    "This is the handclasp egress link {link}. It does not answer for the Host of this request;"
    " send the request to localhost, or list the name under accept_hosts.\n"
)


def egress_fragment(server: EgressServer, context: Context) -> list[str]:
    """links/NAME.conf of an egress link."""
    lines = [log_format(server.link, tls=False), *limit_zones(server.link, server.limits)]
    if server.original:
        lines += original_map(server.link, server.original.read)
    any_host = server.hosts == ("*",)
    if not any_host:
        lines += _refusing_server(server, context)
    return lines + _answering_server(server, context, default=any_host)


def _listen(server: EgressServer, context: Context, *, default: bool) -> list[str]:
    values: list[object] = [server.listen]
    if default:
        values.append("default_server")
    http2_directive = context.facts.has(Feature.HTTP2_DIRECTIVE)
    if server.grpc and not http2_directive:
        values.append("http2")
    lines = [directive("listen", *values)]
    if server.grpc and http2_directive:
        lines.append(directive("http2", "on"))
    return lines


def _refusing_server(server: EgressServer, context: Context) -> list[str]:
    """Against DNS rebinding: a page in a browser reaches loopback under a name of its own. The header
    also tells a prober whose listener this is, without a request to the upstream."""
    return block(
        "server",
        body=[
            *_listen(server, context, default=True),
            directive("server_name", "_"),
            *connection_directives(server.timeouts, server.limits, context, link=server.link),
            access_log(server.link, context),
            directive("default_type", "text/plain"),
            directive("add_header", "X-Handclasp-Link", server.link, "always"),
            directive("return", 421, _REFUSED_HOST.format(link=server.link)),
        ],
    )


def _answering_server(server: EgressServer, context: Context, *, default: bool) -> list[str]:
    names = ("_",) if default else server.hosts
    body = [
        *_listen(server, context, default=default),
        directive("server_name", *names),
        *connection_directives(server.timeouts, server.limits, context, link=server.link),
        access_log(server.link, context),
        *drain_directives(context),
    ]
    body += failure_directives(server)
    for number, route in enumerate(server.routes):
        body += _location(server, number, route, context)
    return block("server", body=body)


def _location(server: EgressServer, number: int, route: Route, context: Context) -> list[str]:
    place = ("=", route.path) if route.exact else (route.path,)
    if route.upstream is None:
        inside, beside = down_location(server, number, route.reason or "it has no upstream")
        return [*block("location", *place, body=inside), *beside]
    upstream = context.upstreams[route.upstream]
    kind = "grpc" if upstream.grpc else "proxy"
    original = server.original
    identity = [(original.write, original_variable(server.link))] if original else []

    def passing(tries: int) -> list[str]:
        return [
            *pass_directives(
                upstream,
                context,
                timeouts=route.timeouts,
                tries=tries,
                buffering=server.buffering,
            ),
            *_redirects(kind, route),
            *location_headers(
                kind,
                context,
                host=route.host,
                scheme="$scheme",
                identity=identity,
                websocket=kind == "proxy",
            ),
        ]

    guard = _cross_site_guard(server)
    if kind == "grpc":  # always POST, which nginx does not send twice
        return block("location", *place, body=[*guard, *passing(server.tries)])
    twin = f"@hc_once_{number}"
    return [
        *block(
            "location",
            *place,
            body=[
                *guard,
                # Else a request that has been led to the twin gets nginx's bare page when that fails.
                directive("recursive_error_pages", "on"),
                *failure_pages(server),
                once_page(twin),
                *drain_page(context, twin),
                *drain_guard(context),
                *once_guard(),
                *passing(server.tries),
            ],
        ),
        *block("location", twin, body=passing(0)),
    ]


def _cross_site_guard(server: EgressServer) -> list[str]:
    """A page of another site that a browser on this machine shows can send requests to loopback under a
    Host we accept, and a WebSocket may even read the answers; browsers say so in Sec-Fetch-Site
    (W3C Fetch Metadata). Applications send no such header."""
    if server.listen.path is not None or server.hosts == ("*",):
        return []
    return [
        directive("default_type", "text/plain"),
        *block("if", "(", "$hc_cross_site", ")", body=[directive("return", 403, _CROSS_SITE)]),
    ]


def _redirects(kind: str, route: Route) -> list[str]:
    """An upstream that redirects to itself names itself; an application that followed would leave the
    link, and its client certificate, behind. Below the route's path only: elsewhere other routes hold."""
    if kind != "proxy":
        return []
    if route.host.startswith("$"):
        return [directive("proxy_redirect", "off")]
    path = "/" if route.exact else route.path
    return [directive("proxy_redirect", f"https://{route.host}{path}", f"$scheme://$hc_host{path}")]
