"""Upstream names: an unresolvable one takes down its own link alone, and changes are followed."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import pytest

from tests.integration.running import SERVER_NAME, Material, Running, egress_spec, write_spec
from tests.integration.upstreams import Request, Upstream, answer, ask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration


@dataclass
class Zone:
    """A DNS server (RFC 1035) for A records of a dictionary that tests change; an absent name does not
    exist."""

    addresses: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.port: int = self._socket.getsockname()[1]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                query, caller = self._socket.recvfrom(512)
                self._socket.sendto(self._reply(query), caller)

    def _reply(self, query: bytes) -> bytes:
        labels, end = [], 12
        while size := query[end]:
            labels.append(query[end + 1 : end + 1 + size].decode())
            end += 1 + size
        question = query[12 : end + 5]
        (kind,) = struct.unpack("!H", query[end + 1 : end + 3])
        address = self.addresses.get(".".join(labels))
        record = b""
        if address is not None and kind == 1:  # an A record of a second, its name a pointer
            record = struct.pack("!HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address)
        flags = 0x8580 | (3 if address is None else 0)
        head = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if record else 0, 0, 0)
        return head + question + record


def until(ready: Callable[[], bool], within: float = 10) -> None:
    deadline = time.monotonic() + within
    while not ready():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


def says(word: str) -> Callable[[Request], bytes]:
    return lambda _: answer(word.encode())


def test_nginx_itself_follows_dns_without_a_reload(
    material: Material, nginx_builds: dict[str, Path]
) -> None:
    server, ca = material.pair("server-a"), material.folder / "ca.pem"
    with (
        Zone() as zone,
        Upstream(server, ca, says("one")) as one,
        Upstream(server, ca, says("two"), host="127.0.0.2", port=one.port),
    ):
        folder = material.folder / "dns"
        late = f"https://late.example.test:{one.port}"
        spec = egress_spec(material, f"unix:{folder}/late.sock", late)
        other = {**spec["egress"][0], "name": "other", "listen": f"unix:{folder}/other.sock"}
        spec["egress"].append({**other, "upstream": f"https://127.0.0.1:{one.port}"})
        spec["resolver"] = {"addresses": [f"127.0.0.1:{zone.port}"], "valid": "1s"}
        with Running(write_spec(material.folder, "dns", spec), nginx_builds["wheel"]) as running:
            workers = running.status()["nginx"]["workers"]
            assert ask(folder / "late.sock").status == 502
            assert ask(folder / "other.sock").text == "one"
            zone.addresses["late.example.test"] = "127.0.0.1"
            until(lambda: ask(folder / "late.sock").text == "one")
            zone.addresses["late.example.test"] = "127.0.0.2"
            until(lambda: ask(folder / "late.sock").text == "two")
            status = running.status()
            assert (status["generation"], status["nginx"]["workers"]) == (1, workers)


@pytest.mark.skipif(os.geteuid() != 0, reason="a hosts file of one's own takes root")
def test_the_agent_follows_the_hosts_file_and_leaves_the_other_links_alone(
    material: Material, nginx_build: Path
) -> None:
    mark = f"hosts-{nginx_build.parent.name}"
    folder, hosts = material.folder / mark, material.folder / f"{mark}.hosts"
    hosts.write_text("127.0.0.1 localhost\n127.0.0.1 early\n")
    server, ca = material.pair("server-a"), material.folder / "ca.pem"
    with (
        Upstream(server, ca, says("one")) as one,
        Upstream(server, ca, says("two"), host="127.0.0.2", port=one.port),
    ):
        spec = egress_spec(material, "", "")
        base = spec["egress"][0]
        spec["egress"] = [
            {**base, "name": name, "listen": f"unix:{folder}/{name}.sock", "upstream": upstream}
            for name, upstream in {
                "late": f"https://late:{one.port}",
                "partly": [f"https://late:{one.port}", f"https://early:{one.port}"],
                "backup-only": [
                    f"https://late:{one.port}",
                    {"url": f"https://early:{one.port}", "backup": True},
                ],
                "early": f"https://early:{one.port}",
            }.items()
        ]
        path = write_spec(material.folder, mark, spec)
        mount = 'mount --bind "$0" /etc/hosts && exec "$@"'
        with Running(
            path,
            nginx_build,
            under=["unshare", "--mount", "sh", "-c", mount, str(hosts)],
            env={"HANDCLASP_NAMES_EVERY": "0.3"},
        ) as running:

            def said(link: str) -> str:
                return ask(folder / f"{link}.sock").text

            got = ask(folder / "late.sock")
            assert got.status == 503
            assert got.header("Retry-After") == "30"
            assert "late cannot be resolved" in got.text
            links = {link["name"]: link for link in running.status()["links"]}
            assert links["late"]["down"] == ["upstream name late cannot be resolved"]
            assert [said(link) for link in ("early", "partly", "backup-only")] == ["one"] * 3

            # A spec in the middle of an edit must not stop names from being followed, nor be applied.
            path.write_text("egress: [{")
            hosts.write_text("127.0.0.1 localhost\n127.0.0.1 early\n127.0.0.2 late\n")
            # Workers of before take connections for a moment more.
            until(lambda: [said("late") for _ in range(3)] == ["two"] * 3)
            assert all(not link["down"] for link in running.status()["links"])
            hosts.write_text("127.0.0.1 localhost\n127.0.0.1 early late\n")
            until(lambda: said("late") == "one")
            assert said("early") == "one"
            # Unchanged names cost nothing.
            generation = running.status()["generation"]
            time.sleep(0.8)
            assert running.status()["generation"] == generation
    assert one.last.sni == SERVER_NAME
