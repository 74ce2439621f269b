"""What tests of rotation have in common: material of their own, and what is served."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.integration.running import SERVER_NAME, Material

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.running import Running

DEDICATED: dict[str, Any] = {"nginx": {"user": "games"}} if os.geteuid() == 0 else {}
"""An account that Debian always has and that no other program runs as: its workers may read keys, so a new
leaf is a link that moves. Without it, as root, a leaf takes a reload."""


@contextlib.contextmanager
def changing_material() -> Iterator[Material]:
    """Of one test's own. nginx's workers can enter the folder."""
    with tempfile.TemporaryDirectory(prefix="handclasp-test-") as folder:
        Path(folder).chmod(0o755)
        yield Material(Path(folder) / "hop")


def served(material: Material, port: int) -> str:
    """SHA-256 of the leaf that an ingress serves."""
    context = ssl.create_default_context(cafile=str(material.folder / "ca.pem"))
    context.load_cert_chain(*material.pair("svc-b"))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=SERVER_NAME) as connection,
    ):
        der = connection.getpeercert(binary_form=True)
    assert der is not None
    return sha256(der).hexdigest()


def workers(agent: Running) -> list[int]:
    """Pids of nginx's workers."""
    pids: list[int] = agent.status()["nginx"]["workers"]
    return pids


def version(agent: Running, identity: str) -> str:
    """The version in effect, as the link has it."""
    return str((agent.state / "identities" / identity / "current").readlink())


def long_form() -> bool:
    """Whether `make soak` runs, which tries everything, and more often."""
    return os.environ.get("HANDCLASP_SOAK") == "1"
