"""The temporary directory with everything that runs in it (edge). Leaving it leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from handclasp.ca.files import write_new_pairs
from handclasp.demo.agents import AgentProcess
from handclasp.demo.servers import EchoServer
from handclasp.demo.specs import Ports, spec_a, spec_b
from handclasp.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handclasp.demo.cast import Member

# Below what Linux hands out for outgoing connections (ip_local_port_range), so that none of those
# takes a port between our look and nginx's bind.
_PORTS = range(20_000, 30_000)
_ATTEMPTS = 200


@dataclass(slots=True)
class Stage:
    """Two servers, two agents with their nginxes, certificates and specs, in `folder`."""

    folder: Path
    cast: Mapping[str, Member]
    ports: Ports
    backend: EchoServer
    impostor: EchoServer
    a: AgentProcess
    b: AgentProcess
    _held: ExitStack

    @classmethod
    def set_up(cls, cast: Mapping[str, Member], nginx: Path) -> Self:
        """Everything but the agents. Raises EnvironmentFault, with nothing left behind."""
        with ExitStack() as held:
            folder = _temporary_directory()
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            certificates = folder / "certs"
            write_new_pairs(
                certificates,
                {name: member.issued for name, member in cast.items()},
                without_key=frozenset({"ca"}),
            )
            backend = held.enter_context(EchoServer())
            pair = (certificates / "impostor.pem", certificates / "impostor.key")
            impostor = held.enter_context(EchoServer(pair))
            a, b = _free_ports(2)
            ports = Ports(a=a, b=b, backend=backend.port, impostor=impostor.port)
            specs = {"a": spec_a(ports), "b": spec_b(ports)}
            for name, text in specs.items():
                (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
            return cls(
                folder=folder,
                cast=cast,
                ports=ports,
                backend=backend,
                impostor=impostor,
                a=AgentProcess("A", folder / "a.yaml", nginx),
                b=AgentProcess("B", folder / "b.yaml", nginx),
                _held=held.pop_all(),
            )
        raise AssertionError("unreachable")

    @property
    def arrived(self) -> int:
        """Requests that got through to the backend or the impostor so far."""
        return self.backend.received + self.impostor.received

    def certificate(self, name: str) -> tuple[str, str]:
        """Paths of a member's certificate and key."""
        return str(self.folder / "certs" / f"{name}.pem"), str(
            self.folder / "certs" / f"{name}.key"
        )

    def start(self) -> None:
        """Starts both agents at the same time."""
        self.a.start()
        self.b.start()

    async def ready(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The status of both once they are ready, A's first. Raises what forbids it."""
        a, b = await asyncio.gather(self.a.ready(), self.b.ready())
        return a, b

    async def tear_down(self) -> None:
        """Ends every process and server, then removes the directory."""
        problems = await asyncio.gather(self.b.end(), self.a.end(), return_exceptions=True)
        self._held.close()
        for problem in problems:
            if problem is not None:
                raise problem
        if self.folder.exists():
            raise EnvironmentFault(f"{self.folder} could not be removed whole")


def _temporary_directory() -> Path:
    try:
        folder = Path(tempfile.mkdtemp(prefix="handclasp-demo-"))
    except OSError as error:
        raise EnvironmentFault(
            f"no temporary directory can be made: {error}", hint="set TMPDIR to one that can"
        ) from error
    if os.geteuid() == 0:
        # nginx's workers then run as another user, who must be able to enter. Keys stay 0600.
        folder.chmod(0o755)
    return folder


def _free_ports(count: int) -> list[int]:
    """Loopback TCP ports nobody listens on."""
    found: list[int] = []
    for port in random.sample(_PORTS, _ATTEMPTS):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise EnvironmentFault(f"no {count} free ports on 127.0.0.1 in {_PORTS.start}-{_PORTS.stop}")
