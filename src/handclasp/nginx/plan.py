"""Spec, material and facts in, plan or findings out. Pure: same input, same plan.

Everything downstream reads the plan, never the spec. What is decided for one link stands in
``plan_egress`` and ``plan_ingress``; here is what holds for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handclasp.backend.dialects import stripped_headers
from handclasp.certs.checks import Role, check_identity, check_trust
from handclasp.findings import Finding, errors_in, found
from handclasp.nginx.advisories import advisory_findings
from handclasp.nginx.parts import Machine, Plan, Process, Upstream
from handclasp.nginx.plan_egress import plan_egress
from handclasp.nginx.plan_ingress import plan_ingress

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from handclasp.certs.material import Material
    from handclasp.nginx.facts import Facts
    from handclasp.spec.load import LoadedSpec


_GRPC_HEADER_NAME = 46  # characters that fit a bucket of 64 bytes beside two pointers and a length


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a plan is made from."""

    loaded: LoadedSpec
    material: Material
    facts: Facts
    machine: Machine
    addresses: Mapping[str, tuple[str, ...]]  # host name → addresses; empty: cannot be resolved
    now: datetime


@dataclass(slots=True)
class Draft:
    """What links add to while the plan is being made."""

    upstreams: dict[str, Upstream] = field(default_factory=dict)
    watched_names: set[str] = field(default_factory=set)
    lookups: set[str] = field(default_factory=set)
    nginx_resolves: bool = False
    findings: list[Finding] = field(default_factory=list)
    client_uses: set[str] = field(default_factory=set)  # identities
    server_uses: dict[str, list[str]] = field(default_factory=dict)  # identity → server names


@dataclass(frozen=True, slots=True)
class PlanResult:
    """The plan, unless an error among the findings forbids it."""

    plan: Plan | None
    findings: tuple[Finding, ...]


def make_plan(inputs: Inputs) -> PlanResult:
    """Decide everything nginx will do, or say why not."""
    spec = inputs.loaded.spec
    draft = Draft(findings=[*inputs.material.findings(), *advisory_findings(inputs.facts)])
    egress = tuple(
        plan_egress(link, index, inputs, draft) for index, link in enumerate(spec.egress)
    )
    ingress, listeners = plan_ingress(inputs, draft)
    draft.findings.extend(_material_findings(inputs, draft))
    draft.findings.extend(_headers_too_long(inputs, draft))
    used = _used_trust(inputs)
    findings = tuple(dict.fromkeys(draft.findings))
    if errors_in(findings):
        return PlanResult(None, findings)
    resolver = _resolver(inputs) if draft.nginx_resolves else ()
    plan = Plan(
        name=inputs.loaded.name,
        process=_process(inputs),
        upstreams=tuple(sorted(draft.upstreams.values(), key=lambda upstream: upstream.name)),
        egress=egress,
        ingress=ingress,
        listeners=listeners,
        identities=tuple(
            (name, inputs.material.identities[name].fingerprint())
            for name in sorted({*draft.client_uses, *draft.server_uses})
        ),
        trust=tuple((name, inputs.material.trust[name].fingerprint()) for name in used),
        lookups=tuple(sorted(draft.lookups)),
        resolver=resolver,
        resolver_valid=spec.resolver.valid,
        resolved_names=tuple(sorted(draft.watched_names)),
        access_log=spec.log.access,
        stripped=stripped_headers(_configured_headers(inputs)),
    )
    return PlanResult(plan, findings)


def _material_findings(inputs: Inputs, draft: Draft) -> list[Finding]:
    """Certificate checks of every identity in every role it is used in, and of every trust."""
    spec, material = inputs.loaded.spec, inputs.material
    findings: list[Finding] = []
    for name in sorted(draft.client_uses):
        if identity := material.identities.get(name):
            findings += check_identity(identity, role=Role.CLIENT, now=inputs.now)
    for name, names in draft.server_uses.items():
        if identity := material.identities.get(name):
            findings += check_identity(identity, role=Role.SERVER, now=inputs.now, names=names)
    for name in _used_trust(inputs):
        if trust := material.trust.get(name):
            links = [link for link in spec.ingress if link.clients.trust == name]
            depth = min((link.clients.depth for link in links), default=4)
            findings += check_trust(trust, now=inputs.now, for_clients=bool(links), depth=depth)
    return findings


def _used_trust(inputs: Inputs) -> tuple[str, ...]:
    spec = inputs.loaded.spec
    names = {link.clients.trust for link in spec.ingress}
    names |= {link.backend_tls.trust for link in spec.ingress if link.backend_tls}
    names |= {link.trust for link in spec.egress}
    names |= {route.trust for link in spec.egress for route in link.routes if route.trust}
    return tuple(sorted(names))


def _configured_headers(inputs: Inputs) -> tuple[str, ...]:
    """Header names that this spec writes or reads identities in; stripped like the known ones."""
    spec = inputs.loaded.spec
    names: set[str] = set()
    for egress in spec.egress:
        if original := egress.original_certificate:
            names |= {original.to, *((original.header,) if original.header else ())}
    for ingress in spec.ingress:
        for forward in ingress.forward:
            names |= set(forward.headers.values())
        if hop := ingress.original_certificate:
            names |= {hop.to, *((hop.header,) if hop.header else ())}
    return tuple(sorted(names))


def _headers_too_long(inputs: Inputs, draft: Draft) -> list[Finding]:
    """nginx's gRPC module keeps headers in a hash of fixed sizes (ngx_http_grpc_module.c,
    `hash.bucket_size = ngx_align(64, …)`), and every configured name is stripped on every link."""
    if not any(upstream.grpc for upstream in draft.upstreams.values()):
        return []
    return [
        found(
            "nginx-feature-missing",
            f"the header name {name} has {len(name)} characters, and a spec with gRPC links can use"
            f" {_GRPC_HEADER_NAME} at most",
            fix="Choose a shorter header name.",
        )
        for name in _configured_headers(inputs)
        if len(name) > _GRPC_HEADER_NAME
    ]


def _resolver(inputs: Inputs) -> tuple[str, ...]:
    return tuple(inputs.loaded.spec.resolver.addresses) or inputs.machine.nameservers


def _process(inputs: Inputs) -> Process:
    """Workers, connections and open files for this machine, unless the spec says otherwise.

    A proxied request holds two descriptors; 64 are left for logs, the pid file and listeners.
    """
    settings, machine = inputs.loaded.spec.nginx, inputs.machine
    connections = settings.connections or max(256, min(16_384, (machine.open_files - 64) // 2))
    return Process(
        workers=settings.workers or machine.processors,
        connections=connections,
        open_files=min(machine.open_files, 2 * connections + 64),
        user=machine.worker_user if machine.is_root else None,
        group=machine.worker_group if machine.is_root else None,
    )
