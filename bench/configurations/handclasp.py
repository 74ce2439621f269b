"""handclasp's nginx, written by hand after the decisions in docs/decisions.

What `handclasp run` renders is preferred when this installation can do that (`bench.rendered`);
this text is the same in what costs time: a pool per connection policy, sessions not reused, every
identity header removed, the certificate forwarded. `lookup` resolves the identity's directory once
per handshake, which is how certificates are replaced without a reload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.configurations.headers import removed

if TYPE_CHECKING:
    from bench.model import Site

_UPSTREAM = """
upstream target {{
    server 127.0.0.1:{port};
    keepalive 128;
    keepalive_timeout 4s;
    keepalive_requests 1000000000;
}}
"""
# 1000 requests per pooled connection is nginx's default and HAProxy and Caddy have no such bound;
# without it a full handshake per 1000 requests would be in one column and not in the next.

_PROXYING = """
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_next_upstream error timeout;
        proxy_max_temp_file_size 0;
        proxy_request_buffering off;
        client_body_buffer_size 64k;
"""


def egress(site: Site, *, lookup: bool = False, small_buffers: bool = False) -> str:
    """Plain HTTP in, mutual TLS out. `small_buffers`: see `_buffers`."""
    who = "$hc_id_client" if lookup else site.material
    return (
        _UPSTREAM.format(port=site.target)
        + (_lookup_map("client") if lookup else "")
        + f"""
server {{
    listen 127.0.0.1:{site.listen};
    {f"root {site.material}/identities/client/current;" if lookup else ""}
    location / {{
        proxy_pass https://target;
        proxy_ssl_certificate {who}/client.pem;
        proxy_ssl_certificate_key {who}/client.key;
        {_certificate_cache("proxy_", lookup=lookup, small_buffers=small_buffers)}
        proxy_ssl_trusted_certificate {site.ca};
        proxy_ssl_verify on;
        proxy_ssl_verify_depth 4;
        proxy_ssl_name {site.name};
        proxy_ssl_server_name on;
        proxy_ssl_protocols TLSv1.2 TLSv1.3;
        proxy_ssl_session_reuse off;
        proxy_set_header Host {site.name};
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $host;
        proxy_set_header X-Forwarded-Port $server_port;
        proxy_set_header X-Request-ID $request_id;
        {_buffers(small_buffers=small_buffers)}
{_PROXYING}
    }}
}}
"""
    )


def ingress(site: Site, *, lookup: bool = False, small_buffers: bool = False) -> str:
    """Mutual TLS in, plain HTTP to the backend, the certificate forwarded."""
    who = "$hc_id_server" if lookup else site.material
    return (
        _UPSTREAM.format(port=site.target)
        + (_lookup_map("server") if lookup else "")
        + f"""
server {{
    listen 127.0.0.1:{site.listen} ssl;
    server_name {site.name};
    {f"root {site.material}/identities/server/current;" if lookup else ""}
    ssl_certificate {who}/server.pem;
    ssl_certificate_key {who}/server.key;
    {_certificate_cache("", lookup=lookup, small_buffers=small_buffers)}
    ssl_client_certificate {site.ca};
    ssl_verify_client on;
    ssl_verify_depth 4;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_tickets off;
    ssl_session_cache off;
    location / {{
        proxy_pass http://target;
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $host;
        proxy_set_header X-Forwarded-Port $server_port;
        proxy_set_header X-Request-ID $request_id;
        proxy_set_header X-Client-Cert $ssl_client_escaped_cert;
        proxy_set_header X-Client-Verify $ssl_client_verify;
        proxy_set_header X-Client-Subject $ssl_client_s_dn;
        proxy_set_header X-Client-Issuer $ssl_client_i_dn;
        proxy_set_header X-Client-Serial $ssl_client_serial;
        proxy_set_header X-Client-Fingerprint $ssl_client_fingerprint;
        proxy_set_header X-Client-Not-After $ssl_client_v_end;
{_stripped()}
        {_buffers(small_buffers=small_buffers)}
{_PROXYING}
    }}
}}
"""
    )


def _stripped() -> str:
    return "\n".join(f'        proxy_set_header {name} "";' for name in removed())


def _lookup_map(who: str) -> str:
    return f"map $realpath_root $hc_id_{who} {{ default $realpath_root; }}\n"


def _certificate_cache(prefix: str, *, lookup: bool, small_buffers: bool) -> str:
    # The wheel's nginx is newer than 1.27.4, the distribution's older.
    if not (lookup and small_buffers):
        return ""
    return f"{prefix}ssl_certificate_cache max=1000 inactive=1h valid=1h;"


def _buffers(*, small_buffers: bool) -> str:
    """Large buffers make 1 MiB bodies cheap; the first one is allocated by every request.

    musl's allocator asks the kernel for blocks of 32k and more each time, so the wheel's nginx
    keeps the first one small.
    """
    first = "8k" if small_buffers else "16k"
    return f"proxy_buffer_size {first}; proxy_buffers 8 32k; proxy_busy_buffers_size 64k;"
