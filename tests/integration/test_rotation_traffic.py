"""Rotations and reloads under traffic that is never repeated: nothing is lost."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]
import pytest

from tests import pki
from tests.conftest import absent
from tests.integration.rotation_stage import DEDICATED, changing_material, long_form
from tests.integration.running import (
    SERVER_NAME,
    Material,
    Running,
    egress_spec,
    ingress_spec,
    write_spec,
)
from tests.integration.servers import Backend, Seen
from tests.integration.test_egress_grpc import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.integration
ROTATIONS, RELOADS, RATE, SOCKETS = (100, 20, 500, 50) if long_form() else (3, 1, 100, 10)
_PROGRAM = Path(__file__).with_name("clients") / "PatientPool.java"


class Counted(list[Seen]):
    """How many requests came for each path, without the requests."""

    def __init__(self) -> None:
        self.by_path: Counter[str] = Counter()

    def append(self, one: Seen) -> None:
        self.by_path[one.path] += 1


@dataclass
class World:
    """client → egress → ingress → backend, each nginx with an agent of its own.

    The ingress has the link twice: on one port nginx decides alone, on the other it asks the agent.
    """

    material: Material
    egress: Running
    ingress: Running
    ports: dict[str, int]
    backend: Counted
    others: list[tuple[bytes, bytes]] = field(default_factory=list)
    _seen: Counter[tuple[int, str]] = field(default_factory=Counter)

    def python(self) -> dict[str, Any]:
        """What `carrying` is to do; the paths tell the pools apart."""
        certificate, key = map(str, self.material.pair("svc-x"))
        own = {
            "ca": str(self.material.folder / "ca.pem"),
            "certificate": certificate,
            "key": key,
            "name": SERVER_NAME,
        }
        at = {name: f"https://127.0.0.1:{port}" for name, port in self.ports.items()}
        through = f"http://127.0.0.1:{self.ports['egress']}"
        return {
            "pools": [
                {"url": f"{through}/python-through", "rate": RATE * 0.2},
                {**own, "url": f"{at['ingress']}/python-direct", "rate": RATE * 0.1},
                {**own, "url": f"{at['asking']}/python-asking", "rate": RATE * 0.1},
            ],
            "http2": [  # of which some are always under way
                {**own, "url": f"{at['ingress']}/slow/0.1", "rate": RATE * 0.1},
                {**own, "url": f"{at['asking']}/slow/0.12", "rate": RATE * 0.1},
            ],
            "sockets": [
                {"url": f"{through.replace('http', 'ws')}/ws", "count": SOCKETS},
            ],
            "streams": [f"127.0.0.1:{self.ports['grpc-egress']}"],
        }

    def java(self) -> list[str]:
        """The command of the other client."""
        hosts = self.material.folder / "hosts"
        hosts.write_text(f"127.0.0.1 {SERVER_NAME}\n")
        direct = f"https://{SERVER_NAME}:{self.ports['ingress']}/java"
        asking = f"https://{SERVER_NAME}:{self.ports['asking']}/java-asking"
        return [
            *("java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-Xmx256m"),
            *(f"-Djdk.net.hosts.file={hosts}", "-Djdk.httpclient.disableRetryConnect=true"),
            *(str(_PROGRAM), str(self.material.folder / "ca.pem")),
            *map(str, self.material.pair("svc-x")),
            f"1.1,{RATE * 0.15},http://127.0.0.1:{self.ports['egress']}/java-through",
            f"1.1,{RATE * 0.1},{direct}-direct",
            f"1.1,{RATE * 0.1},{asking}",
            f"2,{RATE * 0.05},{direct}-http2",
        ]

    def rotate(self, number: int) -> None:
        """A new pair on both sides, seen in effect on both."""
        self.material.add(
            "server-a", sans=[SERVER_NAME], usages=[pki.SERVER], key_label=f"s{number}"
        )
        self.material.add("svc-b", sans=["svc-b.internal"], key_label=f"c{number}")
        self._until("identity server-a", self.ingress)
        self._until("identity svc-b", self.egress)

    def reload(self, number: int) -> None:
        """One more CA beside ours on both sides, with its list, or a newer list of ours: each by turns."""
        if number % 2 == 0:
            other = pki.authority(f"Another CA {number}")
            self.others.append((other.pem, pki.crl(other)))
        lists = [pki.crl(self.material.ca, number=number + 2), *(one for _, one in self.others)]
        self._replace("ca.crl", b"".join(lists))
        if number % 2 == 0:
            bundle = [self.material.ca.pem, *(one for one, _ in self.others)]
            self._replace("ca.pem", b"".join(bundle))
        self._until("trust company", self.ingress)
        self._until("trust company", self.egress)

    def _replace(self, name: str, content: bytes) -> None:
        fresh = self.material.folder / f"{name}.fresh"
        fresh.write_bytes(content)
        fresh.rename(self.material.folder / name)

    def _until(self, what: str, agent: Running) -> None:
        self._seen[id(agent), what] += 1
        agent.wait_for(f'rotated what="{what}"', count=self._seen[id(agent), what], within=40)


@contextlib.contextmanager
def world(nginx: Path, free_port: Callable[[], int]) -> Iterator[World]:
    names = ("ingress", "asking", "egress", "grpc-ingress", "grpc-egress")
    ports = {name: free_port() for name in names}
    at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    service = grpc.server(ThreadPoolExecutor(8), handlers=[Service()])
    grpc_port = service.add_insecure_port("127.0.0.1:0")
    service.start()
    seen = Counted()
    with contextlib.ExitStack() as stack:
        stack.callback(service.stop, None)
        backend = stack.enter_context(Backend(seen=seen))
        material = stack.enter_context(changing_material())
        (material.folder / "ca.crl").write_bytes(pki.crl(material.ca))
        spec = ingress_spec(material, at["ingress"], f"http://127.0.0.1:{backend.port}")
        spec["trust"]["company"]["crl"] = ["ca.crl"]
        link = spec["ingress"][0]
        asking = {
            "listen": at["asking"],
            "clients": {"trust": "company", "allow": ["dns:svc-x.internal"]},
            "forward": ["rfc9440"],
        }
        rpc = {"listen": at["grpc-ingress"], "backend": f"grpc://127.0.0.1:{grpc_port}"}
        spec["ingress"] += [{**link, "name": "asking", **asking}, {**link, "name": "rpc", **rpc}]
        path = write_spec(material.folder, "in", {**spec, **DEDICATED})
        stack.push(ingress := Running(path, nginx))
        spec = egress_spec(material, at["egress"], f"https://{at['ingress']}")
        spec["trust"]["company"]["crl"] = ["ca.crl"]
        other = {
            **spec["egress"][0],
            "name": "rpc",
            "protocol": "grpc",
            "listen": at["grpc-egress"],
            "upstream": f"grpcs://{at['grpc-ingress']}",
        }
        spec["egress"].append(other)
        path = write_spec(material.folder, "out", {**spec, **DEDICATED})
        stack.push(egress := Running(path, nginx))
        for agent in (ingress, egress):  # which have begun both
            agent.__enter__()
        yield World(material, egress, ingress, ports, seen)


class Client:
    """A program that says `begun` and goes on until its input ends; each line of its output is JSON."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)

    def begun(self) -> None:
        assert self._line() == "begun\n"

    def so_far(self) -> Any:
        """Of those that answer a line of input with one of output."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self._line())

    def end(self) -> Any:
        """What it has seen."""
        out, _ = self.process.communicate(timeout=40)
        return json.loads(out)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


def test_no_request_is_lost_while_certificates_and_trust_change(
    nginx_build: Path, free_port: Callable[[], int]
) -> None:
    python = [sys.executable, "-m", "tests.integration.carrying"]
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(world(nginx_build, free_port))
        clients = [stack.enter_context(Client([*python, json.dumps(made.python())]))]
        if shutil.which("javac"):
            clients.append(stack.enter_context(Client(made.java())))
        for one in clients:
            one.begun()
        began = time.monotonic()
        time.sleep(1)
        for number in range(ROTATIONS):
            made.rotate(number)
        rotated = [one.so_far() for one in clients[1:]]
        for number in range(RELOADS):
            made.reload(number)
        time.sleep(1)
        told, *other = [one.end() for one in clients]
        received = dict(made.backend.by_path)
        report(nginx_build, time.monotonic() - began, received, told, *rotated, *other)
    judge_python(told, received)
    if not other:
        absent("a Java compiler (apt install default-jdk-headless)")
    judge_java(rotated[0], other[0], received)


def judge_python(told: dict[str, Any], received: dict[str, int]) -> None:
    assert (told["failures"], told["trouble"]) == (0, [])
    assert told["echoes"] > SOCKETS
    assert told["messages"] > 0
    answers = told["answers"]
    assert len(answers) == 5
    assert min(answers.values()) > RATE / 4
    # Each arrived once; what HTTP/2 callers repeated had not arrived.
    assert {path: received[path] for path in answers} == answers


def judge_java(
    rotated: list[dict[str, Any]], ended: list[dict[str, Any]], received: dict[str, int]
) -> None:
    *pools, http2 = ended
    assert [(one["failures"], one["trouble"]) for one in pools] == [(0, [])] * 3
    assert all(RATE / 4 < one["asked"] == one["sent"] == one["answers"] for one in pools)
    assert [received["/" + one["url"].rpartition("/")[2]] for one in pools] == [
        one["answers"] for one in pools
    ]
    # What Java makes of a GOAWAY depends on its version (docs/how-to/rotation.md); four are under way
    # at a time.
    assert (rotated[-1]["failures"], rotated[-1]["trouble"]) == (0, [])
    assert http2["failures"] <= 8 * RELOADS
    assert all(one.startswith("java.io.IOException: ") for one in http2["trouble"])


def report(nginx: Path, seconds: float, received: dict[str, int], *told: Any) -> None:
    """The figures, for `pytest -s` or a failure."""
    posts = sum(count for path, count in received.items() if path != "/ws")
    lines = [f"{nginx}: {seconds:.0f} s, {posts} requests, {posts / seconds:.0f} a second"]
    lines += map(json.dumps, (received, *told))
    sys.stdout.write("\n".join(lines) + "\n")
