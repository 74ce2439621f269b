"""From the path of a spec to a plan: what `check`, `render` and `run` have in common (edge)."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from handclasp.agent.caller_checks import check_callers
from handclasp.agent.installation import attached_account
from handclasp.agent.machine import (
    WorkerAccount,
    existing_account,
    read_machine,
    worker_account,
)
from handclasp.agent.tokens import (
    TokensSeen,
    look_at_tokens,
    secret_source,
    service_environment,
)
from handclasp.certs.material import Material
from handclasp.errors import ExitCode, UsageError
from handclasp.findings import Finding, FindingsError, errors_in, found
from handclasp.keys.load import load_identity, load_token_identity, load_trust
from handclasp.nginx.layout import Layout
from handclasp.nginx.locate import locate, read_facts
from handclasp.nginx.plan import Inputs, make_plan
from handclasp.spec.check import check_spec
from handclasp.spec.pkcs11_uri import Pkcs11Uri
from handclasp.spec.read import read_spec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from handclasp.certs.material import IdentityMaterial
    from handclasp.nginx.facts import Facts
    from handclasp.nginx.parts import Machine, Plan
    from handclasp.ports import Resolver
    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.model import Identity, Spec

ALLOW_INSECURE = "HANDCLASP_ALLOW_INSECURE"


@dataclass(frozen=True, slots=True)
class Choices:
    """What the command line chose."""

    spec: Path
    nginx: str | None = None
    state: Path | None = None
    existing: bool = (
        False  # whatever the mode of the spec: includes for an nginx somebody else runs
    )


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything known before nginx is touched. `plan` is None when a finding forbids one."""

    loaded: LoadedSpec
    binary: Path
    facts: Facts
    machine: Machine
    account: WorkerAccount | None
    material: Material
    layout: Layout
    addresses: Mapping[str, tuple[str, ...]]
    plan: Plan | None
    read_at: datetime
    tokens: TokensSeen = field(default_factory=TokensSeen)
    checked: tuple[Finding, ...] = ()  # those of the findings that concern the spec alone
    findings: tuple[Finding, ...] = ()

    @property
    def spec(self) -> Spec:
        """The spec itself."""
        return self.loaded.spec


async def prepare(choices: Choices, *, now: datetime, resolver: Resolver) -> Prepared:
    """Read, check and plan. Raises FindingsError for a spec that cannot be understood, EnvironmentFault
    without a usable nginx; everything else that is wrong is in `findings`."""
    loaded = await asyncio.to_thread(read_spec, choices.spec)
    checked = tuple(check_spec(loaded, insecure_allowed=os.environ.get(ALLOW_INSECURE) == "1"))
    findings = list(checked)
    spec = loaded.spec
    binary = locate(choices.nginx, str(spec.nginx.binary) if spec.nginx.binary else None)
    existing = choices.existing or spec.nginx.mode == "existing"
    facts, addresses = await asyncio.gather(
        asyncio.to_thread(read_facts, binary), resolver.resolve(named_hosts(spec))
    )
    account = await asyncio.to_thread(_account, spec, facts, binary, existing=existing)
    own = None if existing else account
    tokens = await asyncio.to_thread(look_at_tokens, loaded, facts, own)
    material = await asyncio.to_thread(load_material, spec, tokens)
    machine = read_machine(account, existing=existing)
    layout = Layout(PurePosixPath(_spelled(choices.state, loaded)))
    plan = None
    if errors_in(findings):
        findings += material.findings()
    else:
        result = make_plan(
            Inputs(loaded, material, facts, machine, addresses, now, tokens.leading, tokens.module)
        )
        findings += result.findings
        plan = result.plan
        if existing and plan is not None and plan.tokens is not None:
            findings.append(service_environment(plan.tokens, layout))
    callers = check_callers(loaded, material, plan, now=now)
    findings += callers
    return Prepared(
        loaded=loaded,
        binary=binary,
        facts=facts,
        machine=machine,
        account=account,
        material=material,
        layout=layout,
        addresses=addresses,
        plan=None if errors_in(callers) else plan,
        read_at=now,
        tokens=tokens,
        checked=checked,
        findings=tuple(dict.fromkeys(findings)),
    )


def _account(spec: Spec, facts: Facts, binary: Path, *, existing: bool) -> WorkerAccount | None:
    """As whom workers run. Those of an existing nginx are let in only to ask about callers."""
    if not existing:
        return worker_account(spec.nginx.user, facts)
    if spec.nginx.mode != "existing" or not spec.ingress:
        return None
    if spec.nginx.user is not None:
        return existing_account((spec.nginx.user, None), facts)
    return existing_account(
        attached_account(spec, binary, facts) or (facts.default_user, None), facts
    )


def load_material(spec: Spec, tokens: TokensSeen) -> Material:
    """Every identity and trust that a link uses or that is merely defined."""
    return Material(
        identities={
            name: _load_identity(name, identity, tokens)
            for name, identity in spec.identities.items()
        },
        trust={
            name: load_trust(
                name,
                certificates=[Path(path) for path in trust.certificates],
                crls=[Path(path) for path in trust.crl],
                public=trust.public,
            )
            for name, trust in spec.trust.items()
        },
        intermediates={
            link.name: load_trust(
                f"intermediates of {link.name}",
                certificates=[Path(path) for path in link.clients.intermediates],
            )
            for link in spec.ingress
            if link.clients.intermediates
        },
    )


def _load_identity(name: str, identity: Identity, tokens: TokensSeen) -> IdentityMaterial:
    certificate = Path(identity.certificate)
    if isinstance(identity.key, Pkcs11Uri):
        seen = tokens.keys[name]
        return load_token_identity(
            name, certificate=certificate, token=seen.key, findings=seen.findings
        )
    return load_identity(
        name,
        certificate=certificate,
        key=Path(identity.key) if identity.key else None,
        password=secret_source(identity.password),
        allow_wide_mode=identity.allow_wide_key_mode,
    )


def named_hosts(spec: Spec) -> tuple[str, ...]:
    """Every host name that requests are sent to."""
    urls = [
        entry.url
        for link in spec.egress
        for entry in (
            *link.upstream,
            *(one for route in link.routes for one in route.upstream or ()),
        )
    ]
    urls += [link.backend for link in spec.ingress]
    return tuple(sorted({url.host for url in urls if url.is_named and url.host}))


def _spelled(chosen: Path | None, loaded: LoadedSpec) -> Path:
    """The state directory, unless nginx would read its name as something else: as a variable, a pattern
    of `include`, the end of a line. Raises FindingsError where the spec names it, else UsageError."""
    state = state_directory(chosen, loaded)
    odd = [character for character in str(state) if character in "$*?[" or character < " "]
    if odd:
        seen = f"the state directory's path {str(state)!r} holds {odd[0]!r}, which nginx cannot take there"
        if chosen is None and loaded.spec.state is not None:
            where = loaded.where("state")
            fix = "Name another directory, here or with --state-dir."
            refusal = found("spec-invalid-value", seen, where=where, fix=fix)
            raise FindingsError([refusal], exit_code=ExitCode.USAGE)
        raise UsageError(seen, hint="name another one with --state-dir or `state:`")
    return state


def state_directory(chosen: Path | None, loaded: LoadedSpec) -> Path:
    """--state-dir, the spec's `state`, $STATE_DIRECTORY (systemd), /var/lib as root, else the user's own
    ($XDG_STATE_HOME; XDG Base Directory Specification).

    Symbolic links on the way are followed here, once: systemd's DynamicUser= makes the directory one
    (systemd.exec, "DynamicUser="). Below it none is followed that the layout does not make.
    """
    # Not Path.resolve, which raises for links that go round in circles.
    return Path(os.path.realpath(_chosen_state(chosen, loaded)))


def _chosen_state(chosen: Path | None, loaded: LoadedSpec) -> Path:
    if chosen is not None:
        return chosen
    if loaded.spec.state is not None:
        return Path(loaded.spec.state)
    if from_systemd := os.environ.get("STATE_DIRECTORY"):
        return Path(from_systemd.split(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/handclasp") / loaded.name
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "handclasp" / loaded.name
