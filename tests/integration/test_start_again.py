"""A start while what lies on disk is no good: what was in effect last serves, where it is of this spec."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests import pki
from tests.conftest import on
from tests.integration.fault_stage import (
    NOT_TAKEN,
    digest,
    handshake,
    new_pair,
    running,
    server_spec,
)
from tests.integration.ingress_stage import ports, until
from tests.integration.rotation_stage import changing_material
from tests.integration.running import COMMAND, Running, handclasp, write_spec
from tests.integration.servers import Backend
from tests.integration.test_callers_seen import status
from tests.integration.test_deny import ASKING, NATIVE, Denying, ended
from tests.integration.test_deny import spec as denying_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.integration.running import Material

MINUTE = timedelta(minutes=1)
OLDER = "certificate-older-than-current"
pytestmark = pytest.mark.integration


@pytest.fixture
def material() -> Iterator[Material]:
    with changing_material() as made:
        yield made


def killed(agent: Running) -> None:
    agent.process.kill()
    agent.process.wait(5)


def told_of(agent: Running) -> CompletedProcess[str]:
    """What `status` says, for people."""
    return handclasp("status", "-c", agent.spec, "--state-dir", agent.state, cwd=agent.spec.parent)


@on("wheel")
def test_a_start_with_half_a_pair_serves_what_was_in_effect_and_takes_the_rest_when_it_comes(
    material: Material, port: int, backend: Backend, nginx_build: Path
) -> None:
    old, new = new_pair(material, "one"), new_pair(material, "one", "new")
    old.write(material.folder, "one")
    certificate, key = material.pair("one")
    spec = server_spec(material, port, backend, {"one": material.identity("one")})
    with running(material, spec, nginx_build) as agent:
        killed(agent)
        certificate.write_bytes(new.pem)
        key.unlink()
        patient = [str(COMMAND)]
        with running(material, spec, nginx_build, program=patient, expect_ready=False) as again:
            again.wait_for(" ready ", count=2)
            assert handshake(material, port, "one") == digest(old)
            lines = [line for line in again.text.splitlines() if NOT_TAKEN in line]
            assert len(lines) == 1
            assert 'what="identity one"' in lines[0]
            assert str(key) in lines[0]
            assert str(key) in status(again)["not_taken"]["identity one"]
            assert told_of(again).returncode == 1
            new.write(material.folder, "one")
            assert until(lambda: handshake(material, port, "one") == digest(new))
            assert until(lambda: status(again)["not_taken"] == {})
            assert status(again)["awaited"] == {}
            certificate.write_bytes(old.pem)
            assert until(lambda: status(again)["awaited"])
            awaited = status(again)["awaited"]["identity one"]
            assert "is not the key of" in awaited["why"]
            assert abs(datetime.fromisoformat(awaited["since"]) - datetime.now(UTC)) < MINUTE
            assert "are waited for since" in told_of(again).stdout
            assert status(again)["not_taken"] == {}
            certificate.write_bytes(new.pem)
            assert until(lambda: status(again)["awaited"] == {})
            assert told_of(again).returncode == 0


@on("wheel")
def test_a_start_after_everything_ended_serves_what_was_in_effect_in_the_place_of_what_cannot_be_used(
    material: Material, port: int, backend: Backend, nginx_build: Path
) -> None:
    """A pair that does not match, a key that is no key, and a trust that holds nothing."""
    names = ("one", "two", "fine")
    pairs = {name: new_pair(material, name) for name in names}
    for name, pair in pairs.items():
        pair.write(material.folder, name)
    spec = server_spec(material, port, backend, {name: material.identity(name) for name in names})
    with running(material, spec, nginx_build):
        pass
    material.pair("one")[0].write_bytes(new_pair(material, "one", "new").pem)
    material.pair("two")[1].write_bytes(b"not a key\n")
    fresh = new_pair(material, "fine", "new")
    fresh.write(material.folder, "fine")
    trust = (material.folder / "ca.pem").read_bytes()
    (material.folder / "ca.pem").write_bytes(b"")
    with running(material, spec, nginx_build, expect_ready=False) as again:
        again.wait_for(" ready ", count=2)
        not_taken = status(again)["not_taken"]
        assert set(not_taken) == {"identity one", "identity two", "trust company"}
        (material.folder / "ca.pem").write_bytes(trust)
        assert handshake(material, port, "one") == digest(pairs["one"])
        assert handshake(material, port, "two") == digest(pairs["two"])
        assert handshake(material, port, "fine") == digest(fresh)
        assert until(lambda: "trust company" not in status(again)["not_taken"])


@on("wheel")
def test_a_start_fails_where_what_was_in_effect_is_of_other_files(
    material: Material, port: int, backend: Backend, nginx_build: Path
) -> None:
    """The broken twin: the same name, but from another place; and one that was never in effect."""
    new_pair(material, "one").write(material.folder, "one")
    new_pair(material, "one", "elsewhere").write(material.folder, "elsewhere")
    material.pair("elsewhere")[1].unlink()
    spec = server_spec(material, port, backend, {"one": material.identity("one")})
    elsewhere = server_spec(material, port, backend, {"one": material.identity("elsewhere")})
    with running(material, spec, nginx_build) as agent:
        killed(agent)
        with running(material, elsewhere, nginx_build, expect_ready=False) as again:
            assert again.process.wait(20) == 1
            assert NOT_TAKEN not in again.text
            assert f"{material.pair('elsewhere')[1]}" in again.text
            assert handshake(material, port, "one")  # nginx was left alone
        new_pair(material, "two").write(material.folder, "two")
        material.pair("two")[1].unlink()
        two = server_spec(
            material, port, backend, {name: material.identity(name) for name in ("one", "two")}
        )
        with running(material, two, nginx_build, expect_ready=False) as again:
            again.process.wait(20)
            assert again.process.returncode == 1
            assert NOT_TAKEN not in again.text


@on("wheel")
def test_a_start_takes_an_older_certificate_and_says_so(
    material: Material, port: int, backend: Backend, nginx_build: Path
) -> None:
    began, ends = pki.NOW - timedelta(days=40), pki.NOW + timedelta(days=50)
    old = new_pair(material, "one", "old", not_before=began, not_after=ends)
    new = new_pair(material, "one", "new")
    new.write(material.folder, "one")
    spec = server_spec(material, port, backend, {"one": material.identity("one")})
    with running(material, spec, nginx_build):
        pass
    old.write(material.folder, "one")
    with running(material, spec, nginx_build, expect_ready=False) as again:
        again.wait_for(" ready ", count=2)
        assert handshake(material, port, "one") == digest(old)
        assert again.text.count("started with an older certificate") == 1
        told = status(again)["findings"]
        assert [one["severity"] for one in told if one["slug"] == OLDER] == ["warning"]
    with running(material, spec, nginx_build, expect_ready=False) as third:
        third.wait_for(" ready ", count=3)
        assert third.text.count("started with an older certificate") == 1  # it is the one of before


@on("wheel")
def test_a_stream_of_a_denied_caller_ends_in_time_although_its_agent_was_killed(
    material: Material, nginx_build: Path
) -> None:
    """Without the file nobody would know of it any more: the next agent adopts an nginx that is as it was."""
    (port,) = ports(1)
    material.add("server-a", sans=[ASKING, NATIVE], usages=[pki.SERVER])
    (material.folder / "ca.crl").write_bytes(pki.crl(material.ca))
    with Backend() as backend:
        written = denying_spec(material, port, backend)
        for one in written["ingress"]:
            one["clients"] |= {"max_stream_age": "3s"}
        path = write_spec(material.folder, "streams", written)
        with Running(path, nginx_build) as agent:
            here = Denying(material, agent, port)
            with here.websocket() as websocket:
                here.deny("svc-b.pem")
                killed(agent)
                master = agent.master_pid
                with Running(path, nginx_build, expect_ready=False) as again:
                    again.wait_for(" ready ", count=2)
                    assert again.master_pid == master
                    assert until(lambda: ended(websocket), 15)
                    again.wait_for("open connections were cut")
                    assert until(lambda: not (again.state / "streams.json").exists(), 5)
