"""`handclasp ca revoke` of a CA on this machine: refused at once on its links, long before the next list."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.ingress_stage import link, ports, until
from tests.integration.running import Running, handclasp, write_spec
from tests.integration.servers import Backend
from tests.integration.test_deny import ASKING, NATIVE, Denying

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration

_WITHIN_SECONDS = 2.0


@dataclass
class OwnCa(Denying):
    """Links whose callers are issued by a CA of `handclasp ca init` in the folder `ca`."""

    def ca(self, *arguments: str) -> None:
        done = handclasp("ca", *arguments, "--directory", "ca", cwd=self.material.folder)
        assert done.returncode == 0, done.stderr

    def caller(self, name: str) -> None:
        self.ca("issue", name, "--dns", "svc-b.internal")


def spec(port: int, backend: Backend) -> dict[str, Any]:
    url, listen = f"http://127.0.0.1:{backend.port}", f"127.0.0.1:{port}"
    asked = {"trust": "ours", "allow": ["dns:svc-b.internal"]}
    return {
        "identities": {"server-a": {"certificate": "own-server.pem", "key": "own-server.key"}},
        "trust": {
            "ours": {"certificates": ["ca/root.pem", "ca/issuing.pem"], "crl": ["ca/crl.pem"]}
        },
        "ingress": [
            link("asking", listen, url, clients=asked, forward=["rfc9440"]),
            link("native", listen, url, clients={"trust": "ours", "allow": "any"}),
        ],
    }


@pytest.fixture(scope="module")
def own(material: Material, nginx_build: Path) -> Iterator[OwnCa]:
    (port,) = ports(1)
    with Backend() as backend:
        folder = material.folder
        if not (folder / "ca").exists():
            for command in (
                ("init", "--name", "Own", "--no-password"),
                ("issue", "own-server", "--use", "server", "--dns", ASKING, "--dns", NATIVE),
                ("crl",),
            ):
                done = handclasp(
                    *("ca", *command, "--directory", "ca"),
                    *(("-o", ".") if command[0] == "issue" else ()),
                    cwd=folder,
                )
                assert done.returncode == 0, done.stderr
            (folder / "ca.pem").write_bytes((folder / "ca" / "root.pem").read_bytes())
        path = write_spec(folder, f"own-{port}", spec(port, backend))
        with Running(path, nginx_build) as running:
            yield OwnCa(material, running, port)


@pytest.mark.parametrize("name", [ASKING, NATIVE])
def test_who_is_revoked_is_refused_within_two_seconds(own: OwnCa, name: str) -> None:
    who = f"revoked-{name.partition('.')[0]}-{own.port}"
    own.caller(who)
    own.caller(f"other-{who}")
    assert own.status(name, who) == 200
    own.ca("revoke", who, "--reason", "superseded")
    since = time.monotonic()
    assert until(lambda: own.status(name, who) == 403, 10)
    assert time.monotonic() - since < _WITHIN_SECONDS
    assert own.status(name, f"other-{who}") == 200
    own.ca("crl")
    time.sleep(1.5)
    assert own.status(name, who) in (400, 403), "now by the list"
    assert own.status(name, f"other-{who}") == 200
