"""What a generation consists of, and what the generations kept still need (edge: reads them)."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from handclasp.agent.staging import OPENSSL_VARIABLE, pin_files
from handclasp.nginx.layout import REJECT_IDENTITY
from handclasp.nginx.render import render
from handclasp.nginx.render.tokens import OPENSSL_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import BaseModel

    from handclasp.agent.prepare import Prepared
    from handclasp.nginx.parts import Plan
    from handclasp.nginx.state import StateDirectory
    from handclasp.spec.model import Spec

PLAN_FILE = "plan.json"
SOURCES_FILE = "sources.json"
"""What the spec said of each identity and trust: whether a version is still that of another spec."""


def generation_files(prepared: Prepared, plan: Plan) -> Mapping[str, bytes]:
    """Name → content of every file."""
    existing = prepared.spec.nginx.mode == "existing"
    base = prepared.layout.generations / "current" if existing else None
    files = render(plan, prepared.facts, prepared.layout, include_base=base)
    said = json.dumps(sources(prepared.spec), indent=1, sort_keys=True)
    texts = {**files, PLAN_FILE: plan.as_json() + "\n", SOURCES_FILE: said + "\n"}
    content = {name: text.encode() for name, text in texts.items()}
    return {**content, **pin_files(prepared, plan)}


def sources(spec: Spec) -> dict[str, dict[str, str]]:
    """By kind and name, a digest of where the spec has an identity or a trust from."""
    sections: dict[str, Mapping[str, BaseModel]] = {
        "identities": spec.identities,
        "trust": spec.trust,
    }
    return {
        kind: {name: _digest(_written(one)) for name, one in them.items()}
        for kind, them in sections.items()
    }


def _written(section: BaseModel) -> str:
    return json.dumps(section.model_dump(exclude_defaults=True), default=str, sort_keys=True)


def recorded_sources(state: StateDirectory) -> dict[str, dict[str, str]]:
    """The same of the spec in effect; nothing where that is not known."""
    current = state.current_generation()
    if current is None:
        return {}
    try:
        told = json.loads((state.generation_path(current) / SOURCES_FILE).read_bytes())
        return {str(kind): dict(them) for kind, them in told.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def is_current(state: StateDirectory, prepared: Prepared, plan: Plan) -> bool:
    """Whether exactly these files, identities and trusts are in effect already."""
    current = state.current_generation()
    if current is None:
        return False
    folder = state.generation_path(current)
    # Links first: where one of them has to move, nothing need be rendered to know.
    return (
        all(state.current_identity(name) == version for name, version in plan.identities)
        and all(state.current_trust(name) == version for name, version in plan.trust)
        and all(
            _content(folder / name) == content
            for name, content in generation_files(prepared, plan).items()
        )
    )


def links_are_enough(state: StateDirectory, prepared: Prepared, plan: Plan) -> bool:
    """Whether nginx follows this plan by itself once its links have moved: only identities differ from what
    is in effect, and nginx looks each of those up in every handshake. Where it resumes sessions with an
    upstream there are some of the identity before, which end with the workers that have them."""
    current = state.current_generation()
    if current is None:
        return False
    folder = state.generation_path(current)
    files = generation_files(prepared, plan)
    same = all(
        _content(folder / name) == content
        for name, content in files.items()
        if name not in (PLAN_FILE, SOURCES_FILE)
    )
    read_once = {server.identity for server in plan.ingress if not server.lookup}
    read_once |= {
        tls.identity
        for upstream in plan.upstreams
        if (tls := upstream.tls) and tls.identity and not (tls.lookup and not tls.session_reuse)
    }
    moved = {name for name, new in plan.identities if state.current_identity(name) != new}
    trust_stays = all(state.current_trust(name) == version for name, version in plan.trust)
    return same and trust_stays and not moved & read_once


def material_in_use(state: StateDirectory) -> dict[str, set[str]]:
    """Names that some kept generation uses, by "identities" and "trust".

    Raises ValueError, naming the generation, when one of them does not say.
    """
    used: dict[str, set[str]] = {"identities": {REJECT_IDENTITY}, "trust": set()}
    for folder in state.generations():
        try:
            plan = json.loads((folder / PLAN_FILE).read_bytes())
            names = {kind: {str(name) for name, _ in plan[kind]} for kind in used}
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise ValueError(f"{folder}: {problem}") from problem
        for kind in used:
            used[kind] |= names[kind]
    return used


def read_at_start_only(state: StateDirectory, prepared: Prepared, plan: Plan) -> str | None:
    """Why nginx has to be restarted for this plan: OpenSSL reads its configuration, and a module its
    variables, once. None where a reload will do."""
    current = state.current_generation()
    if current is None or (plan.tokens is None and not recorded_variables(state)):
        return None
    folder = state.generation_path(current)
    wanted = generation_files(prepared, plan)
    names = [name for name in wanted if name == OPENSSL_FILE or name in pin_files(prepared, plan)]
    if any(_content(folder / name) != wanted[name] for name in names):
        return "what OpenSSL reads at its start (the way to the token, or a PIN) is another now"
    environment = dict(plan.tokens.environment) if plan.tokens else {}
    if plan.tokens and recorded_variables(state) != {**environment, OPENSSL_VARIABLE: ""}:
        return "the PKCS#11 module is given other variables"
    return None


def recorded_variables(state: StateDirectory) -> dict[str, str]:
    """What the plan in effect puts into nginx's environment for keys in tokens; OPENSSL_CONF is empty."""
    current = state.current_generation()
    if current is None:
        return {}
    try:
        tokens = json.loads((state.generation_path(current) / PLAN_FILE).read_bytes())["tokens"]
        given = {str(name): str(value) for name, value in tokens["environment"]} if tokens else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {**given, OPENSSL_VARIABLE: ""} if tokens else {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
