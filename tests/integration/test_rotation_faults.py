"""Faults during a rotation: the last good pair serves on, it is said once, and it goes on when they end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from tests import pki
from tests.conftest import on
from tests.integration.fault_stage import (
    IN_A_HURRY,
    NOT_TAKEN,
    OURS,
    ROOT,
    assert_tidy,
    digest,
    handshake,
    leaf_of,
    mounted,
    new_pair,
    running,
    server_spec,
    told,
)
from tests.integration.impatient import CLOCK
from tests.integration.ingress_stage import until
from tests.integration.rotation_stage import DEDICATED, changing_material, version
from tests.integration.running import COMMAND, SERVER_NAME, Running, egress_spec
from tests.integration.test_agent_lifecycle import call
from tests.integration.upstreams import Request, Upstream, answer, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.running import Material
    from tests.integration.servers import Backend

pytestmark = pytest.mark.integration
NOBODY = 65534


@pytest.fixture
def material() -> Iterator[Material]:
    """Of each test's own: files are changed here."""
    with changing_material() as made:
        yield made


@pytest.fixture
def one(material: Material, port: int, backend: Backend) -> dict[str, Any]:
    """A spec with one server, `only`, whose pair is written."""
    new_pair(material, "only").write(material.folder, "only")
    return server_spec(material, port, backend, {"only": material.identity("only")})


# -- files that cannot be used


def empty_certificate(material: Material, name: str) -> None:
    material.pair(name)[0].write_bytes(b"")


def empty_key(material: Material, name: str) -> None:
    material.pair(name)[1].write_bytes(b"")


def half_a_certificate(material: Material, name: str) -> None:
    pem = new_pair(material, name, "half").pem
    material.pair(name)[0].write_bytes(pem[: len(pem) // 2])


def another_key(material: Material, name: str) -> None:
    material.pair(name)[0].write_bytes(new_pair(material, name, "of somebody else").pem)


def key_is_a_directory(material: Material, name: str) -> None:
    key = material.pair(name)[1]
    key.unlink()
    key.mkdir()


def key_is_a_fifo(material: Material, name: str) -> None:
    key = material.pair(name)[1]
    key.unlink()
    os.mkfifo(key)


def key_for_everybody(material: Material, name: str) -> None:
    new_pair(material, name, "wide").write(material.folder, name, mode=0o644)


def certificate_is_gone(material: Material, name: str) -> None:
    material.pair(name)[0].unlink()


BAD: dict[str, tuple[Callable[[Material, str], None], str]] = {
    "empty-cert": (empty_certificate, "is empty"),
    "empty-key": (empty_key, "is empty"),
    "half": (half_a_certificate, ""),
    "other-key": (another_key, "key"),
    "directory": (key_is_a_directory, "is a directory, not a file"),
    "fifo": (key_is_a_fifo, "is a FIFO, not a file"),
    "wide": (key_for_everybody, "0644"),
    "gone": (certificate_is_gone, "is not there"),
}
"""Identity → what happens to its files, and what is said of that."""


def clear(path: Path) -> None:
    """Nothing is there any more."""
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def p12(pair: pki.Pair, password: bytes) -> bytes:
    assert isinstance(pair.private_key, ec.EllipticCurvePrivateKey)
    return pkcs12.serialize_key_and_certificates(
        b"", pair.private_key, pair.certificate, None, BestAvailableEncryption(password)
    )


def write_secret(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


@on("distribution")
def test_files_that_cannot_be_used_are_said_once_each_and_the_old_ones_serve_until_they_can(
    material: Material, port: int, backend: Backend, nginx_build: Path
) -> None:
    for name in BAD:
        new_pair(material, name).write(material.folder, name)
    spec = server_spec(material, port, backend, {name: material.identity(name) for name in BAD})
    with running(material, spec, nginx_build) as agent:
        before = {name: handshake(material, port, name) for name in BAD}
        for name, (spoil, _) in BAD.items():
            spoil(material, name)
        assert until(lambda: all(told(agent, name) for name in BAD), within=20), agent.text
        reasons = agent.status()["not_taken"]
        for name, (_, why) in BAD.items():
            assert why in reasons[f"identity {name}"]
            assert f"{material.folder}/{name}." in reasons[f"identity {name}"]
        assert {name: handshake(material, port, name) for name in BAD} == before
        wanted = {}
        for name in BAD:
            for file in material.pair(name):
                clear(file)
            good = new_pair(material, name, "good again")
            good.write(material.folder, name)
            wanted[name] = digest(good)

        def now() -> dict[str, str]:
            return {name: handshake(material, port, name) for name in BAD}

        assert until(lambda: now() == wanted, within=20), agent.text
        assert until(lambda: agent.status()["not_taken"] == {})
        assert {name: told(agent, name) for name in BAD} == dict.fromkeys(BAD, 1)
        assert_tidy(agent)


@on("wheel")
def test_a_password_that_changes_with_what_it_opens_is_waited_for(
    material: Material, port: int, backend: Backend, nginx_build: Path
) -> None:
    folder = material.folder
    for name in ("bag", "locked"):
        write_secret(folder / f"{name}.password", b"first")
    write_secret(folder / "bag.p12", p12(new_pair(material, "bag"), b"first"))
    new_pair(material, "locked").write(folder, "locked")
    (folder / "locked.key").write_bytes(new_pair(material, "locked").encrypted_key_pem(b"first"))
    secret = {name: {"password": {"file": f"{name}.password"}} for name in ("bag", "locked")}
    entries = {
        "bag": {"certificate": "bag.p12", **secret["bag"]},
        "locked": {**material.identity("locked"), **secret["locked"]},
    }
    with running(material, server_spec(material, port, backend, entries), nginx_build) as agent:
        before = {name: handshake(material, port, name) for name in entries}
        new = {name: new_pair(material, name, "new") for name in entries}
        (folder / "bag.p12").write_bytes(p12(new["bag"], b"second"))
        (folder / "locked.pem").write_bytes(new["locked"].pem)
        (folder / "locked.key").write_bytes(new["locked"].encrypted_key_pem(b"second"))
        assert until(lambda: all(told(agent, name) for name in entries), within=20), agent.text
        assert {name: handshake(material, port, name) for name in entries} == before
        assert "second" not in agent.text
        for name in entries:
            (folder / f"{name}.password").write_bytes(b"second")
        for name, pair in new.items():
            wanted = digest(pair)
            assert until(lambda: handshake(material, port, name) == wanted, within=20), agent.text  # noqa: B023
        assert {name: told(agent, name) for name in entries} == {"bag": 1, "locked": 1}
        assert_tidy(agent)


@on("distribution")
def test_a_permission_that_was_lost_is_waited_for(
    material: Material, one: dict[str, Any], port: int, nginx_build: Path, ordinary_user: list[str]
) -> None:
    program, environment = list(IN_A_HURRY), OURS
    if os.geteuid() == 0:
        program = [
            f"{part}{os.pathsep}{ROOT}" if part.startswith("PYTHONPATH=") else part
            for part in ordinary_user[:-1]
        ] + ["tests.integration.impatient"]
        environment = {}
        for path in (material.folder, *material.folder.iterdir()):
            os.chown(path, NOBODY, NOBODY)
    one.pop("nginx", None)
    with running(material, one, nginx_build, program=program, env=environment) as agent:
        old = handshake(material, port, "only")
        certificate, key = material.pair("only")
        pair = new_pair(material, "only", "new")
        key.write_bytes(pair.key_pem)
        key.chmod(0)
        certificate.write_bytes(pair.pem)
        agent.wait_for(NOT_TAKEN)
        assert "cannot be read" in agent.text
        assert handshake(material, port, "only") == old
        key.chmod(0o600)
        agent.wait_for('rotated what="identity only"')
        assert handshake(material, port, "only") == digest(pair)
        assert told(agent, "only") == 1
        assert_tidy(agent)


# -- the state directory


def fill(folder: Path) -> Path:
    """A file that takes all that is left of its file system."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


@on("wheel")
def test_a_full_disk_is_survived_and_the_rotation_made_when_there_is_space_again(
    material: Material, one: dict[str, Any], port: int, nginx_build: Path
) -> None:
    state = material.folder / "run.state"
    state.mkdir()
    with (
        mounted("-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", state),
        running(material, one, nginx_build) as agent,
    ):
        old, before = handshake(material, port, "only"), version(agent, "only")
        ballast = fill(state)
        pair = new_pair(material, "only", "new")
        pair.write(material.folder, "only")
        agent.wait_for(NOT_TAKEN)
        assert "no space is left" in agent.text
        assert handshake(material, port, "only") == old
        assert version(agent, "only") == before
        assert_tidy(agent)
        time.sleep(2.5)  # it is tried again meanwhile, which is not said again
        assert told(agent, "only") == agent.text.count("no space is left") == 1, agent.text
        assert "Free some space" in agent.text
        ballast.unlink()
        agent.wait_for('rotated what="identity only"')
        assert handshake(material, port, "only") == digest(pair)
        assert_tidy(agent)


@on("distribution")
def test_a_read_only_file_system_is_survived_and_the_rotation_made_afterwards(
    material: Material, one: dict[str, Any], port: int, nginx_build: Path
) -> None:
    with running(material, one, nginx_build) as agent:
        old, before = handshake(material, port, "only"), version(agent, "only")
        place = agent.state / "identities" / "only"
        pair = new_pair(material, "only", "new")
        with (
            mounted("--bind", place, place),
            mounted("-o", "remount,bind,ro", place),
        ):
            pair.write(material.folder, "only")
            agent.wait_for(NOT_TAKEN)
            assert "its file system is read-only" in agent.text
            assert handshake(material, port, "only") == old
            assert version(agent, "only") == before
        agent.wait_for('rotated what="identity only"')
        assert handshake(material, port, "only") == digest(pair)
        assert told(agent, "only") == 1
        assert_tidy(agent)


# -- time


@on("wheel")
def test_a_certificate_from_the_future_is_taken_when_its_time_comes(
    material: Material, one: dict[str, Any], port: int, nginx_build: Path
) -> None:
    with running(material, one, nginx_build) as agent:
        old = handshake(material, port, "only")
        begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5)
        pair = new_pair(material, "only", "future", not_before=begin)
        pair.write(material.folder, "only")
        agent.wait_for(NOT_TAKEN)
        assert handshake(material, port, "only") == old
        assert datetime.now(UTC) < begin
        agent.wait_for('rotated what="identity only"')
        assert datetime.now(UTC) >= begin
        assert handshake(material, port, "only") == digest(pair)
        assert told(agent, "only") == 1, agent.text


@on("distribution")
def test_a_clock_that_jumps_there_and_back_undoes_nothing_and_keeps_nothing_from_being_renewed(
    material: Material, one: dict[str, Any], port: int, nginx_build: Path
) -> None:
    ahead_days = material.folder / "days"
    ahead_days.write_text("0")
    with running(material, one, nginx_build, env={**OURS, CLOCK: str(ahead_days)}) as agent:
        ahead = datetime.now(UTC) + timedelta(days=199)
        ahead_days.write_text("200")
        later = new_pair(
            material, "only", "later", not_before=ahead, not_after=ahead + timedelta(days=90)
        )
        later.write(material.folder, "only")
        agent.wait_for('rotated what="identity only"')
        assert shown(port) == digest(later)
        ahead_days.write_text("0")
        time.sleep(1.5)
        assert shown(port) == digest(later)
        now = new_pair(material, "only", "now", not_after=ahead + timedelta(days=400))
        now.write(material.folder, "only")
        agent.wait_for('rotated what="identity only"', count=2)
        assert handshake(material, port, "only") == digest(now)
        assert_tidy(agent)


def shown(port: int) -> str:
    """SHA-256 of the leaf that is served, whatever a caller would say to it today."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return leaf_of(context, port, "only")


@on("distribution")
def test_what_waits_for_its_time_is_not_forgotten_when_a_broken_spec_is_refused(
    material: Material, one: dict[str, Any], port: int, nginx_build: Path
) -> None:
    with running(material, one, nginx_build) as agent:
        begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
        pair = new_pair(material, "only", "future", not_before=begin)
        pair.write(material.folder, "only")
        agent.wait_for(NOT_TAKEN)
        agent.spec.write_text("ingress: [")
        agent.reload()
        agent.wait_for("change refused")
        agent.wait_for('rotated what="identity only"')
        assert handshake(material, port, "only") == digest(pair)


# -- upstreams


class Hanging:
    """An upstream that takes connections and says nothing."""

    def __enter__(self) -> int:
        self._listener = socket.create_server(("127.0.0.1", 0))
        port: int = self._listener.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._listener.close()


def links(material: Material, ports: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """A spec with an egress for each: name → (its own port, that of the upstream)."""
    spec = egress_spec(material, "127.0.0.1:1", "https://127.0.0.1:1")
    (model,) = spec["egress"]
    spec["egress"] = [
        {
            **model,
            "name": name,
            "listen": f"127.0.0.1:{here}",
            "upstream": f"https://127.0.0.1:{there}",
        }
        for name, (here, there) in ports.items()
    ]
    return {**spec, **DEDICATED}


@on("wheel")
def test_upstreams_that_say_nothing_of_a_new_identity_do_not_keep_it_from_being_taken(
    material: Material, free_port: Callable[[], int], nginx_build: Path
) -> None:
    ours, server = material.folder / "ca.pem", material.pair("server-a")
    with (
        Hanging() as hanging,
        Upstream(certificate=material.pair("stranger"), client_ca=ours) as unknown,
        Upstream(certificate=server, client_ca=material.folder / "other-ca.pem") as unwilling,
        Upstream(certificate=server, client_ca=ours) as good,
    ):
        upstreams = {
            "hanging": hanging,
            "unknown": unknown.port,
            "unwilling": unwilling.port,
            "good": good.port,
        }
        ports = {name: (free_port(), there) for name, there in upstreams.items()}
        with running(
            material, links(material, ports), nginx_build, program=[str(COMMAND)]
        ) as agent:
            assert ask(ports["good"][0]).status == 200
            began = time.monotonic()
            material.add("svc-b", sans=["svc-b.internal"], subject=pki.dn("renewed"), key_label="n")
            agent.wait_for('rotated what="identity svc-b"')
            assert time.monotonic() - began < 10
            lines = [line for line in agent.text.splitlines() if "could not be asked" in line]
            for name in ("hanging", "unknown", "unwilling"):
                assert sum(f"127.0.0.1:{upstreams[name]}" in line for line in lines) == 1
            assert len(lines) == 3
            del good.seen[:]
            assert ask(ports["good"][0]).status == 200
            assert good.last.peer == "renewed"
            assert_tidy(agent)


@on("distribution")
def test_an_upstream_that_takes_the_new_identity_in_the_end_gets_it_unasked(
    material: Material, free_port: Callable[[], int], nginx_build: Path
) -> None:
    admitted = {"svc-b"}

    def respond(request: Request) -> bytes:
        return answer(status="200 OK" if request.peer in admitted else "403 Forbidden")

    with Upstream(
        certificate=material.pair("server-a"),
        client_ca=material.folder / "ca.pem",
        respond=respond,
    ) as upstream:
        here = free_port()
        spec = links(material, {"orders": (here, upstream.port)})
        spec["rotation"] = {"trial": "request"}
        with running(material, spec, nginx_build) as agent:
            before = version(agent, "svc-b")
            material.add("svc-b", sans=["svc-b.internal"], subject=pki.dn("new"), key_label="n")
            agent.wait_for(NOT_TAKEN)
            assert "it answered HTTP 403" in agent.text
            assert version(agent, "svc-b") == before
            assert ask(here).status == 200
            admitted.add("new")
            agent.wait_for('rotated what="identity svc-b"')
            assert ask(here).status == 200
            assert upstream.last.peer == "new"
            assert told(agent, "svc-b") == 1
            assert_tidy(agent)


# -- signals and the spec in the middle of it


@contextlib.contextmanager
def in_the_middle(
    material: Material, free_port: Callable[[], int], nginx_build: Path
) -> Iterator[tuple[Running, str]]:
    """An agent within the trial of a new identity, with an upstream that keeps it waiting for two seconds,
    and the version before."""
    with Hanging() as hanging:
        spec = links(material, {"orders": (free_port(), hanging)})
        with running(material, spec, nginx_build) as agent:
            before = version(agent, "svc-b")
            material.add("svc-b", sans=["svc-b.internal"], key_label="n")
            place = agent.state / "identities" / "svc-b"

            def versions() -> list[Path]:
                seen = [one for one in place.iterdir() if not one.name.startswith(".")]
                return [one for one in seen if not one.is_symlink()]

            assert until(lambda: len(versions()) == 2, within=10)
            yield agent, before


@on("wheel")
def test_a_hup_in_the_middle_of_a_rotation_is_answered_after_it(
    material: Material, free_port: Callable[[], int], nginx_build: Path
) -> None:
    with in_the_middle(material, free_port, nginx_build) as (agent, before):
        agent.reload()
        agent.wait_for("spec read again")
        assert "rotated what=" in agent.text.partition("spec read again")[0]
        agent.wait_for("nothing changed")
        assert version(agent, "svc-b") != before
        assert_tidy(agent)


@on("distribution")
def test_a_spec_that_is_broken_meanwhile_keeps_no_rotation_from_being_made(
    material: Material, one: dict[str, Any], port: int, nginx_build: Path
) -> None:
    with running(material, one, nginx_build) as agent:
        whole = agent.spec.read_text()
        agent.spec.write_text(whole[: len(whole) // 2] + "\n  : [")
        first = new_pair(material, "only", "first")
        first.write(material.folder, "only")
        agent.wait_for('rotated what="identity only"')
        assert handshake(material, port, "only") == digest(first)
        agent.reload()
        agent.wait_for("change refused")
        second = new_pair(material, "only", "second")
        second.write(material.folder, "only")
        agent.wait_for('rotated what="identity only"', count=2)
        assert handshake(material, port, "only") == digest(second)
        assert_tidy(agent)


@on("wheel")
def test_a_term_in_the_middle_of_a_rotation_leaves_a_whole_pair_for_the_next_agent(
    material: Material, free_port: Callable[[], int], nginx_build: Path
) -> None:
    with in_the_middle(material, free_port, nginx_build) as (agent, before):
        agent.process.send_signal(signal.SIGTERM)
        agent.process.wait(20)
        assert agent.process.returncode == 0, agent.text
        assert_tidy(agent)
        assert version(agent, "svc-b") != before
        with Running(agent.spec, nginx_build, expect_ready=False) as following:
            following.wait_for(" ready ", count=2)
            assert "state recovered" not in following.text


# -- trust


@on("distribution")
def test_a_trust_file_that_is_gone_or_a_list_that_is_older_leaves_callers_judged_as_before(
    material: Material, one: dict[str, Any], port: int, nginx_build: Path
) -> None:
    bundle, lists = material.folder / "ca.pem", material.folder / "ca.crl"
    caller = pki.leaf(material.ca, "svc-x", sans=["svc-x.internal"])
    caller.write(material.folder, "svc-x")
    lists.write_bytes(pki.crl(material.ca, [caller], number=5))
    one["trust"]["company"]["crl"] = ["ca.crl"]
    one["ingress"][0]["server_names"] = [SERVER_NAME]
    one["ingress"][0]["identity"] = "server-a"
    one["identities"] = {"server-a": material.identity("server-a")}
    with running(material, one, nginx_build) as agent:
        whole = bundle.read_bytes()

        def callers() -> tuple[int, int]:
            return call(material, port, client="svc-b"), call(material, port, client="svc-x")

        assert callers() == (200, 400)
        stored = material.folder / "kept.pem"
        bundle.rename(stored)
        agent.wait_for(NOT_TAKEN)
        assert f"{bundle} is not there" in agent.text
        stored.rename(bundle)
        assert bundle.read_bytes() == whole
        assert until(lambda: agent.status()["not_taken"] == {}, within=10)
        assert callers() == (200, 400)
        lists.write_bytes(
            pki.crl(material.ca, number=4, last_update=datetime.now(UTC) - timedelta(days=2))
        )
        time.sleep(2)
        assert callers() == (200, 400)
        lists.write_bytes(pki.crl(material.ca, number=6, last_update=datetime.now(UTC)))
        assert until(lambda: callers() == (200, 200), within=10), agent.text
        assert_tidy(agent)


# -- bursts


@on("wheel")
def test_a_thousand_changes_in_three_seconds_are_few_rotations_and_the_last_one_wins(
    material: Material, one: dict[str, Any], port: int, nginx_build: Path
) -> None:
    pairs = [new_pair(material, "only", str(number)) for number in range(10)]
    with running(material, one, nginx_build) as agent:
        began = time.monotonic()
        for number in range(1000):
            pairs[number % 10].write(material.folder, "only")
            if (ahead := began + number * 0.003 - time.monotonic()) > 0:
                time.sleep(ahead)
        last = digest(pairs[-1])
        assert until(lambda: handshake(material, port, "only") == last, within=20), agent.text
        assert agent.text.count("rotated what=") <= 3
        assert told(agent, "only") == 0
        assert_tidy(agent)
