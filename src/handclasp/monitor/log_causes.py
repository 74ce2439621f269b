"""Failed handshakes as nginx's error log tells them: whether a line is one, why, and on which link. Pure.

Only what a line says for certain is given a cause of the catalogue. A peer that refuses with
`handshake_failure`, or a certificate whose issuer is not known to whoever verifies it, may have several; they
are UNKNOWN_CAUSE. Messages begin with nginx's own words (ngx_http_request.c, ngx_http_upstream.c,
ngx_event_openssl.c), so nothing that a caller sends is taken for one.
"""

from __future__ import annotations

import errno
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from handclasp.monitor.metrics import UNKNOWN_CAUSE

if TYPE_CHECKING:
    from handclasp.nginx.errorlog import ErrorLine
    from handclasp.nginx.parts import Plan

SEVERAL_LINKS = "*"
"""Stands for the link where several share what the line names, or none has it. No link is called so."""

_VERIFY = re.compile(r"(?P<side>client|upstream) SSL certificate verify error: \((?P<code>\d+):")
# X509_V_ERR_… (openssl/x509_vfy.h), the same whichever side verifies.
_BY_VERIFY_CODE = {
    3: "crl-missing-for-chain",
    9: "cert-not-yet-valid",
    10: "cert-expired",
    12: "crl-expired",
    22: "verify-depth-too-low",
    23: "cert-revoked",
    24: "ca-not-a-ca",
    25: "path-length-exceeded",
    26: "wrong-eku-or-purpose",
    32: "ca-keyusage-missing-certsign",
    34: "critical-extension-unknown",
    47: "name-constraint-violated",
    48: "name-constraint-violated",
    66: "key-too-small",
    67: "key-too-small",
    68: "digest-too-weak",
}
# No way from the certificate to a CA that is believed. Of a client that is what the catalogue calls so; of an
# upstream it may be its chain as well as our trust.
_CLIENT_NOT_TRUSTED = frozenset((18, 19, 20, 21))
_UPSTREAM_NOT_TRUSTED = frozenset((18, 19))

_TLS = re.compile(r"SSL_(?P<call>do_handshake|read)\(\) failed \(SSL: (?P<errors>.*)")
_ALERT = re.compile(r"SSL alert number (?P<number>\d+)")
# Alerts that were received (RFC 8446 section 6).
_BY_ALERT = {
    44: "cert-revoked",
    45: "cert-expired",
    70: "protocol-version-unsupported",
    116: "client-cert-not-sent",
    120: "alpn-mismatch",
}
_UNKNOWN_CA = 48
_BY_REASON: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r":no shared cipher\b"), "no-shared-cipher"),
    (re.compile(r":unsupported protocol\b"), "protocol-version-unsupported"),
    (re.compile(r":no application protocol\b"), "alpn-mismatch"),
    (re.compile(r":http request\b"), "plain-http-to-tls-port"),
    (re.compile(r":unsafe legacy renegotiation disabled\b"), "legacy-renegotiation"),
    (re.compile(r":(?:ee|ca) key too small\b"), "key-too-small"),
    (re.compile(r":ca md too weak\b"), "digest-too-weak"),
)
_WRONG_VERSION = re.compile(r":wrong version number\b")

# The whole of what nginx says, or its beginning. A connection that is closed before it sent anything
# ("client closed connection while SSL handshaking") is the health check of a load balancer and no failure.
_PLAIN: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"client sent no required SSL certificate\b"), "client-cert-not-sent"),
    (
        re.compile(r"client sent plain HTTP request to HTTPS port\b"),
        "plain-http-to-tls-port",
    ),
    (re.compile(r"handshake rejected while SSL handshaking"), "no-certificate-for-vhost"),
    (re.compile(r"upstream SSL certificate does not match "), "hostname-not-in-san"),
    (
        re.compile(r"(?:client|upstream) timed out \(\d+: [^)]*\) while SSL handshaking"),
        "handshake-timeout",
    ),
    (re.compile(r"peer closed connection in SSL handshake\b"), UNKNOWN_CAUSE),
)

CAUSES = frozenset(
    (
        *_BY_VERIFY_CODE.values(),
        *_BY_ALERT.values(),
        *(slug for _, slug in (*_BY_REASON, *_PLAIN)),
        "server-does-not-trust-client-ca",
        "trust-anchor-wrong",
        "tls-to-plain-port",
        UNKNOWN_CAUSE,
    )
)
"""All that `handshake_failure` may return."""


_SIGNS = (" SSL", "HTTPS port", "handshake rejected", "connect() failed")


def may_tell(line: str) -> bool:
    """A quick look, before the line is taken apart."""
    return any(sign in line for sign in _SIGNS)


def handshake_failure(line: ErrorLine) -> str | None:
    """The cause of the failed handshake (or the refusal after it) that the line tells of; None for any
    other line."""
    said = line.message
    if (verify := _VERIFY.match(said)) is not None:
        return _by_verification(verify["side"] == "client", int(verify["code"]))
    if (tls := _TLS.match(said)) is not None:
        # Not by the line's field, which a long request pushes out of it.
        return _by_tls(tls["call"], tls["errors"], upstream=said.endswith(" upstream"))
    if _reset_before_the_request(line):
        return UNKNOWN_CAUSE
    return next((slug for pattern, slug in _PLAIN if pattern.match(said)), None)


def _reset_before_the_request(line: ErrorLine) -> bool:
    """nginx looks once more whether it is connected when the handshake is done. An upstream that refused us
    meanwhile shows as a failed connect(), with an errno that connecting itself does not give."""
    return (
        line.message.startswith("connect() failed (")
        and line.errno == errno.ECONNRESET
        and (line.upstream or "").startswith(("https://", "grpcs://"))
    )


def _by_verification(client: bool, code: int) -> str:
    if client and code in _CLIENT_NOT_TRUSTED:
        return "server-does-not-trust-client-ca"
    if not client and code in _UPSTREAM_NOT_TRUSTED:
        return "trust-anchor-wrong"
    return _BY_VERIFY_CODE.get(code, UNKNOWN_CAUSE)


def _by_tls(call: str, errors: str, *, upstream: bool) -> str | None:
    """By what OpenSSL put into its queue; a failed read is one of the handshake if it was an alert, which is
    how a refusal reaches the client of TLS 1.3."""
    if (alert := _ALERT.search(errors)) is not None:
        number = int(alert["number"])
        if upstream and number == _UNKNOWN_CA:
            return "server-does-not-trust-client-ca"
        return _BY_ALERT.get(number, UNKNOWN_CAUSE)
    if call == "read":
        return None
    if upstream and _WRONG_VERSION.search(errors):
        return "tls-to-plain-port"
    return next((slug for pattern, slug in _BY_REASON if pattern.search(errors)), UNKNOWN_CAUSE)


class LinkIndex:
    """Which link a line is about: nginx writes the address of a listener, or after the handshake the first
    name of the server, and the address of an upstream."""

    def __init__(self, plan: Plan) -> None:
        """From the plan in effect."""
        servers = {one.name: one.servers for one in plan.upstreams}
        self._by_server: defaultdict[str, set[str]] = defaultdict(set)
        self._by_upstream: defaultdict[str, set[str]] = defaultdict(set)
        for ingress in plan.ingress:
            for address in ingress.listen:
                self._by_server[str(address)].add(ingress.link)
            self._by_server[ingress.server_names[0].lower()].add(ingress.link)
            for server in servers[ingress.backend]:
                self._by_upstream[server.address].add(ingress.link)
        for egress in plan.egress:
            first = "_" if egress.hosts == ("*",) else egress.hosts[0].lower()
            self._by_server[first].add(egress.link)
            for route in egress.routes:
                for server in servers[route.upstream] if route.upstream else ():
                    self._by_upstream[server.address].add(egress.link)

    def link(self, line: ErrorLine) -> str:
        """Its name, or SEVERAL_LINKS."""
        named = self._by_server.get((line.server or "").lower(), set())
        if line.upstream is not None:
            reached = self._by_upstream.get(_address(line.upstream), set())
            # A name that nginx follows itself stands in the plan as a name, so no address is found.
            named = (reached & named or reached) if reached else named
        return next(iter(named)) if len(named) == 1 else SEVERAL_LINKS


def _address(url: str) -> str:
    """`https://192.0.2.1:443/x` → `192.0.2.1:443`; `https://unix:/run/x:/y` → `unix:/run/x`."""
    rest = url.partition("://")[2]
    if rest.startswith("unix:"):
        return f"unix:{rest.removeprefix('unix:').partition(':')[0]}"
    return rest.partition("/")[0]
