"""What tests of faults in a rotation have in common: an agent in a hurry, and what must hold afterwards."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests import pki
from tests.integration.ingress_stage import until
from tests.integration.rotation_stage import DEDICATED
from tests.integration.running import Running, ingress_spec, write_spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.integration.running import Material
    from tests.integration.servers import Backend

ROOT = Path(__file__).parents[2]
OURS = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
IN_A_HURRY = (sys.executable, "-m", "tests.integration.impatient")
NOT_TAKEN = "new files are not taken, the old ones serve on"


def name_of(identity: str) -> str:
    """The server name of an identity of `server_spec`."""
    return f"{identity}.example.com"


def server_spec(
    material: Material, port: int, backend: Backend, identities: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """A server for each of these entries of `identities`, all at one port."""
    spec = ingress_spec(material, f"127.0.0.1:{port}", f"http://127.0.0.1:{backend.port}")
    (model,) = spec["ingress"]
    spec["identities"] = dict(identities)
    spec["ingress"] = [
        {**model, "name": one, "identity": one, "server_names": [name_of(one)]}
        for one in identities
    ]
    return {**spec, **DEDICATED}


def new_pair(material: Material, identity: str, label: str = "", **more: Any) -> pki.Pair:
    """A pair for a server of `server_spec`, not written anywhere; its key is named by `label`."""
    return pki.leaf(
        material.ca,
        identity,
        sans=[name_of(identity)],
        usages=[pki.SERVER],
        key_label=f"{identity} {label}",
        **more,
    )


def running(material: Material, spec: Mapping[str, Any], nginx: Path, **more: Any) -> Running:
    """An agent in a hurry."""
    options = {"program": IN_A_HURRY, "env": OURS, **more}
    return Running(write_spec(material.folder, "run", spec), nginx, **options)


def handshake(material: Material, port: int, identity: str) -> str:
    """SHA-256 of the leaf that is served under its name; raises where the handshake fails."""
    context = ssl.create_default_context(cafile=str(material.folder / "ca.pem"))
    return leaf_of(context, port, identity)


def leaf_of(context: ssl.SSLContext, port: int, identity: str) -> str:
    """The same, as this context judges what it is shown."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name_of(identity)) as connection,
    ):
        der = connection.getpeercert(binary_form=True)
    assert der is not None
    return sha256(der).hexdigest()


def digest(pair: pki.Pair) -> str:
    """As `handshake` tells it."""
    return sha256(pair.der).hexdigest()


def assert_tidy(agent: Running) -> None:
    """The state directory is as if nothing had happened: nothing pending, nothing half written."""

    def left() -> list[Path]:
        found = [*agent.state.rglob(".*.new"), *agent.state.rglob(".*.old")]
        found += [one for one in (agent.state / "switch.pending",) if one.exists()]
        return found + [one for one in (agent.state / "trial",) if one.exists()]

    assert until(lambda: not left()), left()
    assert "Traceback" not in agent.text, agent.text


def told(agent: Running, identity: str) -> int:
    """How often it was said that its files are not taken."""
    return sum(
        NOT_TAKEN in line and f'"identity {identity}"' in line for line in agent.text.splitlines()
    )


@dataclass
class Client:
    """Shakes hands as fast as it can, with one server after the other, and verifies what it is shown."""

    material: Material
    port: int
    identities: tuple[str, ...]
    seen: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    failures: list[str] = field(default_factory=list)
    made: int = 0

    def __enter__(self) -> Self:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(15)

    def _work(self) -> None:
        context = ssl.create_default_context(cafile=str(self.material.folder / "ca.pem"))
        while not self._end.is_set():
            for identity in self.identities:
                self.made += 1
                try:
                    leaf = leaf_of(context, self.port, identity)
                except (OSError, ValueError) as error:
                    self.failures.append(f"{identity}: {error}")
                    continue
                if self.seen[identity][-1:] != [leaf]:
                    self.seen[identity].append(leaf)


@contextlib.contextmanager
def mounted(*arguments: str | Path) -> Iterator[None]:
    """A mount, its last argument the place; undone in the end. Skips where none may be made."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        for _ in range(50):
            ended = subprocess.run(["umount", str(arguments[-1])], capture_output=True, check=False)
            if ended.returncode == 0:
                break
            time.sleep(0.1)
