"""From the path of a spec to a plan: what `check`, `render` and `run` have in common (edge)."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Literal

from handclasp.agent.bundle_watch import receive_first
from handclasp.agent.caller_checks import check_callers
from handclasp.agent.clock import SystemClock
from handclasp.agent.installation import attached_account
from handclasp.agent.issued import files_of, load_issued
from handclasp.agent.list_fetcher import fetch_first
from handclasp.agent.listed_trust import fetched_later, load_listed_trust, trust_files
from handclasp.agent.lists_in_force import with_those_in_force
from handclasp.agent.machine import (
    WorkerAccount,
    existing_account,
    read_machine,
    worker_account,
)
from handclasp.agent.material_stamps import mark
from handclasp.agent.tokens import (
    TokensSeen,
    look_at_tokens,
    secret_source,
    service_environment,
)
from handclasp.agent.waiting import why_waiting, with_stand_ins, without_stand_ins
from handclasp.certs.material import Material
from handclasp.errors import ExitCode, UsageError
from handclasp.findings import Finding, FindingsError, errors_in, found
from handclasp.keys.load import load_identity, load_token_identity, load_trust
from handclasp.nginx.layout import Layout
from handclasp.nginx.locate import locate, read_facts
from handclasp.nginx.plan import Inputs, make_plan
from handclasp.spec.check import check_spec
from handclasp.spec.issuer_acme import challenge_listeners
from handclasp.spec.pkcs11_uri import Pkcs11Uri
from handclasp.spec.read import read_spec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from handclasp.certs.material import IdentityMaterial
    from handclasp.nginx.facts import Facts
    from handclasp.nginx.parts import Machine, Plan
    from handclasp.nginx.plan import Unit
    from handclasp.ports import Resolver
    from handclasp.rotate.gather import Stamp
    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.model import Identity, Spec

ALLOW_INSECURE = "HANDCLASP_ALLOW_INSECURE"
Lists = Literal["fetched", "needed", "later"]
"""Revocation lists at URLs that were never had: they are fetched, or an error, or a warning."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the command line chose."""

    spec: Path
    nginx: str | None = None
    state: Path | None = None
    existing: bool = (
        False  # whatever the mode of the spec: includes for an nginx somebody else runs
    )
    lists: Lists = "needed"
    older_lists: bool = (
        False  # lists of files are taken, also where they are older than those in force
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
    older_lists: bool = False  # by order (Choices)
    moments: Mapping[Unit, datetime] = field(default_factory=dict)  # of material read since
    marks: Mapping[Path, Stamp] = field(default_factory=dict)  # of the files, before they were read
    kept: Mapping[str, str] = field(
        default_factory=dict
    )  # of what is not as it lies on disk, by unit, and why
    waiting: tuple[str, ...] = ()  # identities to be issued first; then there is no plan
    meanwhile: Plan | None = None  # with stand-ins for them, for `nginx -t` alone
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
    layout = Layout(PurePosixPath(_spelled(choices.state, loaded)))
    if choices.lists == "fetched" and not errors_in(findings):
        await fetch_first(loaded, Path(layout.root), passable=account is not None)
        await receive_first(loaded, Path(layout.root), passable=account is not None)
    marks = await asyncio.to_thread(mark, material_files(spec, layout))
    waiting = await asyncio.to_thread(why_waiting, loaded, layout, tokens, now)
    material = await asyncio.to_thread(load_material, spec, tokens, layout)
    today = SystemClock().now()
    if not choices.older_lists:
        material = await asyncio.to_thread(
            with_those_in_force, material, spec, layout.root, now=today
        )
    if waiting:
        material = with_stand_ins(material, waiting, loaded, layout, now)
    if choices.lists == "later":
        material = fetched_later(material, layout.root, today=today)
    machine = read_machine(account, existing=existing)
    plan = meanwhile = None
    if errors_in(findings):
        findings += material.findings()
    else:
        result = make_plan(
            Inputs(loaded, material, facts, machine, addresses, now, tokens.leading, tokens.module)
        )
        findings += without_stand_ins(result.findings, waiting, loaded, layout)
        plan, meanwhile = (None, result.plan) if waiting else (result.plan, None)
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
        older_lists=choices.older_lists,
        marks=marks,
        waiting=tuple(waiting),
        meanwhile=meanwhile,
        checked=checked,
        findings=tuple(dict.fromkeys(findings)),
    )


def _account(spec: Spec, facts: Facts, binary: Path, *, existing: bool) -> WorkerAccount | None:
    """As whom workers run. Those of an existing nginx are let in only to ask about callers and to answer
    challenges."""
    if not existing:
        return worker_account(spec.nginx.user, facts)
    if spec.nginx.mode != "existing":
        return None
    if not spec.ingress and not challenge_listeners(spec.issuers.values()):
        return None
    if spec.nginx.user is not None:
        return existing_account((spec.nginx.user, None), facts)
    return existing_account(
        attached_account(spec, binary, facts) or (facts.default_user, None), facts
    )


def material_files(spec: Spec, layout: Layout) -> tuple[Path, ...]:
    """Every file that `load_material` reads, so far as the spec names it."""
    files: list[PurePath] = []
    for name, identity in spec.identities.items():
        if identity.issuer is not None:
            certificate, made = files_of(layout.root, name)
            files += [certificate] if isinstance(identity.key, Pkcs11Uri) else [certificate, made]
        named = [identity.certificate, identity.password.file if identity.password else None]
        if not isinstance(identity.key, Pkcs11Uri):
            named.append(identity.key)
        files += [file for file in named if file is not None]
    for name, trust in spec.trust.items():
        files += trust_files(name, trust, layout.root)
    for link in spec.ingress:
        files += link.clients.intermediates
    return tuple(dict.fromkeys(map(Path, files)))


def load_material(spec: Spec, tokens: TokensSeen, layout: Layout) -> Material:
    """Every identity and trust that a link uses or that is merely defined."""
    return Material(
        identities={
            name: _load_identity(name, identity, tokens, layout)
            for name, identity in spec.identities.items()
        },
        trust={
            name: load_listed_trust(name, trust, layout.root) for name, trust in spec.trust.items()
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


def _load_identity(
    name: str, identity: Identity, tokens: TokensSeen, layout: Layout
) -> IdentityMaterial:
    if identity.certificate is None:
        seen = tokens.keys.get(name)
        return load_issued(
            layout.root, name, seen.key if seen else None, seen.findings if seen else ()
        )
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
