"""`upstream` blocks, and the directives of a location that uses one; http and gRPC by the same code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.nginx.features import Feature
from handclasp.nginx.render.text import block, directive, duration

if TYPE_CHECKING:
    from handclasp.nginx.parts import Server, TimeoutSettings, Upstream, UpstreamTls
    from handclasp.nginx.render.context import Context

_IGNORED = {
    "proxy": ("X-Accel-Redirect", "X-Accel-Expires", "X-Accel-Limit-Rate", "X-Accel-Charset"),
    "grpc": ("X-Accel-Redirect", "X-Accel-Charset"),
}
"""Response headers by which an upstream would command nginx; X-Accel-Buffering stays, it concerns that
answer alone."""
_ONCE = 419  # a status that nothing else here produces
_BALANCE = {"least-connections": "least_conn", "random": "random"}


def upstream_block(upstream: Upstream, context: Context) -> list[str]:
    """One connection policy."""
    facts, pool = context.facts, upstream.pool
    body: list[str] = []
    if facts.has(Feature.UPSTREAM_ZONE):
        # Shared state of failures among workers; also what `resolve` needs.
        body.append(directive("zone", upstream.name, "256k"))
    if any(server.resolve for server in upstream.servers):
        valid = context.plan.resolver_valid
        body.append(
            directive(
                "resolver", *context.plan.resolver, *([f"valid={duration(valid)}"] if valid else [])
            )
        )
    if balance := _BALANCE.get(upstream.balance):
        body.append(directive(balance))
    body += [_server(server) for server in upstream.servers]
    if facts.has(Feature.UPSTREAM_KEEPALIVE):
        body += [
            directive("keepalive", pool.size),
            directive("keepalive_timeout", duration(pool.idle)),
            directive("keepalive_requests", pool.requests),
        ]
        if facts.has(Feature.UPSTREAM_KEEPALIVE_TIME):
            body.append(directive("keepalive_time", duration(pool.age)))
    return block("upstream", upstream.name, body=body)


def _server(server: Server) -> str:
    values: list[str] = [server.address]
    if server.weight != 1:
        values.append(f"weight={server.weight}")
    if server.max_fails != 1:
        values.append(f"max_fails={server.max_fails}")
    if server.fail_timeout is not None and duration(server.fail_timeout) != "10s":
        values.append(f"fail_timeout={duration(server.fail_timeout)}")
    if server.backup:
        values.append("backup")
    if server.resolve:
        values.append("resolve")
    return directive("server", *values)


def pass_directives(
    upstream: Upstream, context: Context, *, timeouts: TimeoutSettings, tries: int, buffering: bool
) -> list[str]:
    """What sends a location's requests to an upstream, headers excepted. `tries` 0 sends once, whatever
    happens; with 1 nginx still repeats a request whose kept-open connection turned out to be closed."""
    kind = "grpc" if upstream.grpc else "proxy"
    lines = [directive(f"{kind}_pass", f"{upstream.scheme}://{upstream.name}")]
    if upstream.tls:
        lines += _tls_directives(kind, upstream.tls, context)
    lines += [
        directive(f"{kind}_connect_timeout", duration(timeouts.connect)),
        directive(f"{kind}_read_timeout", duration(timeouts.read)),
        directive(f"{kind}_send_timeout", duration(timeouts.send)),
        *_retries(kind, tries),
        # With X-Accel-Redirect an upstream could have this nginx ask another route, under its identity.
        directive(f"{kind}_ignore_headers", *_IGNORED[kind]),
        # Answers of the upstream are its own, its 502 too; error_page is for failures of ours.
        directive(f"{kind}_intercept_errors", "off"),
    ]
    if kind == "proxy":
        lines += [
            directive("proxy_http_version", "1.1"),
            # Bodies are passed on as they come and never written to disk.
            directive("proxy_request_buffering", "off"),
            directive("proxy_max_temp_file_size", 0),
            directive("proxy_buffering", "on" if buffering else "off"),
            *_buffers(context, buffering=buffering),
        ]
    return lines


def _retries(kind: str, tries: int) -> list[str]:
    if tries == 0:
        return [directive(f"{kind}_next_upstream", "off")]
    return [
        directive(f"{kind}_next_upstream", "error", "timeout"),
        directive(f"{kind}_next_upstream_tries", tries),
    ]


def once_page(twin: str) -> str:
    """Leads requests that must not be sent twice to a named location that is rendered with `tries` 0; it
    keeps method and body. Beside a location's own error_page lines, for a level inherits all or none."""
    return directive("error_page", _ONCE, "=", twin)


def once_guard() -> list[str]:
    """For the location itself: sends them there."""
    return block("if", "(", "$hc_once", ")", body=[f"return {_ONCE};"])


def _buffers(context: Context, *, buffering: bool) -> list[str]:
    """Sizes by measurement (docs/decisions/0007).

    `proxy_buffer_size` is allocated by every request, and musl, which static builds come with, maps and
    unmaps larger ones each time; the others are allocated only for bodies that need them.
    """
    small, large = ("8k", "16k") if context.facts.static else ("16k", "32k")
    return [
        directive("proxy_buffer_size", small if buffering else large),
        directive("proxy_buffers", 8, "32k"),
        directive("proxy_busy_buffers_size", "64k"),
        directive("client_body_buffer_size", "64k"),
    ]


def _tls_directives(kind: str, tls: UpstreamTls, context: Context) -> list[str]:
    facts = context.facts
    lines: list[str] = []
    if tls.identity:
        certificate, key = context.identity_files(tls.identity, wanted=tls.lookup)
        if context.looks_up(tls.identity, wanted=tls.lookup):
            lines.append(directive("root", context.identity_root(tls.identity)))
            if facts.has(Feature.CERTIFICATE_CACHE):
                lines.append(
                    directive(
                        f"{kind}_ssl_certificate_cache", "max=1000", "inactive=1h", "valid=1h"
                    )
                )
        lines += [
            directive(f"{kind}_ssl_certificate", certificate),
            directive(f"{kind}_ssl_certificate_key", key),
        ]
    lines += [
        directive(f"{kind}_ssl_server_name", "on"),
        directive(f"{kind}_ssl_name", tls.name),
        directive(f"{kind}_ssl_protocols", *tls.settings.protocols),
        directive(f"{kind}_ssl_ciphers", ":".join(tls.settings.ciphers)),
        directive(f"{kind}_ssl_session_reuse", "on" if tls.session_reuse else "off"),
    ]
    if tls.trust:
        lines += [
            directive(f"{kind}_ssl_verify", "on"),
            directive(f"{kind}_ssl_verify_depth", tls.depth),
            directive(f"{kind}_ssl_trusted_certificate", context.trust_file(tls.trust, "ca.pem")),
        ]
        if tls.crl:
            lines.append(directive(f"{kind}_ssl_crl", context.trust_file(tls.trust, "crl.pem")))
    else:
        lines.append(directive(f"{kind}_ssl_verify", "off"))
    if facts.has(Feature.PROXY_SSL_CONF_COMMAND):
        lines.append(directive(f"{kind}_ssl_conf_command", "Groups", ":".join(tls.settings.groups)))
        if tls.settings.suites:
            lines.append(
                directive(f"{kind}_ssl_conf_command", "Ciphersuites", ":".join(tls.settings.suites))
            )
    return lines
