"""What can be wrong with one key of a YAML mapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from handclasp.spec.names import shown


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """A finding without its place; `fix` None takes the catalogue's."""

    slug: str
    seen: str
    fix: str | None = None


def key_problem(
    event: Any, key: Any, *, first_line: int | None, is_secret: bool
) -> KeyProblem | None:
    """Why `key` cannot be one, if so.

    `event` is the YAML event it came from, `first_line` where the mapping has the same key already;
    `is_secret` keeps the text of the key out of the sentence.
    """
    if isinstance(key, dict | list):
        return KeyProblem(
            "spec-not-yaml",
            "a key must be text, not a mapping or a list",
            "Write `key: value`; text that begins with { or [ must be quoted,"
            " and a template's {{ … }} filled in.",
        )
    if not isinstance(key, str):
        written = "" if is_secret else getattr(event, "value", "")
        return KeyProblem(
            "spec-not-yaml",
            f"the key {written}{' ' if written else ''}is read as {_kind(key)}; a key must be text",
            f'Put it in quotes: "{written}".' if written else "Put it in quotes.",
        )
    if key == "<<" and getattr(event, "implicit", (False,))[0]:
        return KeyProblem(
            "spec-not-yaml",
            "merge keys (`<<`) are not supported",
            "Write the keys out; `handclasp` takes aliases (`*name`) for whole values only.",
        )
    if first_line is not None:
        name = "" if is_secret else f" {shown(key)}"
        seen = f"the key{name} stands here a second time; first in line {first_line}"
        return KeyProblem("spec-duplicate-key", seen)
    return None


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return "true or false" if isinstance(value, bool) else "a number"
