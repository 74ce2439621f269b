"""`handclasp run` as a user starts it: the installed command, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from tests import pki

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMMAND = Path(sys.executable).with_name("handclasp")
SERVER_NAME = "servera.example.com"


def handclasp(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end."""
    return subprocess.run(
        [str(COMMAND), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@dataclass
class Material:
    """The usual cast in one folder: ca, server-a (SAN servera.example.com), svc-b, svc-x, another CA."""

    folder: Path
    ca: pki.Pair = field(init=False)
    other_ca: pki.Pair = field(init=False)
    server: pki.Pair = field(init=False)
    client: pki.Pair = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca, self.other_ca = pki.authority("Test CA"), pki.authority("Other CA")
        self.server = self.add("server-a", sans=[SERVER_NAME], usages=[pki.SERVER])
        self.client = self.add("svc-b", sans=["svc-b.internal"])
        self.add("svc-x", sans=["svc-x.internal"])
        self.add("stranger", issuer=self.other_ca)
        (self.folder / "ca.pem").write_bytes(self.ca.pem)
        (self.folder / "other-ca.pem").write_bytes(self.other_ca.pem)

    def add(self, name: str, *, issuer: pki.Pair | None = None, **options: Any) -> pki.Pair:
        """NAME.pem and NAME.key, a leaf of our CA unless told otherwise."""
        pair = pki.leaf(issuer or self.ca, name, **options)
        pair.write(self.folder, name)
        return pair

    def pair(self, name: str) -> tuple[Path, Path]:
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def identity(self, name: str) -> dict[str, str]:
        """The spec's entry of an identity."""
        return {"certificate": f"{name}.pem", "key": f"{name}.key"}


def write_spec(folder: Path, name: str, spec: Mapping[str, Any]) -> Path:
    """NAME.yaml in the folder."""
    path = folder / f"{name}.yaml"
    path.write_text(
        yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    return path


def egress_spec(material: Material, listen: str, upstream: str, **link: Any) -> dict[str, Any]:
    """A spec with one egress link `orders`; keyword arguments are keys of the link."""
    return {
        "identities": {name: material.identity(name) for name in ("svc-b", "svc-x")},
        "trust": {
            "company": {"certificates": ["ca.pem"]},
            "others": {"certificates": ["other-ca.pem"]},
        },
        "egress": [
            {
                "name": "orders",
                "listen": listen,
                "upstream": upstream,
                "identity": "svc-b",
                "trust": "company",
                "verify": {"name": SERVER_NAME},
                **link,
            }
        ],
    }


def ingress_spec(material: Material, listen: str, backend: str, **link: Any) -> dict[str, Any]:
    """A spec with one ingress link `api`; keyword arguments are keys of the link."""
    return {
        "identities": {"server-a": material.identity("server-a")},
        "trust": {
            "company": {"certificates": ["ca.pem"]},
            "others": {"certificates": ["other-ca.pem"]},
        },
        "ingress": [
            {
                "name": "api",
                "listen": listen,
                "server_names": [SERVER_NAME],
                "identity": "server-a",
                "clients": {"trust": "company", "allow": "any"},
                "backend": backend,
                "forward": ["x-client-cert"],
                **link,
            }
        ],
    }


class Running:
    """A running agent with its nginx. Leaving the context ends both, whatever happened."""

    def __init__(
        self,
        spec: Path,
        nginx: Path,
        *,
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        expect_ready: bool = True,
        under: Sequence[str] = (),
        program: Sequence[str] = (str(COMMAND),),
    ) -> None:
        """`under`: a command that ends by executing the rest of its line. `program`: what `handclasp` is."""
        self.spec = spec
        self.nginx = nginx
        self.state = spec.with_suffix(".state")
        self.log = spec.with_suffix(".log")
        self._expect_ready = expect_ready
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *under,
                    *(*program, "run", "-c", str(spec), "--nginx", str(nginx)),
                    *("--state-dir", str(self.state), "--drain", "3", *arguments),
                ],
                cwd=spec.parent,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def __enter__(self) -> Self:
        if self._expect_ready:
            try:
                self.wait_for(" ready ")
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        master = self.master_pid
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        if master is not None:
            kill_nginx(master, self.state)

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def error_log(self) -> str:
        path = self.state / "nginx" / "logs" / "error.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    @property
    def master_pid(self) -> int | None:
        try:
            return int((self.state / "nginx" / "nginx.pid").read_text())
        except (OSError, ValueError):
            return None

    def wait_for(self, text: str, *, count: int = 1, within: float = 20) -> None:
        """Until the agent's output holds `text` so many times; fails when it ends or the time is up."""
        deadline = time.monotonic() + within
        while self.text.count(text) < count:
            if self.process.poll() is not None and self.text.count(text) < count:
                raise AssertionError(f"ended with {self.process.returncode}:\n{self.text}")
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"no {text!r} within {within} s:\n{self.text}\n{self.error_log}"
                )
            time.sleep(0.03)

    def reload(self) -> None:
        """SIGHUP."""
        self.process.send_signal(signal.SIGHUP)

    def status(self) -> dict[str, Any]:
        """What `handclasp status --format json` prints, without the start of another Python."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(30)
            control.connect(str(self.state / "run" / "control.sock"))
            control.sendall(b"GET /status.json HTTP/1.1\r\nHost: agent\r\n\r\n")
            answer = HTTPResponse(control)
            answer.begin()
            assert answer.status == 200
            told: dict[str, Any] = json.loads(answer.read())
            return told


def kill_nginx(master: int, state: Path) -> None:
    """Ends what a test left running: the master and its workers, if they are ours."""
    try:
        arguments = Path(f"/proc/{master}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return
    if str(state) not in arguments:
        return
    os.killpg(master, signal.SIGKILL)
