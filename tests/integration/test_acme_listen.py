"""Certificates over ACME with the challenges answered by nginx of ours, at the real Pebble."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import absent
from tests.integration.running import SERVER_NAME, Running, kill_nginx, write_spec
from tests.integration.test_existing_callers import Shop
from tests.integration.test_issuers import leaf_on
from tests.issuers import pebble
from tests.issuers.asking import sans
from tests.issuers.openbao import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.running import Material
    from tests.integration.servers import Backend

pytestmark = pytest.mark.integration

# For what concerns the agent, not nginx.
ONE_BUILD = pytest.mark.parametrize("nginx_build", ["distribution"], indirect=True)
WELL_KNOWN = "/.well-known/acme-challenge"


@pytest.fixture(scope="module")
def challenge_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def ca(challenge_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pebble.Pebble]:
    """Pebble, which looks at `challenge_port` of 127.0.0.1 for the answers of every name."""
    if not pebble.programs():
        absent("Pebble (apt install pebble)")
    folder = tmp_path_factory.mktemp("pebble")
    with (
        pebble.name_server(folder) as dns,
        pebble.running(folder / "ca", dns=dns.port, http_port=challenge_port) as server,
    ):
        yield server


@pytest.fixture
def issued(spec: dict[str, Any], ca: pebble.Pebble, challenge_port: int) -> dict[str, Any]:
    """The ingress link with a certificate of Pebble, whose challenges its own nginx answers."""
    spec["issuers"] = {"web": section(ca, challenge_port)}
    spec["identities"]["server-a"] = {"issuer": "web", "names": [SERVER_NAME], "use": "server"}
    return spec


def section(ca: pebble.Pebble, port: int, **keys: Any) -> dict[str, Any]:
    return {
        "type": "acme",
        "directory": ca.directory,
        "ca": str(ca.ca),
        "listen": f"127.0.0.1:{port}",
        "agree_to_terms": True,
        **keys,
    }


def get(port: int, path: str, host: str = SERVER_NAME, method: str = "GET") -> tuple[int, bytes]:
    """Status and body; redirects are not followed."""
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        plain.sendall(head.encode())
        answer = b"".join(iter(lambda: plain.recv(65536), b""))
    head_bytes, _, body = answer.partition(b"\r\n\r\n")
    return int(head_bytes.split()[1]), body


def test_the_first_certificate_comes_before_nginx_and_the_next_through_it(
    material: Material,
    issued: dict[str, Any],
    port: int,
    challenge_port: int,
    nginx_build: Path,
) -> None:
    file = write_spec(material.folder, f"listen-{port}", issued)
    with Running(file, nginx_build) as agent:
        first = leaf_on(material, port)
        assert get(challenge_port, f"{WELL_KNOWN}/unknown")[0] == 404
        assert not (agent.state / "answering").exists()
        assert not list((agent.state / "acme-challenges").iterdir())
        # As another spec has it, the certificate is to be had anew, while nginx answers.
        issued["identities"]["server-a"]["key_type"] = "p384"
        write_spec(material.folder, file.stem, issued)
        agent.reload()
        agent.wait_for("certificate issued", count=2)
        agent.wait_for("rotated what=")
        assert leaf_on(material, port) != first
        assert agent.text.count("nginx started") == 1


def test_what_is_due_is_renewed_through_the_nginx_that_serves(
    material: Material,
    issued: dict[str, Any],
    port: int,
    nginx_build: Path,
) -> None:
    file = write_spec(material.folder, f"renewed-{port}", issued)
    with Running(file, nginx_build) as agent:
        first = leaf_on(material, port)
        record = agent.state / "issued" / "server-a" / "current" / "issued.json"
        kept = json.loads(record.read_text())
        record.write_text(json.dumps({**kept, "renew_at": kept["obtained"]}))
        agent.reload()  # so that it is looked at now
        agent.wait_for("certificate issued", count=2)
        agent.wait_for("rotated what=")
        assert leaf_on(material, port) != first
        assert agent.text.count("nginx started") == 1


def test_answers_share_a_listener_with_redirects_and_are_all_that_is_given(
    material: Material,
    issued: dict[str, Any],
    port: int,
    challenge_port: int,
    nginx_build: Path,
) -> None:
    issued["ingress"][0]["redirect"] = {"listen": f"127.0.0.1:{challenge_port}"}
    file = write_spec(material.folder, f"shared-{port}", issued)
    with Running(file, nginx_build) as agent:
        answers = agent.state / "acme-challenges"
        (answers / "token_1-x").write_text("mine")
        (answers / ".half.new").write_text("half")
        (answers / "link").symlink_to(agent.state / "layout_version")
        for host in (SERVER_NAME, "elsewhere.example"):
            other = (308, 421)[host != SERVER_NAME]
            assert get(challenge_port, f"{WELL_KNOWN}/token_1-x", host=host) == (200, b"mine")
            for method in ("POST", "PUT", "DELETE"):
                assert get(challenge_port, f"{WELL_KNOWN}/token_1-x", host, method)[0] == 405
            assert get(challenge_port, f"{WELL_KNOWN}/unknown", host=host)[0] == 404
            assert get(challenge_port, f"{WELL_KNOWN}/link", host=host)[0] == 403
            for path in ("", "/", "/.half.new", "/token_1-x/", "/..%2flayout_version", "/a%00b"):
                assert get(challenge_port, f"{WELL_KNOWN}{path}", host=host)[0] in (other, 400)
            assert get(challenge_port, f"{WELL_KNOWN}/../../layout_version", host)[0] == other
            assert get(challenge_port, "/orders", host=host)[0] == other


@contextlib.contextmanager
def somebody(port: int) -> Iterator[None]:
    """A web server that knows nothing of challenges."""
    with HTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_an_address_that_somebody_has_is_said_to_be_theirs(
    material: Material,
    issued: dict[str, Any],
    port: int,
    challenge_port: int,
    nginx_build: Path,
) -> None:
    file = write_spec(material.folder, f"taken-{port}", issued)
    with (
        somebody(challenge_port),
        Running(file, nginx_build, expect_ready=False) as agent,
    ):
        agent.process.wait(20)
    assert agent.process.returncode == 3
    assert "port-in-use" in agent.text
    assert f"(pid {os.getpid()}) listens there" in agent.text
    assert f"{file}:" in agent.text
    assert "`challenges: DIRECTORY`" in agent.text
    assert not (agent.state / "answering").exists()


@contextlib.contextmanager
def waiting_for_the_ca(
    file: Path, issued: dict[str, Any], nginx: Path, challenge_port: int
) -> Iterator[tuple[Running, int]]:
    """An agent whose CA takes connections and says nothing, and the pid of the nginx for its challenges."""
    silent = socket.create_server(("127.0.0.1", 0))
    mute = {
        **issued["issuers"]["web"],
        "directory": f"https://127.0.0.1:{silent.getsockname()[1]}/",
    }
    write_spec(file.parent, file.stem, {**issued, "issuers": {**issued["issuers"], "web": mute}})
    with silent, Running(file, nginx, expect_ready=False) as agent:
        pid_file = agent.state / "answering" / "nginx.pid"
        deadline = time.monotonic() + 20
        while not pid_file.exists() or not pid_file.read_text():
            assert time.monotonic() < deadline
            assert agent.process.poll() is None, agent.text
            time.sleep(0.02)
        assert get(challenge_port, "/")[0] == 404
        left = int(pid_file.read_text())
        try:
            yield agent, left
        finally:
            kill_nginx(left, agent.state)


def lives(pid: int) -> bool:
    return (Path("/proc") / str(pid) / "exe").exists() and bool(
        (Path("/proc") / str(pid) / "cmdline").read_bytes()
    )


def test_an_agent_that_was_killed_while_it_waited_leaves_nothing_to_the_next(
    material: Material,
    issued: dict[str, Any],
    port: int,
    challenge_port: int,
    nginx_build: Path,
) -> None:
    file = material.folder / f"killed-{port}.yaml"
    with waiting_for_the_ca(file, issued, nginx_build, challenge_port) as (agent, left):
        agent.process.kill()
        agent.process.wait(10)
        assert lives(left)
        assert get(challenge_port, "/")[0] == 404
        write_spec(material.folder, file.stem, issued)
        with Running(file, nginx_build):
            assert not lives(left)
            assert not (agent.state / "answering").exists()
            assert get(challenge_port, f"{WELL_KNOWN}/unknown")[0] == 404


@ONE_BUILD
def test_an_agent_that_starts_with_a_certificate_ends_what_one_before_left(
    material: Material,
    issued: dict[str, Any],
    port: int,
    challenge_port: int,
    nginx_build: Path,
) -> None:
    file = material.folder / f"left-{port}.yaml"
    with waiting_for_the_ca(file, issued, nginx_build, challenge_port) as (agent, left):
        agent.process.kill()
        agent.process.wait(10)
        assert lives(left)
        from_file = {"server-a": material.identity("server-a")}
        write_spec(material.folder, file.stem, {**issued, "issuers": {}, "identities": from_file})
        with Running(file, nginx_build):
            assert not lives(left)
            assert not (agent.state / "answering").exists()


@ONE_BUILD
def test_an_agent_that_is_stopped_while_it_waits_takes_everything_along(
    material: Material,
    issued: dict[str, Any],
    port: int,
    challenge_port: int,
    nginx_build: Path,
) -> None:
    file, elsewhere = material.folder / f"stopped-{port}.yaml", free_port()
    issued["issuers"]["other"] = {**issued["issuers"]["web"], "listen": f"127.0.0.1:{elsewhere}"}
    with waiting_for_the_ca(file, issued, nginx_build, challenge_port) as (agent, left):
        assert get(elsewhere, f"{WELL_KNOWN}/unknown")[0] == 404
        agent.process.terminate()
        agent.process.wait(10)
        assert agent.process.returncode == 3
        assert "stopped before everything was ready" in agent.text
        assert not lives(left)
        assert not (agent.state / "answering").exists()


@ONE_BUILD
def test_a_second_agent_is_kept_off_while_the_first_one_waits(
    material: Material,
    issued: dict[str, Any],
    port: int,
    challenge_port: int,
    nginx_build: Path,
) -> None:
    file = material.folder / f"twice-{port}.yaml"
    with waiting_for_the_ca(file, issued, nginx_build, challenge_port) as (agent, first):
        with Running(file, nginx_build, expect_ready=False) as second:
            second.process.wait(20)
        assert second.process.returncode == 3
        assert f"in use by another handclasp (pid {agent.process.pid})" in second.text
        assert lives(first)


def test_a_listener_that_is_new_with_its_identity_is_had_for_a_moment_beside_the_nginx_that_serves(
    material: Material,
    spec: dict[str, Any],
    ca: pebble.Pebble,
    port: int,
    challenge_port: int,
    nginx_build: Path,
) -> None:
    file = write_spec(material.folder, f"added-{port}", spec)
    with Running(file, nginx_build) as agent:
        spec["issuers"] = {"web": section(ca, challenge_port)}
        spec["identities"]["server-a"] = {"issuer": "web", "names": [SERVER_NAME], "use": "server"}
        write_spec(material.folder, file.stem, spec)
        agent.reload()
        agent.wait_for("change in effect")
        assert sans(leaf_on(material, port)) == [SERVER_NAME]
        assert get(challenge_port, f"{WELL_KNOWN}/unknown")[0] == 404
        assert agent.text.count("nginx started") == 1


@ONE_BUILD
def test_where_our_own_redirect_has_the_address_the_change_is_refused_with_the_way_to_go(
    material: Material,
    spec: dict[str, Any],
    ca: pebble.Pebble,
    port: int,
    challenge_port: int,
    nginx_build: Path,
) -> None:
    spec["ingress"][0]["redirect"] = {"listen": f"127.0.0.1:{challenge_port}"}
    file = write_spec(material.folder, f"ours-{port}", spec)
    with Running(file, nginx_build) as agent:
        spec["issuers"] = {"web": section(ca, challenge_port)}
        from_file = spec["identities"]["server-a"]
        spec["identities"]["server-a"] = {"issuer": "web", "names": [SERVER_NAME], "use": "server"}
        write_spec(material.folder, file.stem, spec)
        agent.reload()
        agent.wait_for("change refused")
        assert f"nginx (pid {agent.master_pid}) listens there" in agent.text
        assert "put the issuer into effect first" in agent.text
        # Which is what is done now.
        issued, spec["identities"]["server-a"] = spec["identities"]["server-a"], from_file
        write_spec(material.folder, file.stem, spec)
        agent.reload()
        agent.wait_for("change in effect")
        spec["identities"]["server-a"] = issued
        write_spec(material.folder, file.stem, spec)
        agent.reload()
        agent.wait_for("change in effect", count=2)
        assert leaf_on(material, port).issuer != material.ca.certificate.subject


def test_an_existing_nginx_answers_by_the_include_and_before_it_has_that_ours_does(
    material: Material,
    issued: dict[str, Any],
    challenge_port: int,
    nginx_build: Path,
    backend: Backend,
    free_port: Callable[[], int],
) -> None:
    own = free_port()
    folder = material.folder / f"site-{own}"
    with Shop(nginx_build, folder, material, own, free_port(), backend) as site:
        site.start()
        site.save(issued)
        first = site.refused()
        assert first.text.count("certificate issued") == 1
        assert f'include "{site.http_conf}";' in first.text
        site.include()
        with site.agent() as agent:
            assert "certificate issued" not in agent.text
            answer = agent.state / "acme-challenges" / "mine"
            answer.write_text("mine")
            answer.chmod(0o644)
            assert get(challenge_port, f"{WELL_KNOWN}/mine") == (200, b"mine")
            issued["identities"]["server-a"]["key_type"] = "p384"
            site.save(issued)
            agent.reload()
            agent.wait_for("certificate issued")
            agent.wait_for("change in effect")


@ONE_BUILD
def test_an_existing_nginx_that_has_the_address_for_itself_is_named(
    material: Material,
    issued: dict[str, Any],
    challenge_port: int,
    nginx_build: Path,
    backend: Backend,
    free_port: Callable[[], int],
) -> None:
    folder = material.folder / f"site-{challenge_port}-{free_port()}"
    with Shop(nginx_build, folder, material, challenge_port, free_port(), backend) as site:
        site.start()
        site.save(issued)
        agent = site.refused()
        assert agent.process.returncode == 3
        pid = (folder / "nginx.pid").read_text().strip()
        assert f"nginx (pid {pid}) listens there" in agent.text
        assert "put the issuer into effect first" in agent.text
