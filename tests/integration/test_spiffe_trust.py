"""Links that trust the bundle of a SPIFFE trust domain, ours or a federated one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.agent.spiffe_bundles import accept, sources
from handclasp.spec.read import read_spec
from tests import pki
from tests.integration.ingress_stage import Stage, link, ports, spec_of, until
from tests.integration.running import Running, handclasp, write_spec
from tests.integration.servers import Backend
from tests.issuers import workload_api

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration

OWN, PARTNER = "own.example.com", "partner.example.com"
ROOT = pki.authority("example.org root")
NEXT = pki.authority("example.org next root")
PARTNER_ROOT = pki.authority("partner.example root")
CALLERS = {
    "svc": (ROOT, "spiffe://example.org/svc"),
    "svc-next": (NEXT, "spiffe://example.org/svc"),
    "pal": (PARTNER_ROOT, "spiffe://partner.example/pal"),
    "forged": (PARTNER_ROOT, "spiffe://example.org/svc"),
    "plain": (ROOT, "svc.example.org"),
}
BOTH = {"partner.example": PARTNER_ROOT.der}


def push(
    api: workload_api.WorkloadApi,
    own: Sequence[pki.Pair] = (ROOT,),
    federated: Mapping[str, bytes] | None = None,
) -> None:
    """What the API says from now on: the bundle of example.org, and those it is federated with."""
    identifier = "spiffe://example.org/server"
    pair = pki.leaf(ROOT, "server", sans=(f"uri:{identifier}",), usages=(pki.CLIENT, pki.SERVER))
    bundles = BOTH if federated is None else federated
    api.push([workload_api.svid(pair, identifier, own)], bundles)


def spec(material: Material, socket: Path, port: int, backend: int) -> dict[str, Any]:
    to, listen = f"http://127.0.0.1:{backend}", f"127.0.0.1:{port}"
    spire = {"issuer": "spire"}
    domains = {"own": "example.org", "partner": "partner.example"}
    links = [
        link(name, listen, to, clients={"trust": name, "allow": [f"spiffe://{domain}/*"]})
        for name, domain in domains.items()
    ]
    trust = {name: {"spiffe": {**spire, "trust_domain": one}} for name, one in domains.items()}
    issuers = {"spire": {"type": "spiffe", "socket": str(socket)}}
    return spec_of(material, links, trust=trust, issuers=issuers)


@dataclass
class Trusting(Stage):
    """The stage with its Workload API."""

    api: workload_api.WorkloadApi | None = None

    def push(self, *arguments: Any, **options: Any) -> None:
        assert self.api is not None
        push(self.api, *arguments, **options)

    def asked(self, name: str, who: str) -> int:
        return self.caller.get(sni=name, credentials=self.pair(who)).status

    def answers(self, name: str, **expected: int) -> bool:
        return until(lambda: {who: self.asked(name, who) for who in expected} == expected, 15)

    def told(self) -> str:
        return " ".join(one["seen"] for one in self.running.status()["findings"])


@pytest.fixture(scope="module")
def cast(material: Material) -> Material:
    material.add("server-a", sans=[OWN, PARTNER], usages=[pki.SERVER])
    for name, (issuer, identifier) in CALLERS.items():
        san = f"uri:{identifier}" if "://" in identifier else identifier
        material.add(name, issuer=issuer, sans=[san])
    return material


@pytest.fixture(scope="module")
def stage(cast: Material, place: Path, nginx_build: Path) -> Iterator[Trusting]:
    (port,) = ports(1)
    socket = place / f"{port}.sock"
    with Backend() as backend, workload_api.serving(socket) as api:
        push(api)
        file = write_spec(cast.folder, f"trusting-{port}", spec(cast, socket, port, backend.port))
        with Running(file, nginx_build) as running:
            yield Trusting(cast, running, port, api=api)


def test_callers_pass_under_the_bundle_of_their_own_trust_domain_alone(stage: Trusting) -> None:
    assert stage.asked(OWN, "svc") == 200
    assert stage.asked(PARTNER, "pal") == 200
    assert stage.asked(OWN, "pal") == 400
    assert stage.asked(PARTNER, "svc") == 400
    assert stage.asked(OWN, "plain") == 403


def test_a_federated_domain_cannot_sign_identities_of_ours(stage: Trusting) -> None:
    assert stage.asked(OWN, "forged") == 400
    assert stage.asked(PARTNER, "forged") == 403


def test_a_bundle_that_changes_is_in_force_without_a_restart(stage: Trusting) -> None:
    master = stage.running.master_pid
    stage.push([ROOT, NEXT])
    assert stage.answers(OWN, **{"svc": 200, "svc-next": 200})
    stage.push(
        [NEXT]
    )  # whoever was seen under the root of before: the domain says that it has gone
    assert stage.answers(OWN, **{"svc": 400, "svc-next": 200}), stage.running.text
    assert stage.running.master_pid == master
    stage.push()
    assert stage.answers(OWN, **{"svc": 200, "svc-next": 400})


def test_what_is_no_bundle_of_cas_changes_nothing_and_is_said(stage: Trusting) -> None:
    leaf = pki.leaf(PARTNER_ROOT, "pal")
    stage.push(federated={"partner.example": leaf.der})
    stage.running.wait_for("the bundle of partner.example cannot be used")
    assert stage.asked(PARTNER, "pal") == 200
    assert until(lambda: "trust 'partner' may be out of date" in stage.told())
    stage.push()
    assert until(lambda: "out of date" not in stage.told())


def test_a_federation_that_ends_lets_nobody_of_that_domain_in(stage: Trusting) -> None:
    stage.push(federated={})
    assert stage.answers(PARTNER, pal=400)
    assert stage.asked(OWN, "svc") == 200
    assert until(lambda: "trust 'partner' believes nobody" in stage.told())
    stage.push()
    assert stage.answers(PARTNER, pal=200)


def test_what_was_received_serves_on_without_the_api_and_nothing_starts_without_it(
    cast: Material, place: Path, nginx_builds: dict[str, Path]
) -> None:
    port, nobodys = ports(2)
    socket, nginx = place / f"{port}.sock", nginx_builds["distribution"]
    file = write_spec(cast.folder, f"kept-{port}", spec(cast, socket, port, backend=nobodys))
    with Running(file, nginx, expect_ready=False) as running:
        assert running.process.wait(30) == 3
        assert "spiffe-bundle-not-received" in running.text
        assert "the Workload API cannot be reached" in running.text
    given = {"example.org": (ROOT.certificate,), "partner.example": (PARTNER_ROOT.certificate,)}
    for source in sources(read_spec(file).spec, running.state):  # as it was received before
        accept(source, given, pki.NOW)
    with Running(file, nginx) as running:
        stage = Trusting(cast, running, port)
        assert (stage.asked(OWN, "svc"), stage.asked(OWN, "pal")) == (502, 400)
    expiry = handclasp("expiry", "-c", file, "--state-dir", running.state, cwd=cast.folder)
    assert "partner.example root" in expiry.stdout
