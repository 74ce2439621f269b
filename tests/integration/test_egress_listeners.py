"""Who can reach an egress listener, and which Hosts it answers to."""

from __future__ import annotations

import grp
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.integration.running import (
    SERVER_NAME,
    Material,
    Running,
    egress_spec,
    handclasp,
    write_spec,
)
from tests.integration.upstreams import Upstream, ask, connect, dead_port, read_answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration


@dataclass
class World:
    running: Running
    folder: Path
    upstream: Upstream
    v4: int
    v6: str
    wild: int


@pytest.fixture(scope="module")
def world(material: Material, nginx_build: Path) -> Iterator[World]:
    mark = f"listen-{nginx_build.parent.name}"
    folder = material.folder / mark
    group = grp.getgrgid(os.getgid()).gr_name
    with Upstream(material.pair("server-a"), material.folder / "ca.pem") as upstream:
        v4, v6, wild = dead_port(), f"[::1]:{dead_port()}", dead_port()
        spec = egress_spec(material, f"127.0.0.1:{v4}", f"https://127.0.0.1:{upstream.port}")
        base = spec["egress"][0]

        def link(name: str, listen: str, **more: Any) -> dict[str, Any]:
            return {**base, "name": name, "listen": listen, **more}

        spec["egress"] = [
            base,
            link("six", v6),
            link("wild", f"0.0.0.0:{wild}", expose=True, accept_hosts=["orders.internal"]),
            link("socket", f"unix:{folder}/made/by/us.sock", group=group),
            link("any", f"unix:{folder}/any/a.sock", accept_hosts=["*"]),
            link(
                "loopback",
                f"127.0.0.1:{dead_port()}",
                original_certificate={"from": "x-client-cert", "trusted": ["loopback"]},
            ),
        ]
        with Running(write_spec(material.folder, mark, spec), nginx_build) as running:
            yield World(running, folder, upstream, v4, v6, wild)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8080",
        "localhost.",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:8080",
        SERVER_NAME,
        f"{SERVER_NAME.upper()}:443",
    ],
)
def test_the_hosts_of_this_machine_and_of_the_upstream_are_answered(
    world: World, host: str
) -> None:
    for where in (world.v4, world.v6, world.folder / "made/by/us.sock"):
        assert ask(where, host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example",
        "localhost.attacker.example",
        "127.0.0.1.attacker.example",
        "127.0.0.2",
        "169.254.169.254",
        "orders.internal",
        "_",
        "[::2]",
        "0.0.0.0",
    ],
)
def test_another_host_is_misdirected_and_reaches_no_upstream(world: World, host: str) -> None:
    """A page whose name was made to point at 127.0.0.1 sends its own name."""
    before = len(world.upstream.seen)
    for where in (world.v4, world.v6, world.folder / "made/by/us.sock"):
        got = ask(where, host=host)
        assert got.status == 421
        assert "accept_hosts" in got.text
    assert len(world.upstream.seen) == before


def test_a_request_without_host_is_refused(world: World) -> None:
    before = len(world.upstream.seen)
    assert ask(world.v4, host=None, version="1.0").status == 421
    assert ask(world.v4, host=None).status == 400  # RFC 9112, 3.2
    assert ask(world.v4, host="").status in (400, 421)
    assert len(world.upstream.seen) == before


def test_an_absolute_request_target_counts_as_the_host(world: World) -> None:
    """RFC 9112, 3.2.2: the Host header is ignored then."""
    before = len(world.upstream.seen)
    assert ask(world.v4, "http://attacker.example/").status == 421
    assert len(world.upstream.seen) == before
    assert ask(world.v4, "http://localhost/").status == 200


def test_two_hosts_in_one_request_are_refused(world: World) -> None:
    before = len(world.upstream.seen)
    for second in ("attacker.example", "localhost"):
        assert ask(world.v4, host="localhost", headers=[("Host", second)]).status == 400
    assert len(world.upstream.seen) == before


def test_a_host_that_is_listed_is_answered_by_its_link_alone(world: World) -> None:
    assert ask(world.wild, host="orders.internal").status == 200
    assert ask(world.v4, host="orders.internal").status == 421


def test_a_star_answers_every_host_and_requests_without_one(world: World) -> None:
    where = world.folder / "any" / "a.sock"
    assert ask(where, host="attacker.example").status == 200
    assert ask(where, host=None, version="1.0").status == 200
    assert world.upstream.last.values("Host") == [f"{SERVER_NAME}:{world.upstream.port}"]


def test_http_1_0_callers_get_a_whole_answer(world: World) -> None:
    got = ask(world.v4, version="1.0")
    assert (got.status, got.text) == (200, f"svc-b {SERVER_NAME}\n")


def test_the_directory_of_a_socket_is_made_for_its_group_alone(world: World) -> None:
    made = (world.folder / "made" / "by").stat()
    assert stat.S_IMODE(made.st_mode) == 0o750
    assert made.st_gid == os.getgid()


@pytest.mark.skipif(os.geteuid() != 0, reason="changing the account takes root")
def test_an_account_outside_the_group_cannot_reach_the_socket(world: World) -> None:
    path = world.folder / "made" / "by" / "us.sock"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            connect(path)
            os.write(writer, b"connected")
        except PermissionError:
            os.write(writer, b"refused")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"refused"
    os.close(reader)
    os.close(writer)


def test_a_directory_the_world_can_enter_is_refused(
    material: Material, nginx_builds: dict[str, Path]
) -> None:
    folder = material.folder / "open"
    folder.mkdir()
    folder.chmod(0o755)
    spec = egress_spec(material, f"unix:{folder}/x.sock", "https://127.0.0.1:1")
    path = write_spec(material.folder, "open", spec)
    arguments = ("run", "-c", path, "--nginx", nginx_builds["wheel"], "--state-dir")
    done = handclasp(*arguments, material.folder / "open.state", cwd=material.folder)
    assert done.returncode == 1
    assert "unix-directory-world-traversable" in done.stderr
    folder.chmod(0o750)
    with Running(path, nginx_builds["wheel"]):
        pass  # the twin: the same directory with a mode that keeps others out


def test_an_original_certificate_is_taken_from_loopback_only_when_written_with_a_warning(
    world: World, material: Material
) -> None:
    assert "loopback-trusted" in world.running.text
    findings = {one["slug"] for one in world.running.status()["findings"]}
    assert "loopback-trusted" in findings
    links = {one["name"]: one["listen"][0] for one in world.running.status()["links"]}
    port = int(links["loopback"].rpartition(":")[2])
    original = quote(material.client.pem.decode(), safe="")
    ask(port, headers=[("X-Client-Cert", original)])
    assert world.upstream.last.values("X-Original-Client-Cert") == [original]
    assert world.upstream.last.values("X-Client-Cert") == []
    ask(world.v4, headers=[("X-Client-Cert", original)])
    assert world.upstream.last.values("X-Original-Client-Cert") == []


def test_garbage_and_tls_on_a_plain_listener_are_refused_in_http(world: World) -> None:
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"nonsense\r\n\r\n"):
        with connect(world.v4) as connection:
            connection.sendall(sent + b"\r\n\r\n")
            assert read_answer(connection).status == 400
    assert ask(world.v4).status == 200
