"""What an agent that has nothing to do holds in memory: nothing of what its spec does not ask for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.running import Running, write_spec

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration
ONLY_WHEN_ASKED_FOR = {
    "acme": "issuers of type acme",
    "josepy": "issuers of type acme",
    "requests": "issuers of type acme",
    "OpenSSL": "issuers of type acme",
    "grpc": "issuers of type spiffe",
    "google.protobuf": "issuers of type spiffe",
    "spiffe": "issuers of type spiffe",
    "prometheus_client": "GET /metrics",
    "sqlite3": "issuers of type local, and revocations of a CA of ours",
    "handclasp.ca.ledger": "issuers of type local, and revocations of a CA of ours",
    "pkcs11": "keys in tokens",
}
_TELLS_MODULES_AT_ITS_END = """
import atexit, pathlib, sys
modules = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: modules.write_text("\\n".join(sys.modules)))
from handclasp.cli.main import main
sys.exit(main())
"""


def test_an_agent_loads_no_library_that_its_spec_does_not_ask_for(
    material: Material, nginx_builds: dict[str, Path], spec: dict[str, Any]
) -> None:
    modules = material.folder / "modules"
    program = (sys.executable, "-c", _TELLS_MODULES_AT_ITS_END, str(modules))
    path = write_spec(material.folder, "rests", spec)
    with Running(path, nginx_builds["wheel"], program=program) as agent:
        assert agent.status()["ready"]
    loaded = set(modules.read_text().splitlines())
    assert "handclasp.agent.loop" in loaded
    assert not loaded & ONLY_WHEN_ASKED_FOR.keys()
