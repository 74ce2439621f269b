"""A hop whose both ends are issued by handclasp: at the start, in time, and when nothing comes."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from handclasp.agent.issued import place_of, read_kept
from tests import pki
from tests.ca.authority import make_authority
from tests.integration.ingress_stage import ports, until
from tests.integration.running import Running, handclasp, write_spec
from tests.integration.softhsm import Token
from tests.integration.test_hsm_links import give_to_workers, workers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.servers import Backend

pytestmark = pytest.mark.integration

SERVER = "api.example.com"
SPIFFE = "spiffe://example.org/svc-b"


def hop(folder: Path, port: int, backend: int, **identity: Any) -> tuple[dict[str, Any], int]:
    """A spec whose egress link calls its own ingress link; keyword arguments are the caller's identity."""
    entry = ports(1)[0]
    make_authority(folder)
    client = {"issuer": "dev-ca", "names": ["svc-b.internal", SPIFFE], **identity}
    return {
        "identities": {
            "svc-b": client,
            "api": {"issuer": "dev-ca", "names": [SERVER], "use": "server"},
        },
        "issuers": {"dev-ca": {"type": "local", "directory": "ca"}},
        "trust": {"company": {"certificates": ["ca/root.pem"]}},
        "egress": [
            {
                "name": "out",
                "listen": f"127.0.0.1:{entry}",
                "upstream": f"https://127.0.0.1:{port}",
                "identity": "svc-b",
                "trust": "company",
                "verify": {"name": SERVER},
            }
        ],
        "ingress": [
            {
                "name": "api",
                "listen": f"127.0.0.1:{port}",
                "server_names": [SERVER],
                "identity": "api",
                "clients": {"trust": "company", "allow": [SPIFFE]},
                "backend": f"http://127.0.0.1:{backend}",
                "forward": ["x-client-cert"],
            }
        ],
    }, entry


def status_of(entry: int) -> int:
    """What a request through the hop is answered with."""
    connection = http.client.HTTPConnection("127.0.0.1", entry, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def served(port: int) -> str:
    """SHA-256 of the certificate that the ingress link presents."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=SERVER) as tls,
    ):
        return hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()


def version(running: Running, identity: str) -> str:
    kept = read_kept(running.state, identity)
    return "" if kept is None else kept.version


def renewal(running: Running, identity: str = "svc-b") -> dict[str, Any]:
    told = {one["name"]: one for one in running.status()["identities"]}[identity]
    value: dict[str, Any] = told["renewal"]
    return value


def test_a_hop_is_issued_before_the_start_and_renewed_in_time(
    folder: Path, nginx_build: Path, backend: Backend
) -> None:
    """A certificate for eight seconds: more than five of them later another one is in use."""
    (port,) = ports(1)
    spec, entry = hop(folder, port, backend.port, lifetime="8s")
    spec["identities"]["api"]["lifetime"] = "8s"
    path = write_spec(folder, "hop", spec)
    with Running(path, nginx_build) as running:
        assert running.text.index("certificate issued") < running.text.index("nginx started")
        assert status_of(entry) == 200
        first = served(port)
        assert renewal(running)["issuer"] == "dev-ca"
        assert renewal(running)["last_error"] is None
        assert until(lambda: served(port) != first, within=20)
        assert until(lambda: int(version(running, "svc-b")) > 1, within=20)
        running.wait_for("rotated", within=20)
        assert status_of(entry) == 200


def test_without_its_issuer_what_is_there_serves_on_over_a_restart(
    folder: Path, nginx_build: Path, backend: Backend
) -> None:
    (port,) = ports(1)
    spec, entry = hop(folder, port, backend.port, lifetime="1h")
    path = write_spec(folder, "hop", spec)
    with Running(path, nginx_build) as running:
        before = served(port)
    (folder / "ca" / "root.pem").rename(folder / "root.pem")
    (folder / "ca").rename(folder / "away")
    spec["trust"]["company"]["certificates"] = ["root.pem"]
    path = write_spec(folder, "hop", spec)
    with Running(path, nginx_build, expect_ready=False) as running:
        running.wait_for(" ready ", count=2)
        assert served(port) == before
        assert status_of(entry) == 200


def test_an_issuer_that_is_not_there_ends_the_first_start_with_3(
    folder: Path, nginx_build: Path, backend: Backend
) -> None:
    (port,) = ports(1)
    spec, _ = hop(folder, port, backend.port)
    spec["issuers"]["dev-ca"]["directory"] = "nowhere"
    path = write_spec(folder, "hop", spec)
    done = handclasp("run", "-c", path, "--nginx", nginx_build, "--state-dir", "s", cwd=folder)
    assert done.returncode == 3
    assert "nginx is not started, for what it needs was not issued" in done.stderr
    assert "identity 'svc-b': issuer dev-ca: " in done.stderr
    assert "nowhere is not a CA" in done.stderr
    assert not (folder / "s" / "nginx").exists()


def test_a_wrong_certificate_touches_nothing_and_is_told(
    folder: Path, nginx_build: Path, backend: Backend
) -> None:
    """The issuer is replaced by one that hands out a certificate for another key."""
    (port,) = ports(1)
    spec, entry = hop(folder, port, backend.port, lifetime="1h")
    wrong = pki.leaf(pki.authority(), sans=["svc-b.internal", f"uri:{SPIFFE}"])
    (folder / "wrong.pem").write_bytes(wrong.pem)
    (folder / "issue").write_text("#!/bin/sh\ncat wrong.pem\n")
    (folder / "issue").chmod(0o755)
    path = write_spec(folder, "hop", spec)
    with Running(path, nginx_build) as running:
        spec["issuers"]["other"] = {"type": "command", "command": ["./issue"]}
        spec["identities"]["svc-b"]["issuer"] = "other"
        write_spec(folder, "hop", spec)
        running.reload()
        running.wait_for("issuer other gave what was not asked for")
        assert "is for another key than the request's" in running.text
        assert until(lambda: renewal(running)["last_error"] is not None)
        told = [one["slug"] for one in running.status()["findings"]]
        assert "renewal-failing" in told
        assert version(running, "svc-b") == "1"
        assert status_of(entry) == 200
        assert [path.name for path in place_of(running.state, "svc-b").glob("[0-9]*")] == ["1"]


def test_check_judges_the_rest_while_nothing_is_issued(
    folder: Path, nginx_build: Path, backend: Backend
) -> None:
    (port,) = ports(1)
    spec, _ = hop(folder, port, backend.port)

    def check() -> tuple[int, list[dict[str, Any]]]:
        path = write_spec(folder, "hop", spec)
        arguments = ("--nginx", nginx_build, "--state-dir", "s", "--format", "json")
        done = handclasp("check", "-c", path, *arguments, cwd=folder)
        return done.returncode, json.loads(done.stdout)["findings"]

    status, findings = check()
    assert status == 0
    waiting = [one for one in findings if one["slug"] == "identity-not-issued-yet"]
    assert [one["severity"] for one in waiting] == ["info", "info"]
    assert waiting[0]["where"]["path"] == "identities.svc-b.issuer"
    assert not [one for one in findings if "stand-in" in str(one)]
    spec["ingress"][0]["server_names"] = ["other.example.com"]
    status, findings = check()
    assert status == 1
    (named,) = [one for one in findings if one["slug"] == "name-not-covered"]
    assert named["where"]["path"] == "identities.api.names"
    spec["ingress"][0]["server_names"] = [SERVER]
    spec["issuers"]["dev-ca"]["directory"] = "nowhere"
    status, findings = check()
    assert status == 1
    assert [one["slug"] for one in findings if one["severity"] == "error"] == ["issuer-unusable"]


def test_other_names_in_the_spec_are_issued_on_a_reload(
    folder: Path, nginx_build: Path, backend: Backend
) -> None:
    (port,) = ports(1)
    spec, entry = hop(folder, port, backend.port, lifetime="1h")
    path = write_spec(folder, "hop", spec)
    with Running(path, nginx_build) as running:
        before = served(port)
        spec["identities"]["api"]["names"] = [SERVER, "api2.example.com"]
        write_spec(folder, "hop", spec)
        running.reload()
        running.wait_for("change in effect")
        assert served(port) != before
        assert status_of(entry) == 200
        (folder / "ca").rename(folder / "away")
        spec["trust"]["company"]["certificates"] = ["away/root.pem"]
        spec["identities"]["api"]["names"] = [SERVER, "api3.example.com"]
        write_spec(folder, "hop", spec)
        after = served(port)
        running.reload()
        running.wait_for("change refused, the old configuration serves on")
        assert served(port) == after
        assert status_of(entry) == 200


def test_a_key_in_a_token_stays_there_over_issue_and_renewal(
    folder: Path, nginx_builds: dict[str, Path], backend: Backend
) -> None:
    """The distribution's nginx, for the wheel's is static. Its workers use the token as www-data."""
    token = Token(folder / "token")
    public = token.generate("svc-b")
    give_to_workers(token)
    (port,) = ports(1)
    uri = f"pkcs11:token={token.label};object=svc-b"
    pin = {"file": str(token.folder / "pin.given")}
    spec, entry = hop(folder, port, backend.port, lifetime="10s", key=uri, pin=pin)
    spec |= {"pkcs11": token.section(), "nginx": workers()}
    with Running(write_spec(folder, "hop", spec), nginx_builds["distribution"]) as running:
        assert status_of(entry) == 200
        assert until(lambda: int(version(running, "svc-b")) > 1, within=20)
        running.wait_for("rotated", within=20)
        assert status_of(entry) == 200
        place = place_of(running.state, "svc-b")
        assert not list(place.rglob("key.pem"))
        chain = (place / "current" / "cert.pem").read_bytes()
        assert x509.load_pem_x509_certificates(chain)[0].public_key() == public
