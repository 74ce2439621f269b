"""The http fragment: maps, upstreams and the includes of links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.nginx.features import Feature
from handclasp.nginx.render.authorizer import authorizer_fragment
from handclasp.nginx.render.callers_log import callers_map
from handclasp.nginx.render.context import identity_variable
from handclasp.nginx.render.refusals import refusal_maps
from handclasp.nginx.render.text import block, entry
from handclasp.nginx.render.upstreams import upstream_block

if TYPE_CHECKING:
    from handclasp.nginx.parts import Plan
    from handclasp.nginx.render.context import Context


_SENT_AGAIN_SAFELY = (
    *("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"),  # idempotent: RFC 9110 section 9.2.2
    *("POST", "LOCK", "PATCH"),  # held back by nginx itself
)


def http_fragment(context: Context) -> list[str]:
    """http.conf: for the http context of our own nginx or of an existing one."""
    plan = context.plan
    lines = ["# Written by handclasp from its spec. Changes made here are lost with the next plan."]
    lines += _maps(context)
    for name in plan.lookups:
        # A map is evaluated once per handshake or request, so certificate and key come from the same
        # version even when the link moves in between (docs/decisions/0005).
        lines += block(
            "map", "$realpath_root", identity_variable(name), body=["default $realpath_root;"]
        )
    for upstream in plan.upstreams:
        lines += upstream_block(upstream, context)
    lines += authorizer_fragment(plan, context)
    lines += [context.include("listeners.conf"), context.include("redirects.conf")]
    lines += [context.include(link_file(link)) for link in link_names(plan)]
    return lines


def link_names(plan: Plan) -> tuple[str, ...]:
    """Every link, egress first, in the order of the spec."""
    return (*(one.link for one in plan.egress), *(one.link for one in plan.ingress))


def link_file(link: str) -> str:
    """File of a link's fragment."""
    return f"link-{link}.conf"


def _maps(context: Context) -> list[str]:
    return [
        # Only WebSocket is asked for: passing on any Upgrade lets h2c smuggle requests past the proxy.
        # HTTP/2 has no Upgrade; nginx would hand on the header all the same.
        *block(
            "map",
            "$server_protocol:$http_upgrade",
            "$hc_upgrade",
            body=['default "";', "HTTP/1.1:websocket websocket;"],
        ),
        *block("map", "$hc_upgrade", "$hc_connection", body=['default "";', "websocket upgrade;"]),
        *_misdirected(context),
        *block(
            "map",
            "$http_sec_fetch_site",
            "$hc_cross_site",
            body=['default "";', "cross-site 1;"],
        ),
        # Methods that nginx would send a second time although they may not be idempotent: it knows POST,
        # LOCK and PATCH only (ngx_http_upstream_next).
        *block(
            "map",
            "$request_method",
            "$hc_once",
            body=["default 1;", *(f'{name} "";' for name in _SENT_AGAIN_SAFELY)],
        ),
        # Host for the backend: the name that was compared, with the port the caller wrote. The port of
        # the listener would be wrong wherever a load balancer or container maps another one to it.
        *block(
            "map",
            "$http_host",
            "$hc_host",
            body=["default $host;", entry(r"~(?<hc_port>:[0-9]{1,5})\z", "$host$hc_port")],
        ),
        # The peer of a unix socket has no address; nginx would say "unix:", which is none.
        *block("map", "$remote_addr", "$hc_remote", body=["default $remote_addr;", '"unix:" "";']),
        # Server-sent events, by what their clients ask for (HTML standard, 9.2.3).
        *block(
            "map",
            "$http_accept",
            "$hc_events",
            body=['default "";', entry("~*text/event-stream", 1)],
        ),
        *block("map", "$status", "$hc_refused", body=["default 1;", entry("~^[123]", 0)]),
        *refusal_maps(),
        *callers_map(context),
    ]


def _misdirected(context: Context) -> list[str]:
    """`$hc_misdirected`: 1 for a request whose Host is not the name negotiated in the handshake.

    nginx lower-cases $host and leaves $ssl_server_name as sent, hence the comparison without case.
    """
    if context.facts.has(Feature.REJECT_HANDSHAKE):
        return []  # nginx compares by itself: render.ingress
    return block(
        "map",
        "$ssl_server_name $host",
        "$hc_misdirected",
        body=["default 1;", entry(r"~*\A([^ ]+) \1\z", 0)],
    )
