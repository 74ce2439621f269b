"""Spec, material and facts in, plan or findings out. Pure: same input, same plan.

Everything downstream reads the plan, never the spec. What is decided for one link stands in
``plan_egress`` and ``plan_ingress``; here is what holds for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from handclasp.backend.dialects import stripped_headers
from handclasp.certs.checks import Role, check_identity, check_trust
from handclasp.findings import Finding, Severity, errors_in, found
from handclasp.nginx.advisories import advisory_findings
from handclasp.nginx.parts import Machine, Plan, Process, Upstream, trusts_with_lists
from handclasp.nginx.plan_egress import plan_egress
from handclasp.nginx.plan_ingress import plan_ingress
from handclasp.nginx.plan_tokens import plan_tokens
from handclasp.spec.issuer_acme import challenge_listeners

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import PurePath

    from handclasp.certs.material import Material
    from handclasp.hsm.openssl_conf import Leading
    from handclasp.nginx.facts import Facts
    from handclasp.spec.load import LoadedSpec


Kind = Literal["identity", "trust"]
Unit = tuple[Kind, str]

_MOST_CONNECTIONS = 16_384
_LEAST_CONNECTIONS = 32  # beside the listeners: sixteen requests at a time
_OTHER_FILES = 64  # logs, the pid file, channels between processes, temporary files
_USUAL_FILES = 1024
_MORE_FILES = (
    "Raise the hard limit: `LimitNOFILE={needed}` in a systemd unit, `--ulimit nofile={needed}` for a"
    " container, `ulimit -Hn {needed}` (as root) before the command."
)
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
    pkcs11: Leading | None = (
        None  # how this nginx goes to tokens; None: not at all, or no key is in one
    )
    pkcs11_module: PurePath | None = None
    moments: Mapping[Unit, datetime] = field(default_factory=dict)
    """When material was read that is judged as of then, and not as of `now`."""

    def judged_at(self, kind: Kind, name: str) -> datetime:
        """The moment as of which the dates of an identity or trust are judged."""
        return self.moments.get((kind, name), self.now)

    def may_look_up(self, identity: str) -> bool:
        """Whether nginx's workers may read this identity anew in every handshake. A key in a token is no
        file, and to open it anew each time costs half a handshake more (docs/decisions/0012)."""
        material = self.material.identities.get(identity)
        in_token = material is not None and material.token is not None
        return self.machine.workers_may_read_keys and not in_token


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
    tokens = plan_tokens(inputs, draft)
    process = _process(inputs)
    if spec.nginx.mode == "own":
        draft.findings.extend(_limit_of_open_files(process, inputs))
    used = _used_trust(inputs)
    findings = tuple(dict.fromkeys(draft.findings))
    if errors_in(findings):
        return PlanResult(None, findings)
    resolver = _resolver(inputs) if draft.nginx_resolves else ()
    upstreams = tuple(sorted(draft.upstreams.values(), key=lambda upstream: upstream.name))
    lists = trusts_with_lists(ingress, upstreams)
    plan = Plan(
        name=inputs.loaded.name,
        process=process,
        upstreams=upstreams,
        egress=egress,
        ingress=ingress,
        listeners=listeners,
        identities=tuple(
            (name, inputs.material.identities[name].fingerprint())
            for name in sorted({*draft.client_uses, *draft.server_uses})
        ),
        trust=tuple(
            (name, inputs.material.trust[name].fingerprint(lists=name in lists)) for name in used
        ),
        lookups=tuple(sorted(draft.lookups)),
        resolver=resolver,
        resolver_valid=spec.resolver.valid,
        resolved_names=tuple(sorted(draft.watched_names)),
        access_log=spec.log.access,
        callers_log=spec.log.callers and spec.nginx.mode == "own",
        stripped=stripped_headers(_configured_headers(inputs)),
        tokens=tokens,
        challenges=challenge_listeners(spec.issuers.values()),
    )
    return PlanResult(plan, findings)


def _material_findings(inputs: Inputs, draft: Draft) -> list[Finding]:
    """Certificate checks of every identity in every role it is used in, and of every trust."""
    spec, material = inputs.loaded.spec, inputs.material
    findings: list[Finding] = []
    groups = _written_groups(inputs)
    for name in sorted(draft.client_uses):
        if identity := material.identities.get(name):
            findings += check_identity(
                identity,
                role=Role.CLIENT,
                now=inputs.judged_at("identity", name),
                groups=groups,
            )
    for name, names in draft.server_uses.items():
        if identity := material.identities.get(name):
            findings += check_identity(
                identity,
                role=Role.SERVER,
                now=inputs.judged_at("identity", name),
                names=names,
                groups=groups,
            )
    for name in _used_trust(inputs):
        if trust := material.trust.get(name):
            links = [link for link in spec.ingress if link.clients.trust == name]
            depth = min((link.clients.depth for link in links), default=4)
            now = inputs.judged_at("trust", name)
            findings += check_trust(trust, now=now, for_clients=bool(links), depth=depth)
    return findings


def _written_groups(inputs: Inputs) -> tuple[str, ...]:
    """Curves that the spec names somewhere: whoever writes one has peers that offer it."""
    spec = inputs.loaded.spec
    policies = [spec.tls, *(link.tls for link in spec.ingress)]
    for link in spec.egress:
        policies += [link.tls, *(route.tls for route in link.routes)]
    named = [group for policy in policies if policy for group in policy.groups or ()]
    return tuple(dict.fromkeys(named))


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

    A proxied request holds two descriptors.
    """
    settings, machine = inputs.loaded.spec.nginx, inputs.machine
    fitting = max(1, min(_MOST_CONNECTIONS, (machine.open_files - _OTHER_FILES) // 2))
    connections = settings.connections or fitting
    return Process(
        workers=settings.workers or machine.processors,
        connections=connections,
        open_files=min(machine.open_files, 2 * connections + _OTHER_FILES),
        user=machine.worker_user if machine.is_root else None,
        group=machine.worker_group if machine.is_root else None,
    )


def _limit_of_open_files(process: Process, inputs: Inputs) -> list[Finding]:
    """Whether a worker can hold the connections it is to have. Those of the listeners count among them
    (ngx_event_process_init), so a worker without enough for them ends at once."""
    limit, listeners = inputs.machine.open_files, _listeners(inputs)
    told = f"each process may have {limit} open files here (`ulimit -Hn`)"
    least = listeners + _LEAST_CONNECTIONS
    needed = 2 * least + _OTHER_FILES
    if limit < needed:
        return [
            found(
                "open-files-limit",
                f"{told}, and nginx's workers need {needed} at least for {listeners} listeners",
                fix=_MORE_FILES.format(needed=max(needed, _USUAL_FILES)),
            )
        ]
    settings = inputs.loaded.spec.nginx
    if process.connections < least:
        return [
            found(
                "open-files-limit",
                f"{process.connections} connections per worker are too few for {listeners} listeners,"
                f" which take one each: {least} is the least",
                where=inputs.loaded.where("nginx", "connections"),
                fix=f"Write `connections: {max(least, 1024)}` or more, or leave the key out.",
            )
        ]
    if settings.connections and settings.connections + _OTHER_FILES > limit:
        return [
            found(
                "open-files-limit",
                f"{told}, too few for {settings.connections} connections per worker",
                where=inputs.loaded.where("nginx", "connections"),
                fix=_MORE_FILES.format(needed=2 * settings.connections + _OTHER_FILES)
                + " Or leave `connections` out: it is then derived from the limit.",
                severity=Severity.WARNING,
            )
        ]
    return []


def _listeners(inputs: Inputs) -> int:
    """Addresses that are listened on."""
    spec = inputs.loaded.spec
    addresses = {str(link.listen) for link in spec.egress}
    for link in spec.ingress:
        plain = (link.health, link.redirect)
        addresses |= {str(address) for address in link.listen}
        addresses |= {str(one.listen) for one in plain if one is not None}
    addresses |= {str(one) for one in challenge_listeners(spec.issuers.values())}
    return len(addresses)
