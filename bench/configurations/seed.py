"""The egress configuration this project started from, as its brief gives it.

Source: the project's brief ("For Server B's nginx configuration (acting as reverse proxy)").
The block is unchanged but for file paths and ports and three things without which it does not
connect on loopback: the upstream is given by address, `proxy_ssl_server_name on` sends SNI, and
`proxy_ssl_name` is the name in the certificate. What makes it slow is left as written: no
`upstream` block, so no connection pool, and HTTP/1.0 to the upstream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.model import Site


def egress(site: Site) -> str:
    """The brief's server block in an otherwise empty http block."""
    return f"""
server {{
    listen 127.0.0.1:{site.listen};
    server_name localhost;

    location / {{
        proxy_pass https://127.0.0.1:{site.target};
        proxy_ssl_certificate {site.certificate("client")};
        proxy_ssl_certificate_key {site.key("client")};
        proxy_ssl_trusted_certificate {site.ca};
        proxy_ssl_verify on;
        proxy_ssl_verify_depth 2;
        proxy_ssl_session_reuse on;

        # SNI and name, so that it connects
        proxy_ssl_server_name on;
        proxy_ssl_name {site.name};

        # Optional headers
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
    }}
}}
"""
