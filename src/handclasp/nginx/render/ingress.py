"""Fragments of ingress links: rejecting default servers per address, and one server per link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.nginx.features import Feature
from handclasp.nginx.layout import REJECT_IDENTITY
from handclasp.nginx.render.allow import (
    allow_map,
    allow_variable,
    by_request,
    hop_map,
    hop_variable,
    rule_map,
    rule_variable,
    trusted_hop_map,
    uncovered_map,
    uncovered_variable,
)
from handclasp.nginx.render.authorizer import (
    authorize_directives,
    authorize_location,
    authorizer_maps,
    composed_headers,
    reason_variable,
    too_large_variable,
)
from handclasp.nginx.render.callers_log import callers_format, with_callers
from handclasp.nginx.render.denied import denied_directives, issuer_map
from handclasp.nginx.render.draining import (
    drain_directives,
    drain_guard,
    drain_page,
    looked_up_anew,
)
from handclasp.nginx.render.headers import location_headers
from handclasp.nginx.render.plain_listeners import health_server
from handclasp.nginx.render.refusals import AMBIGUOUS_PATH, linkless_refusals, refusal_directives
from handclasp.nginx.render.servers import (
    access_log,
    connection_directives,
    limit_zones,
    log_format,
)
from handclasp.nginx.render.text import block, directive, duration, size
from handclasp.nginx.render.upstreams import once_guard, once_page, pass_directives
from handclasp.spec.access import Reason

if TYPE_CHECKING:
    from handclasp.nginx.parts import IngressServer, TlsListener
    from handclasp.nginx.render.context import Context
    from handclasp.nginx.tls_profiles import TlsSettings


_EVENTS = 418  # a status that nothing else here produces, to reach the twin location by


def listeners_fragment(context: Context) -> list[str]:
    """listeners.conf: for each address a default server that knows no name.

    It governs what nginx decides before a name is known: time for the handshake, PROXY protocol, size
    of a header line, and whether sessions are resumed, for OpenSSL keeps those of a connection in the
    context it began with. A request whose Host no link knows ends here as well, with 421.
    """
    lines: list[str] = []
    for listener in context.plan.listeners:
        lines += block("server", body=_rejecting_body(listener, context))
    return lines


def _rejecting_body(listener: TlsListener, context: Context) -> list[str]:
    body = [
        *_listen(listener, context, default=True),
        directive("server_name", "_"),
        directive("server_tokens", "off"),
        directive("client_header_timeout", duration(listener.handshake)),
        directive("large_client_header_buffers", 4, size(listener.header)),
        directive("underscores_in_headers", "off"),
        directive("ignore_invalid_headers", "on"),
        *_tls_settings(listener.settings, context),
        # Stated, because an existing installation may have set it: whoever it lets in here could, with
        # the Host of a link, enter there.
        directive("ssl_verify_client", "off"),
        *_sessions(listener),
        directive("error_log", context.layout.error_log, "info"),
        directive("access_log", "off"),
        *linkless_refusals(),
    ]
    if context.facts.has(Feature.REJECT_HANDSHAKE):
        refuse = block("location", "/", body=[directive("return", 421)])
        return [*body, directive("ssl_reject_handshake", "on"), *refuse]
    certificate, key = context.identity_files(REJECT_IDENTITY, wanted=False)
    return [
        *body,
        directive("ssl_certificate", certificate),
        directive("ssl_certificate_key", key),
        *block("location", "/", body=[directive("return", 444)]),
    ]


def _listen(listener: TlsListener, context: Context, *, default: bool) -> list[str]:
    values: list[object] = [listener.address, "ssl"]
    if default:
        values.append("default_server")
    http2_directive = context.facts.has(Feature.HTTP2_DIRECTIVE)
    if listener.http2 and not http2_directive:
        values.append("http2")
    if listener.proxy_protocol:
        values.append("proxy_protocol")
    lines = [directive("listen", *values)]
    if listener.http2 and http2_directive and default:
        lines.append(directive("http2", "on"))
    return lines


def _tls_settings(settings: TlsSettings, context: Context) -> list[str]:
    lines = [
        directive("ssl_protocols", *settings.protocols),
        directive("ssl_ciphers", ":".join(settings.ciphers)),
        directive("ssl_ecdh_curve", ":".join(settings.groups)),
        directive("ssl_early_data", "off"),
    ]
    if context.facts.has(Feature.SSL_CONF_COMMAND):
        if settings.suites:
            lines.append(directive("ssl_conf_command", "Ciphersuites", ":".join(settings.suites)))
        elif context.include_base is not None:
            # Any one keeps those of an existing installation away, whose VerifyCAFile would be believed
            # here too; this one says what ssl_session_tickets does.
            lines.append(directive("ssl_conf_command", "Options", "-SessionTicket"))
    return lines


def ingress_fragment(server: IngressServer, context: Context) -> list[str]:
    """links/NAME.conf of an ingress link."""
    reason = reason_variable(server.link)
    lines = [
        log_format(server.link, tls=True, reason=reason),
        *callers_format(server.link, context),
        *limit_zones(server.link, server.limits),
        *rule_map(server.link, server.rules),
        *uncovered_map(server.link),
        *issuer_map(server),
        *authorizer_maps(server),
    ]
    if server.authorizer is None:
        lines += allow_map(server.link, server.rules)
    if server.original:
        if server.authorizer is None or not server.authorizer.hops:
            lines += trusted_hop_map(server.link, server.original.rules)
        lines += hop_map(server.link, server.original.read)
    lines += block("server", body=_server_body(server, context))
    if server.health:
        lines += health_server(server.health)
    return lines


def _server_body(server: IngressServer, context: Context) -> list[str]:
    listeners = [
        next(one for one in context.plan.listeners if one.address == address)
        for address in server.listen
    ]
    body: list[str] = []
    for listener in listeners:
        body += _listen(listener, context, default=False)
    if server.http2 and context.facts.has(Feature.HTTP2_DIRECTIVE):
        body.append(directive("http2", "on"))
    body.append(directive("server_name", *server.server_names))
    body += _identity(server, context)
    body += _client_verification(server, context)
    body += _tls_settings(server.settings, context)
    body += _sessions(listeners[0])
    body += connection_directives(
        server.timeouts, server.limits, context, link=server.link, age=server.connection_age
    )
    if server.real_ip_header:
        body += [directive("set_real_ip_from", network) for network in server.real_ip_from]
        body.append(directive("real_ip_header", server.real_ip_header))
        # Past every trusted proxy: the first address from the right that is none of them.
        body.append(directive("real_ip_recursive", "on"))
    body += [
        directive("error_log", context.layout.error_log, "info"),
        *with_callers(access_log(server.link, context), server.link, context),
    ]
    # Requests that are refused before a location is found have no reason of ours.
    body.append(directive("uninitialized_variable_warn", "off"))
    body += drain_directives(context)
    body += refusal_directives(server, context)
    body += authorize_location(server, context)
    return body + _location(server, context)


def _identity(server: IngressServer, context: Context) -> list[str]:
    certificate, key = context.identity_files(server.identity, wanted=server.lookup)
    lines: list[str] = []
    if context.looks_up(server.identity, wanted=server.lookup):
        lines.append(directive("root", context.identity_root(server.identity)))
        if context.facts.has(Feature.CERTIFICATE_CACHE):
            lines.append(directive("ssl_certificate_cache", "max=1000", "inactive=1h", "valid=1h"))
    return [
        *lines,
        directive("ssl_certificate", certificate),
        directive("ssl_certificate_key", key),
    ]


def _client_verification(server: IngressServer, context: Context) -> list[str]:
    return [
        directive("ssl_client_certificate", context.trust_file(server.trust, "ca.pem")),
        directive("ssl_verify_client", "optional" if server.verify == "optional" else "on"),
        directive("ssl_verify_depth", server.depth),
        # An existing installation may have set it for all servers; its CAs would be believed here too.
        directive("ssl_trusted_certificate", ""),
        directive("ssl_crl", context.trust_file(server.trust, "crl.pem") if server.crl else ""),
    ]


def _sessions(listener: TlsListener) -> list[str]:
    """A resumed session is not verified again, so by default there is none."""
    if listener.sessions is None:
        return [directive("ssl_session_tickets", "off"), directive("ssl_session_cache", "off")]
    return [
        directive("ssl_session_tickets", "off"),
        directive("ssl_session_cache", f"shared:{listener.sessions}:2m"),
        directive("ssl_session_timeout", duration(listener.session_lifetime)),
    ]


def _location(server: IngressServer, context: Context) -> list[str]:
    upstream = context.upstreams[server.backend]
    kind = "grpc" if upstream.grpc else "proxy"
    identity = [(header.name, header.variable) for header in server.headers]
    identity += composed_headers(server)
    if server.original:
        identity.append((server.original.write, hop_variable(server.link)))
    body: list[str] = looked_up_anew(context)
    if not context.facts.has(Feature.REJECT_HANDSHAKE):
        # Newer builds need no help: their default server lets nobody through without a known SNI, and
        # nginx itself answers 421 to any other Host where clients are verified
        # (ngx_http_set_virtual_server). Here a caller without SNI got as far as this.
        body += block("if", "(", "$hc_misdirected", ")", body=["return 421;"])
    body += _refusals(server, context)

    tries = 2 if len(upstream.servers) > 1 else 1

    def passing(*, buffering: bool, tries: int = tries) -> list[str]:
        return [
            *authorize_directives(server),
            *pass_directives(
                upstream, context, timeouts=server.timeouts, tries=tries, buffering=buffering
            ),
            *location_headers(
                kind,
                context,
                host=server.backend_host or "$hc_host",
                scheme="https",
                identity=identity,
                websocket=kind == "proxy",
                by_method=any(one.rule.methods for one in server.rules),
            ),
        ]

    if kind == "grpc":
        return block("location", "/", body=[*body, *passing(buffering=server.buffering)])
    if server.authorizer:
        body.append(directive("recursive_error_pages", "on"))  # to a twin, and from there to a page
    body += once_guard()
    once = [
        once_page("@hc_once"),
        *drain_page(context, "@hc_once"),
        *block("location", "@hc_once", body=passing(buffering=server.buffering, tries=0)),
    ]
    if not server.buffering:
        body += drain_guard(context)
        return [*block("location", "/", body=[*body, *passing(buffering=False)]), *once]
    # With proxy_buffering nginx's TLS layer holds small pieces back until 16 KB have come together
    # (ngx_ssl_send_chain heeds `flush`, not `recycled`), so those who ask for events get a twin without.
    # Nothing else leads to the twin, and nothing leads to it before the refusals above.
    body += block("if", "(", "$hc_events", ")", body=[f"return {_EVENTS};"])
    body += drain_guard(context)
    return [
        directive("error_page", _EVENTS, "=", "@hc_events"),
        *block("location", "/", body=[*body, *passing(buffering=True)]),
        *block("location", "@hc_events", body=passing(buffering=False)),
        *once,
    ]


def _refusals(server: IngressServer, context: Context) -> list[str]:
    """Who is turned away before anything is passed on, or anybody asked, and why.

    `return` is safe inside `if`; in the location, so that the pages of refusals are not refused too.
    """
    link, uncovered = server.link, uncovered_variable(server.link)

    def refuse(*condition: str, reason: str, status: int = 403) -> list[str]:
        body = [directive("set", reason_variable(link), reason), f"return {status};"]
        return block("if", "(", *condition, ")", body=body)

    lines: list[str] = []
    if by_request(server.rules):
        ambiguous = Reason.PATH_AMBIGUOUS
        status = AMBIGUOUS_PATH.code
        lines += refuse(rule_variable(link), "=", ambiguous, reason=ambiguous, status=status)
        lines += refuse(uncovered, reason=uncovered)
    if server.authorizer:
        lines += refuse(too_large_variable(link), reason=Reason.CERTIFICATE_TOO_LARGE)
        return lines
    lines += denied_directives(server, context, refuse)
    return [*lines, *refuse(allow_variable(link), "=", "0", reason=Reason.NO_RULE_HOLDS)]
