"""Rotation: new files take the place of those served, or the old ones stay, on both builds."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from tests import pki
from tests.integration.ingress_stage import until
from tests.integration.rotation_stage import (
    DEDICATED,
    changing_material,
    served,
    version,
    workers,
)
from tests.integration.running import (
    SERVER_NAME,
    Material,
    Running,
    egress_spec,
    ingress_spec,
    write_spec,
)
from tests.integration.test_agent_lifecycle import call
from tests.integration.upstreams import Request, Upstream, answer, ask, dead_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.servers import Backend

pytestmark = pytest.mark.integration


@pytest.fixture
def material() -> Iterator[Material]:
    """Of each test's own: files are changed here."""
    with changing_material() as made:
        yield made


@contextlib.contextmanager
def ingress(
    material: Material, backend: Backend, port: int, nginx: Path, **more: Any
) -> Iterator[Running]:
    spec = ingress_spec(material, f"127.0.0.1:{port}", f"http://127.0.0.1:{backend.port}")
    with Running(write_spec(material.folder, "in", {**spec, **DEDICATED, **more}), nginx) as agent:
        yield agent


def test_a_new_server_certificate_is_served_without_a_reload(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    with ingress(material, backend, port, nginx_build) as agent:
        before, old = workers(agent), served(material, port)
        new = material.add("server-a", sans=[SERVER_NAME], usages=[pki.SERVER])
        agent.reload()
        agent.wait_for("change in effect")
        assert served(material, port) == sha256(new.der).hexdigest() != old
        assert workers(agent) == before


def test_an_upstream_that_refuses_the_new_identity_keeps_the_old_one_in_effect(
    material: Material, port: int, nginx_build: Path
) -> None:
    with Upstream(
        certificate=material.pair("server-a"), client_ca=material.folder / "ca.pem"
    ) as upstream:
        spec = egress_spec(material, f"127.0.0.1:{port}", f"https://127.0.0.1:{upstream.port}")
        with Running(
            write_spec(material.folder, "out", {**spec, **DEDICATED}), nginx_build
        ) as agent:
            before = version(agent, "svc-b")
            material.add("svc-b", issuer=material.other_ca)
            agent.reload()
            agent.wait_for("change refused")
            assert f"upstream 127.0.0.1:{upstream.port} refuses it" in agent.text
            assert version(agent, "svc-b") == before
            assert ask(port).status == 200


def test_files_that_changed_are_taken_without_being_asked(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    with ingress(material, backend, port, nginx_build) as agent:
        before = workers(agent)
        new = material.add("server-a", sans=[SERVER_NAME], usages=[pki.SERVER])
        agent.wait_for('rotated what="identity server-a"')
        assert served(material, port) == sha256(new.der).hexdigest()
        assert workers(agent) == before


def test_a_certificate_without_its_key_waits_for_it(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    with ingress(material, backend, port, nginx_build) as agent:
        old = served(material, port)
        new = pki.leaf(
            material.ca, "server-a", sans=[SERVER_NAME], usages=[pki.SERVER], key_label="another"
        )
        certificate, key = material.pair("server-a")
        certificate.write_bytes(new.pem)
        time.sleep(2)
        assert served(material, port) == old
        key.write_bytes(new.key_pem)
        agent.wait_for('rotated what="identity server-a"')
        assert served(material, port) == sha256(new.der).hexdigest()


def test_an_older_certificate_is_not_taken(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    with ingress(material, backend, port, nginx_build) as agent:
        old = served(material, port)
        now = datetime.now(UTC)
        material.add(
            "server-a",
            sans=[SERVER_NAME],
            usages=[pki.SERVER],
            not_before=now - timedelta(days=20),
            not_after=now + timedelta(days=1),
        )
        agent.wait_for("new files are not taken")
        assert "ends on" in agent.text
        assert served(material, port) == old
        agent.reload()  # whoever asks means it
        agent.wait_for("change in effect")
        assert served(material, port) != old


def test_sessions_of_the_old_identity_end_with_it(
    material: Material, port: int, nginx_build: Path
) -> None:
    with Upstream(
        certificate=material.pair("server-a"),
        client_ca=material.folder / "ca.pem",
        respond=lambda _: answer(headers=[("Connection", "close")]),
    ) as upstream:
        spec = egress_spec(
            material,
            f"127.0.0.1:{port}",
            f"https://127.0.0.1:{upstream.port}",
            session_reuse=True,
        )
        with Running(
            write_spec(material.folder, "out", {**spec, **DEDICATED}), nginx_build
        ) as agent:
            for _ in range(6):
                assert ask(port).status == 200
            assert any(request.reused for request in upstream.seen)
            material.add(
                "svc-b", sans=["svc-b.internal"], subject=pki.dn("svc-b-new"), key_label="new"
            )
            agent.wait_for('rotated what="identity svc-b"')
            del upstream.seen[:]
            for _ in range(6):
                assert ask(port).status == 200
            assert {request.peer for request in upstream.seen} == {"svc-b-new"}


def test_another_ca_in_the_bundle_lets_its_callers_in(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    # A CA whose callers are noted would not go without force (test_callers_seen).
    quiet = {"callers": False}
    with ingress(material, backend, port, nginx_build, log=quiet) as agent:
        assert call(material, port, client="stranger") == 400
        bundle = material.folder / "ca.pem"
        bundle.write_bytes(material.ca.pem + material.other_ca.pem)
        agent.wait_for('rotated what="trust company"')
        assert call(material, port, client="stranger") == 200
        bundle.write_bytes(material.ca.pem)
        agent.wait_for('rotated what="trust company"', count=2)
        assert call(material, port, client="stranger") == 400


def test_one_bad_pair_keeps_no_other_from_being_renewed(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    spec = ingress_spec(material, f"127.0.0.1:{port}", f"http://127.0.0.1:{backend.port}")
    spec["identities"]["other"] = material.identity("svc-x")
    material.add("svc-x", sans=["second.example.com"], usages=[pki.SERVER])
    second = {**spec["ingress"][0], "name": "second", "identity": "other"}
    spec["ingress"].append({**second, "server_names": ["second.example.com"]})
    with Running(write_spec(material.folder, "in", {**spec, **DEDICATED}), nginx_build) as agent:
        material.add("svc-x", sans=["elsewhere.example.com"], usages=[pki.SERVER])
        new = material.add("server-a", sans=[SERVER_NAME], usages=[pki.SERVER])
        agent.wait_for('rotated what="identity server-a"')
        assert served(material, port) == sha256(new.der).hexdigest()
        agent.wait_for("new files are not taken")
        assert list(agent.status()["not_taken"]) == ["identity other"]
        material.add("svc-x", sans=["second.example.com"], usages=[pki.SERVER], key_label="x2")
        agent.wait_for('rotated what="identity other"')
        assert agent.status()["not_taken"] == {}


def test_a_key_that_cannot_be_read_any_more_changes_nothing(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    with ingress(material, backend, port, nginx_build, rotation={"trial": "off"}) as agent:
        old = served(material, port)
        certificate, key = material.pair("server-a")
        new = pki.leaf(
            material.ca, "server-a", sans=[SERVER_NAME], usages=[pki.SERVER], key_label="new"
        )
        key.unlink()
        certificate.write_bytes(new.pem)
        time.sleep(1.5)
        assert served(material, port) == old
        key.write_bytes(new.key_pem)
        key.chmod(0o600)
        agent.wait_for('rotated what="identity server-a"')
        assert served(material, port) == sha256(new.der).hexdigest()


def test_a_trial_by_request_notices_a_refusal_in_http(
    material: Material, port: int, nginx_build: Path
) -> None:
    def respond(request: Request) -> bytes:
        return answer(status="200 OK" if request.peer == "svc-b" else "403 Forbidden")

    with Upstream(
        certificate=material.pair("server-a"),
        client_ca=material.folder / "ca.pem",
        respond=respond,
    ) as upstream:
        spec = egress_spec(material, f"127.0.0.1:{port}", f"https://127.0.0.1:{upstream.port}")
        spec["rotation"] = {"trial": "request", "trial_path": "/healthz"}
        with Running(
            write_spec(material.folder, "out", {**spec, **DEDICATED}), nginx_build
        ) as agent:
            material.add("svc-b", sans=["svc-b.internal"], subject=pki.dn("unknown-there"))
            agent.wait_for("new files are not taken")
            assert "it answered HTTP 403" in agent.status()["not_taken"]["identity svc-b"]
            assert {"HEAD /healthz HTTP/1.1"} == {one.line for one in upstream.seen}


def test_an_upstream_that_is_down_keeps_no_identity_from_being_renewed(
    material: Material, port: int, nginx_build: Path
) -> None:
    spec = egress_spec(material, f"127.0.0.1:{port}", f"https://127.0.0.1:{dead_port()}")
    with Running(write_spec(material.folder, "out", {**spec, **DEDICATED}), nginx_build) as agent:
        material.add("svc-b", sans=["svc-b.internal"], key_label="new")
        agent.wait_for('rotated what="identity svc-b"')
        assert "an upstream could not be asked about a new identity" in agent.text


def test_an_agent_that_comes_back_to_a_refused_identity_keeps_the_one_in_effect(
    material: Material, port: int, nginx_build: Path
) -> None:
    with Upstream(
        certificate=material.pair("server-a"), client_ca=material.folder / "ca.pem"
    ) as upstream:
        spec = egress_spec(material, f"127.0.0.1:{port}", f"https://127.0.0.1:{upstream.port}")
        path = write_spec(material.folder, "out", {**spec, **DEDICATED})
        with Running(path, nginx_build) as agent:
            before = version(agent, "svc-b")
            agent.process.kill()
            agent.process.wait(5)
            material.add("svc-b", issuer=material.other_ca)
            with Running(path, nginx_build, expect_ready=False) as again:
                again.wait_for(" ready ", count=2)
                assert version(again, "svc-b") == before
                assert ask(port).status == 200
                assert until(lambda: list(again.status()["not_taken"]) == ["identity svc-b"])
                material.add("svc-b", sans=["svc-b.internal"], key_label="good")
                again.wait_for('rotated what="identity svc-b"')
                assert version(again, "svc-b") != before
                assert ask(port).status == 200


def test_a_server_certificate_of_a_ca_that_nobody_here_believes_is_taken_by_force_alone(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    with ingress(material, backend, port, nginx_build) as agent:
        old = served(material, port)
        material.add(
            "server-a",
            issuer=pki.authority("Nobody's CA"),
            sans=[SERVER_NAME],
            usages=[pki.SERVER],
            key_label="strange",
        )
        agent.wait_for("new files are not taken")
        assert "no trust of this spec leads to" in agent.status()["not_taken"]["identity server-a"]
        assert served(material, port) == old
        agent.reload()
        agent.wait_for("change in effect")
        assert version(agent, "server-a") != old
