"""Fixtures of the integration tests."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.running import COMMAND, Material, ingress_spec
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def material(place: Path) -> Material:
    """Certificates and keys, made once per module; specs are written beside them."""
    return Material(place / "hop")


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    """A plain HTTP application."""
    with Backend() as running:
        yield running


@pytest.fixture
def folder(place: Path) -> Path:
    """A directory of the test's own, where nginx's workers can go."""
    made = place / secrets.token_hex(4)
    made.mkdir(mode=0o755)
    return made


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    """Where the links of `spec` listen."""
    return free_port()


@pytest.fixture
def spec(material: Material, backend: Backend, port: int) -> dict[str, Any]:
    """One ingress link in front of `backend`."""
    return ingress_spec(material, f"127.0.0.1:{port}", f"http://127.0.0.1:{backend.port}")


@pytest.fixture(scope="session")
def ordinary_user() -> list[str]:
    """The command as an ordinary user runs it: `handclasp` under the account nobody (uid 65534).

    The interpreter of the environment may lie where that account cannot go (a home directory); then
    the system's interpreter of the same version takes its place.
    """
    if os.geteuid() != 0:
        return [str(COMMAND)]
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    paths = [entry for entry in sys.path if entry.endswith("site-packages")]
    paths.append(str(Path(__file__).parents[2] / "src"))
    variables = ["env", f"PYTHONPATH={os.pathsep.join(paths)}", "HOME=/nonexistent"]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for interpreter in (sys.executable, f"/usr/bin/python{version}"):
        command = [*drop, *variables, interpreter, "-m", "handclasp"]
        try:
            done = subprocess.run(
                [*command, "--version"], capture_output=True, timeout=20, check=False
            )
        except OSError:
            continue
        if done.returncode == 0:
            return command
    pytest.skip(f"the account nobody can run no Python {version} with this environment")
