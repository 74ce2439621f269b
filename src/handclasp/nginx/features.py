"""Which nginx can do what: the one table of version gates.

The versions are those of nginx's own change log (docs/xml/nginx/changes.xml of nginx/nginx) and of
the directive's page on nginx.org; where neither says it, the source file is named beside the row.
``facts`` asks this table; nothing else compares versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Version = tuple[int, int, int]

MINIMUM_VERSION: Version = (1, 18, 0)
"""The oldest nginx that is supported: that of Debian 11 and Ubuntu 20.04 and 22.04."""


class Feature(StrEnum):
    """Something that not every supported build can do. Ask ``Facts.has`` and ``Facts.missing``."""

    ESCAPED_CERT = "escaped-cert"
    SERVER_CERTIFICATE_VARIABLES = "server-certificate-variables"
    UPSTREAM_CERTIFICATE_VARIABLES = "upstream-certificate-variables"
    REJECT_HANDSHAKE = "reject-handshake"
    SSL_CONF_COMMAND = "ssl-conf-command"
    PROXY_SSL_CONF_COMMAND = "proxy-ssl-conf-command"
    CLIENT_KEEPALIVE_TIME = "client-keepalive-time"
    UPSTREAM_KEEPALIVE = "upstream-keepalive"
    UPSTREAM_KEEPALIVE_TIME = "upstream-keepalive-time"
    UPSTREAM_ZONE = "upstream-zone"
    UPSTREAM_RESOLVE = "upstream-resolve"
    KEEPALIVE_LOCAL = "keepalive-local"
    KEEPALIVE_ZERO = "keepalive-zero"
    KEEPALIVE_MIN_TIMEOUT = "keepalive-min-timeout"
    CERTIFICATE_CACHE = "certificate-cache"
    OBJECT_CACHE_INHERITABLE = "object-cache-inheritable"
    TRUSTED_CERTIFICATE_ALONE = "trusted-certificate-alone"
    PER_SERVER_PROTOCOLS = "per-server-protocols"
    STORE_KEYS = "store-keys"
    PROXY_PASSWORD_FILE_WITH_VARIABLES = "proxy-password-file-with-variables"  # noqa: S105
    TLS13 = "tls13"
    TLS13_BY_DEFAULT = "tls13-by-default"
    TLS13_SESSION_TIMEOUT = "tls13-session-timeout"
    SSL_CURVE_VARIABLE = "ssl-curve-variable"
    SSL_ALPN = "ssl-alpn"
    ALPN_VARIABLE = "alpn-variable"
    H2_MODULE = "h2-module"
    HTTP2_DIRECTIVE = "http2-directive"
    PROXY_HTTP2 = "proxy-http2"
    GRPC = "grpc"
    REALIP = "realip"
    AUTHORIZER = "authorizer"
    JOINED_HEADERS = "joined-headers"
    LIMIT_REQ = "limit-req"
    STUB_STATUS = "stub-status"
    STREAM = "stream"
    STREAM_SSL = "stream-ssl"
    EARLY_LOG = "early-log"


@dataclass(frozen=True, slots=True)
class Need:
    """What a feature asks of a build; ``what`` names it in a sentence that starts with it."""

    what: str
    since: Version = MINIMUM_VERSION
    modules: tuple[str, ...] = ()
    openssl: Version | None = None  # lowest OpenSSL it can be built with
    also_with: tuple[str, ...] = ()  # other libraries that have it, where `openssl` is given
    loads_libraries: bool = False  # a statically linked program cannot
    broken: tuple[Version, Version] | None = None  # first broken version, first mended one


NEEDS: dict[Feature, Need] = {
    Feature.ESCAPED_CERT: Need("$ssl_client_escaped_cert", (1, 13, 5)),
    Feature.SERVER_CERTIFICATE_VARIABLES: Need("a variable in ssl_certificate", (1, 15, 9)),
    Feature.UPSTREAM_CERTIFICATE_VARIABLES: Need(
        "a variable in proxy_ssl_certificate and grpc_ssl_certificate", (1, 21, 0)
    ),
    # Before, nginx opens the error log it was built with first and grumbles where it may not.
    Feature.EARLY_LOG: Need("the -e option", (1, 19, 5)),
    Feature.REJECT_HANDSHAKE: Need("ssl_reject_handshake", (1, 19, 4)),
    # Other libraries lack SSL_CONF_cmd(); nginx then refuses the directive (ngx_event_openssl.c).
    Feature.SSL_CONF_COMMAND: Need("ssl_conf_command", (1, 19, 4), openssl=(1, 0, 2)),
    Feature.PROXY_SSL_CONF_COMMAND: Need("proxy_ssl_conf_command", (1, 19, 4), openssl=(1, 0, 2)),
    Feature.CLIENT_KEEPALIVE_TIME: Need("keepalive_time", (1, 19, 10)),
    Feature.UPSTREAM_KEEPALIVE: Need(
        "a connection pool to the upstream", modules=("http_upstream_keepalive",)
    ),
    Feature.UPSTREAM_KEEPALIVE_TIME: Need(
        "keepalive_time in an upstream block", (1, 19, 10), ("http_upstream_keepalive",)
    ),
    Feature.UPSTREAM_ZONE: Need("zone in an upstream block", modules=("http_upstream_zone",)),
    Feature.UPSTREAM_RESOLVE: Need(
        "the resolve parameter of an upstream server", (1, 27, 3), ("http_upstream_zone",)
    ),
    Feature.KEEPALIVE_LOCAL: Need(
        "the local parameter of keepalive", (1, 29, 7), ("http_upstream_keepalive",)
    ),
    # Refused before: ngx_http_upstream_keepalive_module.c, "n == NGX_ERROR || n == 0" up to 1.29.6.
    Feature.KEEPALIVE_ZERO: Need("keepalive 0", (1, 29, 7), ("http_upstream_keepalive",)),
    Feature.KEEPALIVE_MIN_TIMEOUT: Need("keepalive_min_timeout", (1, 27, 4)),
    Feature.CERTIFICATE_CACHE: Need(
        "a cache of certificates read per handshake (ssl_certificate_cache)", (1, 27, 4)
    ),
    Feature.OBJECT_CACHE_INHERITABLE: Need("ssl_object_cache_inheritable", (1, 27, 4)),
    Feature.TRUSTED_CERTIFICATE_ALONE: Need(
        "client verification with ssl_trusted_certificate alone", (1, 27, 2)
    ),
    Feature.PER_SERVER_PROTOCOLS: Need(
        "ssl_protocols of a server that is not the default one",
        (1, 29, 2),
        openssl=(1, 1, 1),
        also_with=("BoringSSL",),  # the other callback in ngx_ssl_set_client_hello_callback()
    ),
    # OSSL_STORE with providers came with OpenSSL 3.0.
    Feature.STORE_KEYS: Need(
        "a key from an OpenSSL provider (store:)",
        (1, 29, 0),
        openssl=(3, 0, 0),
        loads_libraries=True,
    ),
    Feature.PROXY_PASSWORD_FILE_WITH_VARIABLES: Need(
        "proxy_ssl_password_file together with a variable in proxy_ssl_certificate_key",
        (1, 21, 0),
        broken=((1, 23, 1), (1, 27, 5)),
    ),
    Feature.TLS13: Need(
        "TLS 1.3", openssl=(1, 1, 1), also_with=("LibreSSL", "BoringSSL", "AWS-LC")
    ),
    Feature.TLS13_BY_DEFAULT: Need("TLS 1.3 without being asked for", (1, 23, 4)),
    Feature.TLS13_SESSION_TIMEOUT: Need("ssl_session_timeout under TLS 1.3", (1, 23, 2)),
    Feature.SSL_CURVE_VARIABLE: Need("$ssl_curve", (1, 21, 5), openssl=(3, 0, 0)),
    Feature.SSL_ALPN: Need("ssl_alpn", (1, 21, 4), ("stream_ssl",)),
    Feature.ALPN_VARIABLE: Need("$ssl_alpn_protocol", (1, 21, 4)),
    Feature.H2_MODULE: Need("HTTP/2 from clients", modules=("http_v2",)),
    Feature.HTTP2_DIRECTIVE: Need("the http2 directive", (1, 25, 1), ("http_v2",)),
    Feature.PROXY_HTTP2: Need("HTTP/2 to the upstream", (1, 29, 4), ("http_v2",)),
    Feature.GRPC: Need("gRPC", modules=("http_v2", "http_grpc")),
    Feature.REALIP: Need("real client addresses (set_real_ip_from)", modules=("http_realip",)),
    # Multiple header lines with one name are joined in $http_NAME (CHANGES of 1.23.0).
    Feature.JOINED_HEADERS: Need("all headers of one name in a variable", (1, 23, 0)),
    Feature.AUTHORIZER: Need(
        "asking the agent about callers (auth_request and proxy_cache)",
        modules=("http_auth_request", "http_proxy", "http_cache"),
    ),
    Feature.LIMIT_REQ: Need("rate limits (limit_req)", modules=("http_limit_req",)),
    Feature.STUB_STATUS: Need("stub_status", modules=("http_stub_status",)),
    Feature.STREAM: Need("TCP links (stream)", modules=("stream",)),
    Feature.STREAM_SSL: Need("TCP links with TLS", modules=("stream", "stream_ssl")),
}


def dotted(version: Version) -> str:
    """``(1, 22, 1)`` as ``1.22.1``."""
    return ".".join(map(str, version))
