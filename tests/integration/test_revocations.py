"""Revocation lists that change on disk, in a running nginx: both kinds of link, CAs, and what goes wrong."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests import pki
from tests.integration.ingress_stage import link, ports, spec_of, until
from tests.integration.running import Running, handclasp, write_spec
from tests.integration.servers import Backend
from tests.integration.test_deny import ASKING, NATIVE, Denying, ask, ended, replace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration

_READ, _NOT_TAKEN = "revocation lists read", "revocation lists not taken"


@dataclass
class Revoking(Denying):
    """With a root and a CA below it, each with its list. Numbers of lists go up."""

    issuing: pki.Pair
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(2))

    def publish(self, name: str, content: bytes, *, event: str = _READ) -> None:
        """A list under its name; returns when the agent has said the event of it."""
        before = self.running.text.count(event)
        replace(self.material.folder / name, content)
        self.running.wait_for(event, count=before + 1)

    def root_list(self, *revoked: pki.Pair) -> bytes:
        return pki.crl(self.material.ca, revoked, number=next(self.numbers))

    def clean(self) -> None:
        """A list of the root that names nobody."""
        self.publish("ca.crl", self.root_list())

    def status_text(self) -> str:
        running = self.running
        command = ("status", "-c", running.spec, "--state-dir", running.state)
        return handclasp(*command, cwd=self.material.folder).stdout

    def lists(self) -> Any:
        return self.agent("GET", "/status.json")["callers"]["lists"]


def spec(material: Material, port: int, backend: Backend) -> dict[str, Any]:
    url, listen = f"http://127.0.0.1:{backend.port}", f"127.0.0.1:{port}"
    asked = {"trust": "company", "allow": ["dns:svc-b.internal", "dns:svc-i.internal"]}
    links = [
        link("asking", listen, url, clients={**asked, "cut": True}, forward=["rfc9440"]),
        link("native", listen, url),
    ]
    trust = {"certificates": ["ca.pem", "int.pem"], "crl": ["ca.crl", "int.crl"]}
    # nginx keeps the lists it began with: what refuses is what the agent makes of newer ones.
    return spec_of(material, links, trust={"company": trust}, rotation={"watch": False})


@pytest.fixture(scope="module")
def revoking(material: Material, nginx_build: Path) -> Iterator[Revoking]:
    issuing = pki.authority("Issuing CA", issuer=material.ca)
    material.add("server-a", sans=[ASKING, NATIVE], usages=[pki.SERVER])
    material.add("svc-i", issuer=issuing, sans=["svc-i.internal"])
    (material.folder / "int.pem").write_bytes(issuing.pem)
    (material.folder / "ca.crl").write_bytes(pki.crl(material.ca))
    (material.folder / "int.crl").write_bytes(pki.crl(issuing))
    (port,) = ports(1)
    with Backend() as backend:
        path = write_spec(material.folder, f"revoking-{port}", spec(material, port, backend))
        with Running(path, nginx_build) as running:
            yield Revoking(material, running, port, issuing)


def test_a_list_is_in_force_on_both_kinds_of_link_and_on_open_connections(
    revoking: Revoking,
) -> None:
    kept = revoking.connection(NATIVE)
    assert ask(kept, NATIVE) == 200
    revoking.publish("ca.crl", revoking.root_list(revoking.material.client))
    assert ask(kept, NATIVE) == 403
    assert revoking.both() == (403, 403)
    assert revoking.both("svc-i") == (200, 200)
    revoking.clean()
    assert revoking.both() == (200, 200)
    kept.close()


def test_whom_a_revoked_ca_has_issued_is_refused_where_the_agent_decides(
    revoking: Revoking,
) -> None:
    assert revoking.both("svc-i") == (200, 200)
    revoking.publish("ca.crl", revoking.root_list(revoking.issuing))
    assert revoking.status(ASKING, "svc-i") == 403
    assert revoking.both() == (200, 200)
    revoking.running.wait_for("refused only after HUP")
    assert revoking.status(NATIVE, "svc-i") == 200, "as the journal says"
    revoking.clean()
    assert revoking.both("svc-i") == (200, 200)


def test_a_list_of_less_worth_frees_nobody(revoking: Revoking) -> None:
    material = revoking.material
    older, path = revoking.root_list(), material.folder / "ca.crl"
    revoking.publish("ca.crl", revoking.root_list(material.client))
    assert revoking.both() == (403, 403)
    namesake = pki.authority("Test CA", key_label="of a namesake")
    another = (material.folder / "int.crl").read_bytes()
    for content in (pki.crl(namesake, number=99), another, older):
        revoking.publish("ca.crl", content, event=_NOT_TAKEN)
        assert revoking.both() == (403, 403)
        assert "CN=Test CA,O=Example Org" in revoking.lists()
    before = revoking.running.text.count(_NOT_TAKEN)
    path.unlink()
    revoking.running.wait_for(_NOT_TAKEN, count=before + 1)
    assert revoking.both() == (403, 403)
    assert "Revocation lists NEED ATTENTION: company: " in revoking.status_text()
    revoking.clean()
    assert revoking.both() == (200, 200)
    assert revoking.lists() is None
    assert "NEED ATTENTION" not in revoking.status_text()


def test_a_list_that_cannot_be_put_in_force_is_tried_again(revoking: Revoking) -> None:
    denied = revoking.running.state / "denied"
    aside = denied.with_name("aside")
    denied.rename(aside)
    try:
        denied.touch()
        content = revoking.root_list(revoking.material.client)
        revoking.publish("ca.crl", content, event="revocation lists are not in force")
        assert "not in force" in revoking.lists()
        read = revoking.running.text.count(_READ)
    finally:
        denied.unlink()
        aside.rename(denied)
    revoking.running.wait_for(_READ, count=read + 1)
    assert revoking.both() == (403, 403)
    assert revoking.lists() is None
    revoking.clean()


def test_a_list_that_names_more_cuts_what_is_open_where_the_spec_says_so(
    revoking: Revoking,
) -> None:
    with revoking.websocket() as websocket:
        revoking.publish("ca.crl", revoking.root_list())
        assert not until(lambda: ended(websocket), 1), "it names nobody more"
        revoking.publish("ca.crl", revoking.root_list(revoking.material.client))
        assert until(lambda: ended(websocket), 12)
    assert revoking.both() == (403, 403)
