"""Who calls is noted, a CA that callers come under is not dropped but by force, on both builds."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests import pki
from tests.cli.test_documents import validate
from tests.conftest import on
from tests.integration.http2_client import Http2Client
from tests.integration.ingress_stage import Caller
from tests.integration.rotation_stage import DEDICATED, changing_material, served
from tests.integration.running import SERVER_NAME, Running, handclasp, ingress_spec, write_spec
from tests.integration.test_agent_lifecycle import call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.running import Material
    from tests.integration.servers import Backend

pytestmark = pytest.mark.integration

OLD, NEW = "CN=Other CA,O=Example Org", "CN=Test CA,O=Example Org"


@pytest.fixture
def material() -> Iterator[Material]:
    """Of each test's own: files are changed here. The bundle holds both CAs."""
    with changing_material() as made:
        (made.folder / "ca.pem").write_bytes(made.ca.pem + made.other_ca.pem)
        yield made


@contextlib.contextmanager
def running(
    material: Material, backend: Backend, port: int, nginx: Path, **more: Any
) -> Iterator[Running]:
    spec = ingress_spec(material, f"127.0.0.1:{port}", f"http://127.0.0.1:{backend.port}")
    with Running(write_spec(material.folder, "in", {**spec, **DEDICATED, **more}), nginx) as agent:
        yield agent


def until(holds: Callable[[], bool], within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def asked(agent: Running, method: str, path: str, body: str = "") -> str:
    """The answer on the control socket, which is there sooner than a command has begun."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10)
        control.connect(str(agent.state / "run" / "control.sock"))
        head = f"{method} {path} HTTP/1.0\r\nHost: agent\r\nContent-Length: {len(body)}\r\n\r\n"
        control.sendall((head + body).encode())
        answer = b""
        while data := control.recv(65536):
            answer += data
        return answer.decode()


def seen(agent: Running) -> dict[str, Any]:
    found: dict[str, Any] = status(agent)["callers_seen"]
    return found


def status(agent: Running) -> dict[str, Any]:
    answer = asked(agent, "GET", "/status.json").partition("\r\n\r\n")[2]
    found: dict[str, Any] = validate("status", answer)
    return found


def authority(agent: Running, subject: str) -> dict[str, Any]:
    (found,) = (one for one in seen(agent)["authorities"] if one["subject"] == subject)
    return dict(found)


def lines(agent: Running) -> list[str]:
    """Subjects in nginx's log."""
    log = agent.state / "nginx" / "logs" / "callers.log"
    return [json.loads(line)["subject"] for line in log.read_text().splitlines()]


def take(agent: Running, *arguments: str) -> tuple[int, dict[str, Any]]:
    where = ("-c", agent.spec, "--state-dir", agent.state)
    done = handclasp("take", *arguments, *where, "--format", "json", cwd=agent.spec.parent)
    if not done.stdout:
        return done.returncode, {"error": done.stderr}
    return done.returncode, validate("take", done.stdout)


def drop_the_old_ca(material: Material) -> None:
    (material.folder / "ca.pem").write_bytes(material.ca.pem)


def test_verified_callers_are_noted_once_per_connection_and_no_others(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    drop_the_old_ca(material)
    clients = {"trust": "company", "allow": ["cn:svc-b", "cn:svc-x"], "verify": "optional"}
    spec = ingress_spec(material, f"127.0.0.1:{port}", f"http://127.0.0.1:{backend.port}")
    link = {**spec["ingress"][0], "clients": clients}
    material.add("refused")
    with running(material, backend, port, nginx_build, ingress=[link]) as agent:
        caller = Caller(port)
        with caller.connect(SERVER_NAME, material.pair("svc-b")) as connection:
            for _ in range(3):
                connection.sendall(f"GET / HTTP/1.1\r\nHost: {SERVER_NAME}\r\n\r\n".encode())
                assert b" 200 " in connection.recv(65536)
        with Http2Client(caller, SERVER_NAME, material.pair("svc-x")) as client:
            assert [client.request("/").status for _ in range(3)] == [200, 200, 200]
        assert call(material, port, client=None) == 200
        assert call(material, port, client="stranger") == 400
        assert call(material, port, client="refused") == 403
        until(lambda: len(lines(agent)) >= 3)
        time.sleep(1.5)
        assert sorted(lines(agent)) == [
            f"CN={name},O=Example Org" for name in ("refused", "svc-b", "svc-x")
        ]
        until(lambda: seen(agent)["in_use"] == 3)


def test_a_certificate_of_a_caller_that_ends_soon_is_told_of(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    end = pki.NOW + timedelta(days=6, hours=1)
    material.add("svc-c", not_after=end, not_before=pki.NOW - timedelta(days=80))
    with running(material, backend, port, nginx_build) as agent:
        assert call(material, port, client="svc-b") == call(material, port, client="svc-c") == 200
        agent.wait_for(
            "the certificate of caller 'CN=svc-c,O=Example Org' on link api expires in 6 days"
        )
        assert seen(agent)["ending"] == [
            {
                "link": "api",
                "subject": "CN=svc-c,O=Example Org",
                "not_after": end.isoformat(),
                "days_left": 6,
                "level": "critical",
            }
        ]
        metrics = asked(agent, "GET", "/metrics").splitlines()
        assert 'handclasp_callers{link="api"} 2.0' in metrics
        assert 'handclasp_callers_ending{link="api"} 1.0' in metrics
        (soonest,) = (one for one in metrics if one.startswith("handclasp_caller_not_after_"))
        assert float(soonest.split()[1]) == end.timestamp()
        text = handclasp(
            *("status", "-c", agent.spec, "--state-dir", agent.state), cwd=agent.spec.parent
        ).stdout
        assert f"CN=svc-c,O=Example Org  6          {end:%Y-%m-%dT%H:%M}  api" in text
        assert "svc-b" not in text.partition("CALLER ")[2].partition("CA ")[0]
    # Once the agent has written down who came, its end or a minute later, the command tells it too.
    done = handclasp(
        *("expiry", "-c", agent.spec, "--state-dir", agent.state, "--format", "json"),
        cwd=agent.spec.parent,
    )
    records = validate("expiry", done.stdout)["certificates"]
    callers = [one for one in records if one["kind"] == "caller"]
    assert [(one["subject"].split(",")[0], one["state"], one["days_left"]) for one in callers] == [
        ("CN=svc-c", "critical", 6),
        ("CN=svc-b", "ok", 89),
    ]
    assert callers[0]["source"].startswith("ingress api, last seen ")


@on("wheel")
def test_a_ca_that_callers_come_under_goes_by_force_alone(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    with running(material, backend, port, nginx_build) as agent:
        assert call(material, port, client="stranger") == 200
        until(lambda: seen(agent)["in_use"] == 1)
        old = authority(agent, OLD)
        assert (old["callers_last_day"], old["callers_within_overlap"]) == (1, 1)
        assert old["examples"] == ["CN=stranger,O=Example Org"]
        assert not old["safe_to_drop"]
        assert authority(agent, NEW)["callers_last_day"] == 0

        drop_the_old_ca(material)
        agent.wait_for("new files are not taken")
        why = status(agent)["not_taken"]["trust company"]
        assert f"{OLD} would go from trust 'company'" in why
        assert "CN=stranger,O=Example Org on link api" in why
        code, told = take(agent, "trust company")
        assert (code, told["refused"]) == (1, {"trust company": why})
        agent.reload()
        agent.wait_for("change refused")
        assert "handclasp take --force" in status(agent)["refused_change"]
        assert call(material, port, client="stranger") == 200

        assert take(agent, "--force") == (0, {"ok": True, "taken": ["spec"], "refused": {}})
        assert call(material, port, client="stranger") == 400
        assert call(material, port, client="svc-b") == 200
        told = status(agent)
        assert told["callers_seen"]["authorities"] == []
        assert (told["not_taken"], told["refused_change"]) == ({}, None)


@on("distribution")
def test_the_files_of_one_trust_are_taken_by_force_too(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    with running(material, backend, port, nginx_build, rotation={"watch": False}) as agent:
        assert call(material, port, client="stranger") == 200
        until(lambda: seen(agent)["in_use"] == 1)
        drop_the_old_ca(material)
        assert take(agent, "trust company")[0] == 1
        assert take(agent, "trust company", "--force")[0] == 0
        assert call(material, port, client="stranger") == 400


@on("wheel")
def test_a_ca_that_nobody_comes_under_goes_without_force(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    with running(material, backend, port, nginx_build) as agent:
        assert call(material, port, client="svc-b") == 200
        until(lambda: seen(agent)["in_use"] == 1)
        drop_the_old_ca(material)
        agent.wait_for('rotated what="trust company"')
        assert call(material, port, client="stranger") == 400


@on("distribution")
def test_where_callers_are_not_noted_a_ca_goes_without_force(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    with running(material, backend, port, nginx_build, log={"callers": False}) as agent:
        assert call(material, port, client="stranger") == 200
        assert status(agent)["callers_seen"] is None
        time.sleep(2)
        assert not (agent.state / "nginx" / "logs" / "callers.log").exists()
        drop_the_old_ca(material)
        agent.wait_for('rotated what="trust company"')


def test_a_ca_is_safe_and_goes_when_its_callers_have_not_come_for_the_overlap(
    material: Material, backend: Backend, port: int, nginx_builds: dict[str, Path]
) -> None:
    patient = {"overlap": "10s", "watch": False}
    with running(material, backend, port, nginx_builds["wheel"], rotation=patient) as agent:
        assert call(material, port, client="stranger") == 200
        until(lambda: seen(agent)["in_use"] == 1)
        drop_the_old_ca(material)
        assert take(agent, "trust company")[0] == 1
        until(lambda: bool(authority(agent, OLD)["safe_to_drop"]))
        assert take(agent, "trust company")[0] == 0


@on("wheel")
def test_who_was_seen_is_known_to_an_agent_after_one_that_was_killed(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    with running(material, backend, port, nginx_build) as agent:
        assert call(material, port, client="stranger") == 200
        until(lambda: seen(agent)["in_use"] == 1)
        agent.process.kill()
        agent.process.wait(10)
        assert call(material, port, client="svc-b") == 200  # nginx serves on
        with Running(agent.spec, nginx_build) as again:
            again.wait_for(" ready ", count=2)
            until(lambda: seen(again)["in_use"] == 2)
            drop_the_old_ca(material)
            assert take(again, "trust company")[0] == 1
            again.process.kill()
            again.process.wait(10)
        with Running(agent.spec, nginx_build) as last:
            last.wait_for(" ready ", count=3)
            assert f'a CA that callers come under has gone why="{OLD} would go' in last.text
            assert call(material, port, client="stranger") == 400


@on("distribution")
def test_a_log_that_is_rotated_or_emptied_by_others_is_followed(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    with running(material, backend, port, nginx_build) as agent:
        log = agent.state / "nginx" / "logs" / "callers.log"
        assert call(material, port, client="svc-b") == 200
        until(lambda: seen(agent)["in_use"] == 1)
        log.rename(log.with_suffix(".1"))
        os.kill(agent.process.pid, signal.SIGUSR1)
        until(log.exists)
        assert call(material, port, client="svc-x") == 200
        until(lambda: seen(agent)["in_use"] == 2)
        log.write_bytes(b"garbage\n\x00{}\n")
        assert call(material, port, client="stranger") == 200
        until(lambda: seen(agent)["in_use"] == 3)


@on("wheel")
def test_an_older_certificate_is_taken_by_force_alone(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    with running(material, backend, port, nginx_build, rotation={"watch": False}) as agent:
        before, now = served(material, port), datetime.now(UTC)
        material.add(
            *("server-a",),
            sans=[SERVER_NAME],
            usages=[pki.SERVER],
            not_before=now - timedelta(days=20),
            not_after=now + timedelta(days=1),
        )
        code, told = take(agent, "identity server-a")
        assert code == 1
        assert "ends on" in told["refused"]["identity server-a"]
        assert served(material, port) == before
        assert take(agent, "identity server-a", "--force")[0] == 0
        assert served(material, port) != before


@on("distribution")
def test_force_takes_nothing_that_cannot_work(
    material: Material, backend: Backend, port: int, nginx_build: Path
) -> None:
    with running(material, backend, port, nginx_build, rotation={"watch": False}) as agent:
        material.pair("server-a")[1].write_bytes(material.client.key_pem)
        code, told = take(agent, "identity server-a", "--force")
        assert code == 1
        assert "identity server-a" in told["refused"]
        assert take(agent, "--force")[0] == 1
        assert call(material, port, client="svc-b") == 200


def test_take_says_what_there_is_when_it_does_not_know_the_name(
    material: Material, backend: Backend, port: int, nginx_builds: dict[str, Path]
) -> None:
    with running(material, backend, port, nginx_builds["wheel"]) as agent:
        code, told = take(agent, "trust nobody")
        assert code == 3
        assert "there is 'identity server-a', 'trust company'" in told["error"]
        for order in ("[]", "{", '{"what": "trust company"}', '{"what": [], "force": 1}'):
            assert asked(agent, "POST", "/take", order).startswith("HTTP/1.0 400 ")
    code, told = take(agent)
    assert code == 3
    assert "no agent answers" in told["error"]
