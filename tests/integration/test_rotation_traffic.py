"""Rotations and reloads under traffic that is never repeated: nothing is lost."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]
import pytest

from tests import pki
from tests.integration.rotation_stage import DEDICATED, changing_material, long_form
from tests.integration.running import (
    SERVER_NAME,
    Material,
    Running,
    egress_spec,
    ingress_spec,
    write_spec,
)
from tests.integration.test_egress_grpc import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.servers import Backend

pytestmark = pytest.mark.integration
ROTATIONS, RELOADS, RATE, SOCKETS = (100, 20, 500, 50) if long_form() else (6, 2, 100, 10)


@dataclass
class World:
    """client → egress → ingress → backend, each nginx with an agent of its own."""

    material: Material
    egress: Running
    ingress: Running
    ports: dict[str, int]

    def traffic(self) -> dict[str, Any]:
        certificate, key = map(str, self.material.pair("svc-x"))
        direct = {
            "url": f"https://127.0.0.1:{self.ports['ingress']}/",
            "ca": str(self.material.folder / "ca.pem"),
            "certificate": certificate,
            "key": key,
            "name": SERVER_NAME,
        }
        through = {"url": f"http://127.0.0.1:{self.ports['egress']}/"}
        return {
            "pools": [{**one, "rate": RATE / 2} for one in (direct, through)],
            "sockets": [
                {"url": f"ws://127.0.0.1:{self.ports['egress']}/ws", "count": SOCKETS},
            ],
            "streams": [f"127.0.0.1:{self.ports['grpc-egress']}"],
        }

    def rotate(self, number: int) -> None:
        """A new pair on both sides, seen in effect on both."""
        self.material.add(
            "server-a", sans=[SERVER_NAME], usages=[pki.SERVER], key_label=f"s{number}"
        )
        self.material.add("svc-b", sans=["svc-b.internal"], key_label=f"c{number}")
        self._until("identity server-a", self.ingress)
        self._until("identity svc-b", self.egress)

    def reload(self, number: int) -> None:
        """Another CA beside ours on both sides."""
        other = pki.authority(f"Another CA {number}")
        bundle = self.material.folder / "ca.pem"
        fresh = bundle.with_suffix(".fresh")
        fresh.write_bytes(self.material.ca.pem + other.pem)
        fresh.rename(bundle)
        self._until("trust company", self.ingress)
        self._until("trust company", self.egress)

    def _until(self, what: str, agent: Running) -> None:
        told = f'rotated what="{what}"'
        seen = self._seen.get((id(agent), what), 0) + 1
        agent.wait_for(told, count=seen, within=40)
        self._seen[id(agent), what] = seen

    def __post_init__(self) -> None:
        self._seen: dict[tuple[int, str], int] = {}


@contextlib.contextmanager
def world(nginx: Path, backend: Backend, free_port: Callable[[], int]) -> Iterator[World]:
    names = ("ingress", "egress", "grpc-ingress", "grpc-egress")
    ports = {name: free_port() for name in names}
    service = grpc.server(ThreadPoolExecutor(8), handlers=[Service()])
    grpc_port = service.add_insecure_port("127.0.0.1:0")
    service.start()
    with contextlib.ExitStack() as stack:
        stack.callback(service.stop, None)
        material = stack.enter_context(changing_material())
        spec = ingress_spec(
            material, f"127.0.0.1:{ports['ingress']}", f"http://127.0.0.1:{backend.port}"
        )
        other = {
            **spec["ingress"][0],
            "name": "rpc",
            "listen": f"127.0.0.1:{ports['grpc-ingress']}",
            "backend": f"grpc://127.0.0.1:{grpc_port}",
        }
        spec["ingress"].append(other)
        path = write_spec(material.folder, "in", {**spec, **DEDICATED})
        ingress = stack.enter_context(Running(path, nginx))
        spec = egress_spec(
            material, f"127.0.0.1:{ports['egress']}", f"https://127.0.0.1:{ports['ingress']}"
        )
        other = {
            **spec["egress"][0],
            "name": "rpc",
            "protocol": "grpc",
            "listen": f"127.0.0.1:{ports['grpc-egress']}",
            "upstream": f"grpcs://127.0.0.1:{ports['grpc-ingress']}",
        }
        spec["egress"].append(other)
        path = write_spec(material.folder, "out", {**spec, **DEDICATED})
        egress = stack.enter_context(Running(path, nginx))
        yield World(material, egress, ingress, ports)


@contextlib.contextmanager
def carried(traffic: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The traffic goes on inside; afterwards the value holds what it saw."""
    told: dict[str, Any] = {}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.carrying", json.dumps(traffic)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            time.sleep(1)
            yield told
            time.sleep(1)
        finally:
            out, _ = process.communicate(timeout=30)
            told.update(json.loads(out))


def test_no_request_is_lost_while_certificates_and_trust_change(
    nginx_build: Path, backend: Backend, free_port: Callable[[], int]
) -> None:
    with world(nginx_build, backend, free_port) as made, carried(made.traffic()) as told:
        for number in range(ROTATIONS):
            made.rotate(number)
        for number in range(RELOADS):
            made.reload(number)
    assert told["answers"] > RATE
    assert told["echoes"] > SOCKETS
    assert told["messages"] > 0
    assert (told["failures"], told["trouble"]) == (0, [])
