"""Plans without a machine: a spec as a mapping, material made in memory, the facts of a recorded build."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from handclasp.certs.material import IdentityMaterial, Material, TrustMaterial
from handclasp.certs.secret import Secret
from handclasp.nginx.layout import Layout
from handclasp.nginx.parts import Machine
from handclasp.nginx.plan import Inputs, PlanResult, make_plan
from handclasp.nginx.render import render
from handclasp.spec.load import parse_spec
from tests import pki
from tests.nginx.recorded_builds import facts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handclasp.nginx.facts import Facts
    from handclasp.nginx.parts import Plan

DISTRIBUTION, WHEEL = "debian-12-1.22.1", "wheel-1.31.3"
LAYOUT = Layout(PurePosixPath("/state"))
UNPRIVILEGED = Machine(processors=2, open_files=4096, is_root=False, nameservers=("192.0.2.53",))


@functools.cache
def material() -> Material:
    """svc-b and svc-x below the CA of `company`; `revoking` is the same CA with a list; `others`."""
    ca, other = pki.authority("Plan CA"), pki.authority("Other Plan CA")
    revoked = pki.crl(ca)
    from cryptography import x509

    anchors = {"company": ca, "others": other, "revoking": ca}
    return Material(
        identities={
            **{name: _identity(name, pki.leaf(ca, name)) for name in ("svc-b", "svc-x")},
            "server-a": _identity(
                "server-a", pki.leaf(ca, "server-a", sans=["*.example.com"], usages=[pki.SERVER])
            ),
        },
        trust={
            name: TrustMaterial(
                name=name,
                anchors=(pair.certificate,),
                crls=(x509.load_pem_x509_crl(revoked),) if name == "revoking" else (),
            )
            for name, pair in anchors.items()
        },
    )


def _identity(name: str, pair: pki.Pair) -> IdentityMaterial:
    return IdentityMaterial(
        name=name,
        certificate_file=PurePosixPath(f"{name}.pem"),
        key_file=PurePosixPath(f"{name}.key"),
        leaf=pair.certificate,
        key=Secret(pair.private_key),
        key_mode=0o600,
    )


def egress(name: str = "orders", **link: Any) -> dict[str, Any]:
    """One egress link; keyword arguments are its keys."""
    return {
        "name": name,
        "listen": f"unix:/run/{name}/x.sock",
        "upstream": "https://192.0.2.1",
        "identity": "svc-b",
        "trust": "company",
        "verify": {"name": "servera.example.com"},
        **link,
    }


def ingress(name: str = "api", **link: Any) -> dict[str, Any]:
    """One ingress link NAME.example.com; keyword arguments are its keys."""
    return {
        "name": name,
        "listen": "192.0.2.1:443",
        "server_names": [f"{name}.example.com"],
        "identity": "server-a",
        "clients": {"trust": "company", "allow": "any"},
        "backend": "http://127.0.0.1:8000",
        "forward": ["x-client-cert"],
        **link,
    }


@dataclass(frozen=True)
class Planner:
    """Where plans are made: a build and a machine, and what names resolve to."""

    build: str = DISTRIBUTION
    machine: Machine = UNPRIVILEGED

    @property
    def facts(self) -> Facts:
        return facts_of(self.build)

    def result(
        self, *links: dict[str, Any], addresses: Mapping[str, tuple[str, ...]] = {}, **top: Any
    ) -> PlanResult:
        spec = {
            "identities": {
                name: {"certificate": f"{name}.pem", "key": f"{name}.key"}
                for name in ("svc-b", "svc-x", "server-a")
            },
            "trust": {
                name: {"certificates": [f"{name}.pem"]}
                for name in ("company", "others", "revoking")
            },
            "egress": list(links),
            **top,
        }
        loaded = parse_spec(yaml.safe_dump(spec), source="x.yaml", base=PurePosixPath("/spec"))
        inputs = Inputs(loaded, material(), self.facts, self.machine, addresses, pki.NOW)
        return make_plan(inputs)

    def plan(self, *links: dict[str, Any], **more: Any) -> Plan:
        result = self.result(*links, **more)
        assert result.plan is not None, result.findings
        return result.plan

    def text(self, *links: dict[str, Any], **more: Any) -> dict[str, str]:
        return render(self.plan(*links, **more), self.facts, LAYOUT)
