"""The specs in examples/ do the job of the five blocks, without the faults that
`test_seed_originals.py` shows in them."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import ssl
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import pytest
from cryptography import x509

from handclasp.findings import ENTRIES
from handclasp.nginx.features import Feature
from tests import pki
from tests.conftest import facts_of
from tests.integration.running import Running, handclasp
from tests.integration.seed_stage import (
    BLOCKS,
    EXAMPLES,
    ROOT,
    SERVER_A,
    Caller,
    Cast,
    example,
    get,
    origin,
)
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration
VERIFY = {"name": SERVER_A}
FORGED = {"X_Client_Cert": "forged", "X_SSL_CERT": "forged", "X_Original_Client_Cert": "forged"}


@pytest.fixture(scope="module")
def cast(place: Path) -> Cast:
    return Cast(place / "cast")


def certificate_in(value: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(unquote(value).encode())


def get_within(seconds: float, where: int | Path, wanted: int, path: str = "/") -> int:
    """The status; asked again until it is the wanted one, since a restarted server takes a moment."""
    deadline = time.monotonic() + seconds
    while (status := get(where, path).status) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return status


def test_the_egress_keeps_its_connection_sends_the_name_and_drops_forged_headers(
    cast: Cast, nginx_build: Path, free_port: Callable[[], int]
) -> None:
    port, target = free_port(), free_port()
    spec = example(
        cast,
        "egress",
        listen=f"127.0.0.1:{port}",
        upstream=f"https://127.0.0.1:{target}",
        verify=VERIFY,
    )
    with Running(spec, nginx_build):
        with origin(cast, port=target, refuses_nameless=True) as server_a:
            with Caller(port) as caller:
                for _ in range(5):
                    assert caller.get(X_Real_IP="10.9.9.9", **FORGED).status == 200
                assert caller.get(Host="evil.example").status == 421
            assert {seen.connection for seen in server_a.seen} == {1}
            assert server_a.called == [SERVER_A]
            assert len(server_a.seen) == 5
            last = server_a.last
            assert last.peer == "svc-b"
            assert last.values("Host") == [f"{SERVER_A}:{target}"]
            assert last.values("X-Real-IP") == ["127.0.0.1"]
            assert [last.values(name.replace("_", "-")) for name in FORGED] == [[], [], []]
            with pytest.raises(ConnectionRefusedError):
                Caller(port, address="127.0.0.2")
        issuer = cast.ca
        for level in range(3):
            issuer = pki.authority(f"Level {level}", issuer=issuer)
        cast.add("deep", "deep", issuer=issuer, sans=[SERVER_A], usages=[pki.SERVER])
        for certificate, status in (("wrong-name", 502), ("wrong-ca", 502), ("deep", 200)):
            with origin(cast, certificate, port=target) as server_a:
                assert get_within(3, port, status) == status, certificate
                assert bool(server_a.seen) == (status == 200)


def test_two_identities_to_one_server_stay_apart_and_old_ciphers_are_not_offered(
    cast: Cast, nginx_build: Path, free_port: Callable[[], int]
) -> None:
    port, target = free_port(), free_port()
    spec = example(
        cast,
        "egress-identities",
        listen=f"127.0.0.1:{port}",
        upstream=f"https://127.0.0.1:{target}",
        verify=VERIFY,
    )
    cast.add("rsa", "rsa", sans=[SERVER_A], usages=[pki.SERVER], key_kind="rsa2048")
    with Running(spec, nginx_build):
        with origin(cast, port=target) as server_a, Caller(port) as caller:
            for path in ("/", "/partner/", "/", "/partner/x"):
                assert caller.get(path).status == 200
            peers = [(seen.peer, seen.connection) for seen in server_a.seen]
            assert peers == [("svc-b", 1), ("svc-b-partner", 2)] * 2
        for ciphers, status in (("AES128-SHA", 502), ("ECDHE-RSA-AES128-GCM-SHA256", 200)):
            with origin(cast, "rsa", port=target, ciphers=ciphers):
                assert get_within(3, port, status) == status, ciphers


def test_the_ingress_admits_who_is_named_and_tells_the_backend_who_it_was(
    cast: Cast, nginx_build: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    with Backend() as backend:
        spec = example(
            cast,
            "ingress",
            listen=f"127.0.0.1:{port}",
            backend=f"http://localhost:{backend.port}",
        )
        with Running(spec, nginx_build) as server_a:
            with Caller(port, tls=cast.trusting("client")) as caller:
                for _ in range(5):
                    assert caller.get(X_Client_Verify="FAILED", **FORGED).status == 200
                # Before 1.19.4 a name of nobody's is no answer.
                with contextlib.ExitStack() as stack:
                    if not facts_of(nginx_build).has(Feature.REJECT_HANDSHAKE):
                        stack.enter_context(pytest.raises(http.client.RemoteDisconnected))
                    assert caller.get(Host="other.example.com").status == 421
            last = backend.last
            (value,) = last.values("X-Client-Cert")
            assert certificate_in(value) == cast.client.certificate
            assert last.values("X-Client-Verify") == ["SUCCESS"]
            assert last.values("X-SSL-CERT") == last.values("X-Original-Client-Cert") == []
            assert last.values("Host") == [SERVER_A]
            assert {seen.connection for seen in backend.seen} == {1}
            assert len(backend.seen) == 5
            for client, status in (("svc-x", 403), (None, 400)):
                with Caller(port, tls=cast.trusting(client)) as caller:
                    assert caller.get().status == status
            for name in (None, "other.example.com"):
                tls = cast.trusting("client")
                tls.check_hostname = False
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    Caller(port, tls=tls, name=name)
            assert len(backend.seen) == 5
            assert "client sent no required SSL certificate" in server_a.error_log


def test_an_earlier_hops_certificate_is_believed_from_the_socket_only(
    cast: Cast, nginx_build: Path, free_port: Callable[[], int]
) -> None:
    target = free_port()
    spec = example(cast, "egress-original", upstream=f"https://127.0.0.1:{target}", verify=VERIFY)
    path = cast.folder / "run" / "server-a.sock"
    theirs = quote(cast.pair("customer")[0].read_text(), safe="")
    with Running(spec, nginx_build), origin(cast, port=target) as server_a:
        with Caller(path) as hop:
            for _ in range(3):
                assert hop.get(X_Client_Cert=theirs, X_Original_Client_Cert="forged").status == 200
            assert hop.get().status == 200
        before = server_a.seen[-2]
        assert before.values("X-Original-Client-Cert") == [theirs]
        assert before.values("X-Client-Cert") == []
        assert server_a.last.values("X-Original-Client-Cert") == []
        assert {seen.connection for seen in server_a.seen} == {1}
        assert server_a.called == [SERVER_A]
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
        if os.geteuid() == 0:
            test = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-e"]
            assert subprocess.run([*test, str(path)], check=False, timeout=10).returncode == 1


def test_a_port_is_not_taken_for_a_trusted_socket(cast: Cast) -> None:
    spec = example(cast, "egress-original", listen="127.0.0.1:8080")
    done = handclasp("check", "-c", spec, "--no-nginx-test", cwd=cast.folder)
    assert done.returncode == 1
    assert "`unix` is trusted, and the link listens on 127.0.0.1:8080" in done.stdout


def test_x_ssl_cert_passes_two_hops_from_the_edge_and_from_nobody_else(
    cast: Cast, nginx_build: Path, free_port: Callable[[], int]
) -> None:
    edge_port, server_port = free_port(), free_port()
    edge_spec = example(
        cast,
        "pass-through-edge",
        listen=f"127.0.0.1:{edge_port}",
        backend=f"https://127.0.0.1:{server_port}",
        backend_tls={"trust": "company", "identity": "svc-b", "verify": VERIFY},
    )
    at_the_edge = cast.trusting("customer")
    with Backend() as backend, Running(edge_spec, nginx_build, expect_ready=False) as edge:
        server_spec = example(
            cast,
            "pass-through-server-a",
            listen=f"127.0.0.1:{server_port}",
            backend=f"http://localhost:{backend.port}",
        )
        with Running(server_spec, nginx_build, arguments=["--drain", "0"]):
            edge.wait_for(" ready ")
            with Caller(edge_port, tls=at_the_edge, name="edge.example.com") as customer:
                assert customer.get(Host="edge.example.com", **FORGED).status == 200
            (told,) = backend.last.values("X-SSL-CERT")
            assert certificate_in(told) == cast.customer.certificate
            (caller,) = backend.last.values("X-Client-Cert")
            assert certificate_in(caller) == cast.client.certificate
            # Another service of the company reaches server A, and is not believed.
            with Caller(server_port, tls=cast.trusting("svc-x")) as service:
                assert service.get(**FORGED).status == 200
            assert backend.last.values("X-SSL-CERT") == []
            assert backend.last.values("X-Client-Subject") == ["CN=svc-x,O=Example Org"]
        with (
            origin(cast, "wrong-ca", port=server_port) as stranger,
            Caller(edge_port, tls=at_the_edge, name="edge.example.com") as customer,
        ):
            assert customer.get(Host="edge.example.com").status == 502
            assert stranger.seen == []


def test_every_block_has_a_section_and_every_example_is_served_and_linked() -> None:
    text = (ROOT / "docs" / "seed.md").read_text("utf-8")
    listing = (EXAMPLES / "README.md").read_text("utf-8")
    served = set(re.findall(r'"([a-z-]+)",\n', Path(__file__).read_text("utf-8")))
    served |= set(re.findall(r'cast, "([a-z-]+)"', Path(__file__).read_text("utf-8")))
    for spec in EXAMPLES.glob("*.yaml"):
        assert spec.stem in served
        assert f"../examples/{spec.name}" in text
        assert f"]({spec.name})" in listing
    for block in BLOCKS.glob("*.conf"):
        assert f"../tests/fixtures/seed/{block.name}" in text


def test_the_spec_in_the_readme_works_with_the_certificates_it_says(tmp_path: Path) -> None:
    made = handclasp("init", "both", "--dev-ca", "certs", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    shown = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "handclasp.yaml").write_text(shown[0], "utf-8")
    done = handclasp("check", "--no-nginx-test", "--state-dir", tmp_path / "state", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_every_mistake_named_is_in_the_catalogue() -> None:
    text = (ROOT / "docs" / "seed.md").read_text("utf-8")
    slugs = re.findall(r"\[`([a-z0-9-]+)`\]\(reference/findings/([a-z0-9-]+)\.md\)", text)
    assert len(slugs) > 10
    for shown, linked in slugs:
        assert shown == linked
        assert shown in ENTRIES
