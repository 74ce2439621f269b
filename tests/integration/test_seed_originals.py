"""What docs/seed.md says of the five blocks, shown with the blocks themselves, unrepaired, in real nginx.

The smallest changes that let them run on one machine: paths of certificates, ports, `localhost` for the
name of server A (it must resolve), and a server or location around what is a fragment.
"""

from __future__ import annotations

import email
import http.client
import io
from typing import TYPE_CHECKING

import h11
import pytest
from cryptography import x509

from tests import pki
from tests.integration.seed_blocks import (
    egress,
    egress_original,
    fragment,
    ingress,
    pass_through,
)
from tests.integration.seed_stage import (
    Caller,
    Cast,
    Original,
    RawBackend,
    get,
    nginx_test,
    origin,
)
from tests.integration.servers import Backend
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cast(place: Path) -> Cast:
    return Cast(place / "cast")


# --- 1: the egress


def test_the_egress_opens_a_connection_per_request_nameless_with_the_callers_headers(
    cast: Cast, nginx_build: Path, place: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    with (
        origin(cast) as server_a,
        Original(nginx_build, place / f"o-{port}", egress(cast, port, server_a.port), port),
    ):
        with Caller(port) as caller:
            for _ in range(5):
                caller.get(Host="evil.example", X_Client_Cert="forged", X_Forwarded_For="10.9.9.9")
        assert [seen.connection for seen in server_a.seen] == [1, 2, 3, 4, 5]
        assert server_a.called == [None] * 5
        assert server_a.last.values("Host") == ["evil.example"]
        assert server_a.last.values("X-Client-Cert") == ["forged"]
        assert server_a.last.values("X-Forwarded-For") == ["10.9.9.9"]
        # Every address of the machine lends the identity out, not the loopback one alone.
        with Caller(port, address="127.0.0.2") as caller:
            assert caller.get().status == 200
        assert server_a.last.peer == "svc-b"


def test_a_server_that_goes_by_names_refuses_the_egress(
    cast: Cast, nginx_build: Path, place: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    with (
        origin(cast, refuses_nameless=True) as server_a,
        Original(nginx_build, place / f"o-{port}", egress(cast, port, server_a.port), port) as b,
    ):
        assert get(port).status == 502
        assert server_a.seen == []
        assert "SSL handshak" in b.error_log


def test_depth_2_admits_two_intermediates_and_not_three(
    cast: Cast, nginx_build: Path, place: Path, free_port: Callable[[], int]
) -> None:
    issuer, port, target = cast.ca, free_port(), free_port()
    with Original(nginx_build, place / f"o-{port}", egress(cast, port, target), port) as server_b:
        for intermediates, status in ((1, 200), (2, 200), (3, 502)):
            issuer = pki.authority(f"Level {intermediates}", issuer=issuer)
            cast.add("deep", "deep", issuer=issuer, sans=["localhost"], usages=[pki.SERVER])
            with origin(cast, "deep", port=target):
                assert get(port).status == status, intermediates
        # Most logs name another fault than the one there is; that of OpenSSL 3.0.2 is right.
        told = ("(20:unable to get local issuer certificate)", "(22:certificate chain too long)")
        assert any(words in server_b.error_log for words in told)


def test_session_reuse_gives_one_location_the_identity_of_another(
    cast: Cast, nginx_build: Path, place: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    certificate, key = cast.pair("partner")
    for reuse, arrives_as in (("on", "svc-b"), ("off", "svc-b-partner")):
        with origin(cast) as server_a:
            second = (
                f"location /partner/ {{ proxy_pass https://localhost:{server_a.port};"
                f" proxy_ssl_certificate {certificate}; proxy_ssl_certificate_key {key};"
                f" proxy_ssl_session_reuse {reuse}; }} }}"
            )
            text = egress(cast, port, server_a.port).rstrip().removesuffix("}") + second
            with Original(nginx_build, place / f"o-{port}-{reuse}", text, port):
                get(port)
                get(port, "/partner/")
                assert [seen.peer for seen in server_a.seen] == ["svc-b", arrives_as]


# --- 2: the fragment


def test_the_fragment_lacks_its_key(
    cast: Cast, nginx_build: Path, place: Path, free_port: Callable[[], int]
) -> None:
    certificate, _ = cast.pair("client_chain")
    said = nginx_test(
        nginx_build, place / "t", fragment(cast, free_port(), 1, certificate=certificate)
    )
    assert f'no "proxy_ssl_certificate_key" is defined for certificate "{certificate}"' in said


def test_a_file_of_two_client_certificates_presents_the_first_and_cipher_high_admits_old_ones(
    cast: Cast, nginx_build: Path, place: Path, free_port: Callable[[], int]
) -> None:
    port, target = free_port(), free_port()
    cast.add("rsa", "rsa", sans=["localhost"], usages=[pki.SERVER], key_kind="rsa2048")
    both = cast.certs / "both.pem"
    both.write_bytes(cast.client.pem + cast.partner.pem)
    text = fragment(
        cast,
        port,
        target,
        certificate=both,
        key=f"proxy_ssl_certificate_key {cast.pair('client')[1]};",
    )
    with Original(nginx_build, place / f"o-{port}", text, port):
        with origin(cast, port=target) as server_a:
            assert {get(port).status for _ in range(3)} == {200}
            assert {seen.peer for seen in server_a.seen} == {"svc-b"}
        # RSA key exchange without forward secrecy, CBC with SHA-1.
        with origin(cast, "rsa", port=target, ciphers="AES128-SHA") as server_a:
            assert get(port).status == 200
            assert server_a.last.peer == "svc-b"


# --- 3: the ingress


@needs_openssl
def test_the_certificate_arrives_folded_and_http_libraries_differ_on_it(
    cast: Cast, nginx_build: Path, place: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    with (
        RawBackend() as backend,
        Original(nginx_build, place / f"o-{port}", ingress(cast, port, backend.port), port),
        Caller(port, tls=cast.trusting("client")) as caller,
    ):
        assert caller.get(X_SSL_CERT="forged", X_Client_Verify="FAKE").status == 200
        (head,) = backend.heads
    folded = cast.client.pem.strip().replace(b"\n", b"\n\t")
    assert b"\r\nX-Client-Cert: " + folded + b"\r\n" in head
    assert b"\r\nX-SSL-CERT: forged\r\nX-Client-Verify: FAKE\r\n" in head
    assert f"\r\nHost: localhost:{backend.port}\r\n".encode() in head
    # http.server and wsgiref hand on line breaks and tabs; h11 (uvicorn) glues the lines with spaces.
    lines = head.partition(b"\r\n")[2] + b"\r\n"
    parsed = http.client.parse_headers(io.BytesIO(lines))
    assert isinstance(parsed, email.message.Message)
    value = parsed["X-Client-Cert"]
    assert "\n\t" in value.replace("\r\n", "\n")
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head + b"\r\n")
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    glued = dict(event.headers)[b"x-client-cert"]
    assert b"\n" not in glued
    for text in (value.encode(), glued):
        assert x509.load_pem_x509_certificate(text) == cast.client.certificate
        assert openssl("x509", "-noout", "-subject", stdin=text, ok=False) == b""


def test_aiohttp_refuses_every_request_of_the_ingress(
    cast: Cast, nginx_build: Path, place: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    with (
        Backend() as backend,
        Original(nginx_build, place / f"o-{port}", ingress(cast, port, backend.port), port),
        Caller(port, tls=cast.trusting("client")) as caller,
    ):
        answer = caller.get()
        assert answer.status == 400
        assert "X-Client-Cert" in answer.text
        assert backend.seen == []


def test_the_ingress_admits_any_holder_under_any_name_and_logs_no_refusal(
    cast: Cast, nginx_build: Path, place: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    with (
        RawBackend() as backend,
        Original(nginx_build, place / f"o-{port}", ingress(cast, port, backend.port), port) as a,
    ):
        for name in (None, "other.example.com"):
            tls = cast.trusting("svc-x")
            tls.check_hostname = False
            with Caller(port, tls=tls, name=name) as caller:
                assert caller.get(Host="anything.example").status == 200
        assert len(backend.heads) == 2
        with Caller(port, tls=cast.trusting(None)) as caller:
            refused = caller.get()
        assert (refused.status, "No required SSL certificate was sent" in refused.text) == (
            400,
            True,
        )
        assert a.error_log == ""


# --- 4: the egress that hands on a certificate


def test_anybody_can_say_whose_certificate_is_handed_on(
    cast: Cast, nginx_build: Path, place: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    with (
        origin(cast) as server_a,
        Original(
            nginx_build, place / f"o-{port}", egress_original(cast, port, server_a.port), port
        ),
    ):
        assert get(port, X_Client_Cert="the director's").status == 200
        assert server_a.last.values("X-Original-Client-Cert") == ["the director's"]
        assert server_a.last.values("X-Client-Cert") == ["the director's"]
        get(port)
        assert server_a.last.connection == 2
        assert server_a.called == [None, None]


# --- 5: the pass-through


def test_proxy_set_header_inside_if_is_refused(
    cast: Cast, nginx_build: Path, place: Path, free_port: Callable[[], int]
) -> None:
    said = nginx_test(nginx_build, place / "t", pass_through(cast, free_port(), 1, repair=None))
    assert '"proxy_set_header" directive is not allowed here in ' in said


def test_without_the_if_anybodys_header_passes_with_or_without_the_directive_to_any_server(
    cast: Cast, nginx_build: Path, place: Path, free_port: Callable[[], int]
) -> None:
    inside = "if ($http_x_ssl_cert) {\n        proxy_set_header X-SSL-CERT $http_x_ssl_cert;\n    }"
    for after in ("proxy_set_header X-SSL-CERT $http_x_ssl_cert;", ""):
        port = free_port()
        with origin(cast, "wrong-ca") as stranger:  # nothing verifies the upstream
            text = pass_through(cast, port, stranger.port, repair=(inside, after))
            with Original(nginx_build, place / f"o-{port}", text, port):
                assert get(port, X_SSL_CERT="forged").status == 200
                assert stranger.last.values("X-SSL-CERT") == ["forged"]
                assert stranger.last.peer == "svc-b"
