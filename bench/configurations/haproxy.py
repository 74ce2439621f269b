"""HAProxy, one thread, connections to the server reused by all clients (`http-reuse always`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.configurations.headers import removed

if TYPE_CHECKING:
    from bench.model import Site

_GLOBAL = """
global
    nbthread 1
    maxconn 8000
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 60s
    timeout http-request 60s
    http-reuse always
"""

_FORWARDING = """
    http-request set-header X-Real-IP %[src]
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Request-ID %[uuid()]
"""


def egress(site: Site) -> str:
    """Plain HTTP in, mutual TLS out, the server's certificate verified by name."""
    return f"""{_GLOBAL}
frontend in
    bind 127.0.0.1:{site.listen}
{_FORWARDING}
    http-request set-header X-Forwarded-Proto http
    http-request set-header Host {site.name}
    default_backend out
backend out
    server a 127.0.0.1:{site.target} ssl crt {site.both("client")} ca-file {site.ca} \
verify required verifyhost {site.name} sni str({site.name})
"""


def ingress(site: Site) -> str:
    """Mutual TLS in, identity headers removed, the certificate forwarded as base64 of its DER."""
    strip = "\n".join(f"    http-request del-header {name}" for name in removed())
    return f"""{_GLOBAL}
frontend in
    bind 127.0.0.1:{site.listen} ssl crt {site.both("server")} ca-file {site.ca} verify required
{strip}
{_FORWARDING}
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Client-Cert %[ssl_c_der,base64]
    http-request set-header X-Client-Verify %[ssl_c_verify]
    http-request set-header X-Client-Subject %{{+Q}}[ssl_c_s_dn]
    http-request set-header X-Client-Issuer %{{+Q}}[ssl_c_i_dn]
    http-request set-header X-Client-Serial %[ssl_c_serial,hex]
    http-request set-header X-Client-Fingerprint %[ssl_c_sha1,hex]
    http-request set-header X-Client-Not-After %[ssl_c_notafter]
    default_backend out
backend out
    server a 127.0.0.1:{site.target}
"""
