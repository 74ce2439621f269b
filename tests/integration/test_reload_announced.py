"""Before a reload of a build that closes idle connections at once, callers are told to let go of theirs."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.rotation_stage import DEDICATED, changing_material
from tests.integration.running import Running, egress_spec, write_spec
from tests.integration.upstreams import Upstream, read_answer, request_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration
BODY = b"kept to the last byte"


@pytest.fixture
def material() -> Iterator[Material]:
    with changing_material() as made:
        yield made


@pytest.fixture
def distribution(nginx_builds: dict[str, Path]) -> Path:
    return nginx_builds["distribution"]


def test_every_answer_says_close_while_the_flag_is_up_and_the_body_arrives_whole(
    material: Material, port: int, distribution: Path
) -> None:
    with Upstream(certificate=material.pair("server-a")) as upstream:
        spec = egress_spec(material, f"127.0.0.1:{port}", f"https://127.0.0.1:{upstream.port}")
        path = write_spec(material.folder, "out", {**spec, **DEDICATED})
        with Running(path, distribution) as agent:
            flag = agent.state / "nginx" / "draining"
            assert "close" not in said(port)
            flag.touch()
            time.sleep(1.2)  # a worker looks once a second
            assert said(port) == ["close"]
            assert upstream.last.body == BODY
            assert upstream.last.method == "POST"
            flag.unlink()
            time.sleep(1.2)
            assert "close" not in said(port)


def test_a_reload_waits_until_connections_of_before_are_gone(
    material: Material, port: int, distribution: Path
) -> None:
    with Upstream(certificate=material.pair("server-a")) as upstream:
        spec = egress_spec(material, f"127.0.0.1:{port}", f"https://127.0.0.1:{upstream.port}")
        path = write_spec(material.folder, "out", {**spec, **DEDICATED})
        with (
            Running(path, distribution) as agent,
            socket.create_connection(("127.0.0.1", port)) as kept,
        ):
            kept.sendall(request_bytes(method="POST", body=BODY))
            assert read_answer(kept).status == 200
            bundle = material.folder / "ca.pem"
            bundle.write_bytes(material.ca.pem + material.other_ca.pem)
            agent.wait_for("callers are told to open other connections")
            time.sleep(1.2)
            kept.sendall(request_bytes(method="POST", body=BODY))
            assert read_answer(kept).header("Connection") == "close"
            began = time.monotonic()
            agent.wait_for('rotated what="trust company"')
            assert time.monotonic() - began < 4  # sooner than after the six seconds
            assert not (agent.state / "nginx" / "draining").exists()


def test_nobody_waits_when_nobody_is_connected(
    material: Material, port: int, distribution: Path
) -> None:
    with Upstream(certificate=material.pair("server-a")) as upstream:
        spec = egress_spec(material, f"127.0.0.1:{port}", f"https://127.0.0.1:{upstream.port}")
        with Running(
            write_spec(material.folder, "out", {**spec, **DEDICATED}), distribution
        ) as agent:
            bundle = material.folder / "ca.pem"
            bundle.write_bytes(material.ca.pem + material.other_ca.pem)
            agent.wait_for('rotated what="trust company"')
            assert "callers are told" not in agent.text


def said(port: int) -> list[str]:
    """What a POST on a connection of its own is told about the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request_bytes(method="POST", body=BODY))
        answer = read_answer(connection)
    assert answer.status == 200
    return [value for name, value in answer.headers if name.lower() == "connection"]
