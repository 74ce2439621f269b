"""Caddy; it writes X-Forwarded-For, -Proto and -Host by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.configurations.headers import removed

if TYPE_CHECKING:
    from bench.model import Site

_GLOBAL = """{
    admin off
    auto_https off
    persist_config off
    log {
        level ERROR
    }
    servers {
        protocols h1
    }
}
"""


def egress(site: Site) -> str:
    """Plain HTTP in, mutual TLS out, the server's certificate verified by name."""
    return f"""{_GLOBAL}
http://:{site.listen} {{
    bind 127.0.0.1
    reverse_proxy https://127.0.0.1:{site.target} {{
        header_up Host {site.name}
        header_up X-Real-IP {{remote_host}}
        header_up X-Forwarded-Port {{http.request.port}}
        header_up X-Request-ID {{http.request.uuid}}
        transport http {{
            versions 1.1
            keepalive 60s
            keepalive_idle_conns_per_host 128
            tls_client_auth {site.certificate("client")} {site.key("client")}
            tls_trust_pool file {site.ca}
            tls_server_name {site.name}
        }}
    }}
}}
"""


def ingress(site: Site) -> str:
    """Mutual TLS in, identity headers removed, the certificate forwarded as base64 of its DER."""
    client = "{http.request.tls.client."
    # Caddy deletes after it sets (headers.HeaderOps), so a name must not be in both lists.
    strip = "\n".join(f"        header_up -{name}" for name in removed())
    return f"""{_GLOBAL}
https://{site.name}:{site.listen} {{
    bind 127.0.0.1
    tls {site.certificate("server")} {site.key("server")} {{
        protocols tls1.2 tls1.3
        client_auth {{
            mode require_and_verify
            trust_pool file {site.ca}
        }}
    }}
    reverse_proxy 127.0.0.1:{site.target} {{
        transport http {{
            versions 1.1
            keepalive_idle_conns_per_host 128
        }}
{strip}
        header_up X-Real-IP {{remote_host}}
        header_up X-Forwarded-Port {{http.request.port}}
        header_up X-Request-ID {{http.request.uuid}}
        header_up X-Client-Cert {client}certificate_der_base64}}
        header_up X-Client-Verify SUCCESS
        header_up X-Client-Subject {client}subject}}
        header_up X-Client-Issuer {client}issuer}}
        header_up X-Client-Serial {client}serial}}
        header_up X-Client-Fingerprint {client}fingerprint}}
    }}
}}
"""
