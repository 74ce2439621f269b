"""What a generation consists of, and what the generations kept still need (edge: reads them)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from handclasp.nginx.layout import REJECT_IDENTITY
from handclasp.nginx.render import render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from handclasp.agent.prepare import Prepared
    from handclasp.nginx.parts import Plan
    from handclasp.nginx.state import StateDirectory


def generation_files(prepared: Prepared, plan: Plan) -> Mapping[str, str]:
    """Name → text of every file."""
    existing = prepared.spec.nginx.mode == "existing"
    base = prepared.layout.generations / "current" if existing else None
    files = render(plan, prepared.facts, prepared.layout, include_base=base)
    return {**files, "plan.json": plan.as_json() + "\n"}


def is_current(state: StateDirectory, prepared: Prepared, plan: Plan) -> bool:
    """Whether exactly these files, identities and trusts are in effect already."""
    current = state.current_generation()
    if current is None:
        return False
    folder = state.generation_path(current)
    wanted = generation_files(prepared, plan)
    return (
        all(_text(folder / name) == text for name, text in wanted.items())
        and all(state.current_identity(name) == version for name, version in plan.identities)
        and all(state.current_trust(name) == version for name, version in plan.trust)
    )


def material_in_use(state: StateDirectory) -> dict[str, set[str]]:
    """Names that some kept generation uses, by "identities" and "trust".

    Raises ValueError, naming the generation, when one of them does not say.
    """
    used: dict[str, set[str]] = {"identities": {REJECT_IDENTITY}, "trust": set()}
    for folder in state.generations():
        try:
            plan = json.loads((folder / "plan.json").read_bytes())
            names = {kind: {str(name) for name, _ in plan[kind]} for kind in used}
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise ValueError(f"{folder}: {problem}") from problem
        for kind in used:
            used[kind] |= names[kind]
    return used


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None
