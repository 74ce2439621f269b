"""What pydantic found wrong with a spec, as findings for people: place, sentence, suggestion."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from handclasp.findings import Finding, found
from handclasp.spec.issuer import IssuerSection
from handclasp.spec.links import Forward, UpstreamServer
from handclasp.spec.lists import ExpiredLists, ListSource
from handclasp.spec.names import shown
from handclasp.spec.policy import SecretSource, TlsPolicy
from handclasp.spec.shape import home_below, home_elsewhere, keys_of, nearest, section_at
from handclasp.spec.types import kind_of
from handclasp.spec.wording import form_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_core import ErrorDetails

    from handclasp.spec.policy import Section
    from handclasp.spec.positions import Path, Positions

_EXPECTED = {
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
    "dict_type": "a mapping of keys",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
}
_LONG_AND_SHORT: dict[type[Section] | None, str] = {
    UpstreamServer: "a URL or a mapping of keys",
    Forward: "the name of a dialect or a mapping of keys",
    TlsPolicy: "the name of a profile or a mapping of keys",
    SecretSource: "{file: PATH} or {env: NAME}",
    ListSource: "a path, a URL or a mapping of keys",
    ExpiredLists: "fail-closed or {keep_last: DURATION}",
}
_BOUND = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"),
    "less_than": ("lt", "less than"),
}


def findings_of(errors: list[ErrorDetails], positions: Positions) -> list[Finding]:
    """One finding per mistake: a misspelt key is not reported as missing as well."""
    findings: list[Finding] = []
    meant: set[Path] = set()
    missing: list[Path] = []
    for error in errors:
        path: Path = error["loc"]
        if error["type"] == "extra_forbidden":
            finding, suggestion = _unknown_key(path, positions)
            findings.append(finding)
            if suggestion is not None:
                meant.add((*path[:-1], suggestion))
        elif error["type"] == "missing":
            missing.append(path)
        else:
            findings.append(_wrong_value(error, path, positions))
    findings.extend(_missing_key(path, positions) for path in missing if path not in meant)
    return findings


def _unknown_key(path: Path, positions: Positions) -> tuple[Finding, str | None]:
    parent, key = path[:-1], str(path[-1])
    section = section_at(parent)
    known = keys_of(section) if section is not None else {}
    if section is SecretSource:
        # Not repeated: `password: {hunter2}` is a mapping with one key, which is the secret.
        seen = "unknown key; a secret is {file: PATH} or {env: NAME}"
        return found("spec-unknown-key", seen, where=positions.key(parent)), None
    if section is not None and key in known:  # of another kind of the mapping
        others = [name for name, kind in IssuerSection.kinds.items() if key in keys_of(kind)]
        seen = f"unknown key {shown(key)} for this `type`; it belongs to {' and '.join(others)}"
        told = "Remove it, or write the `type` that has it."
        return found("spec-unknown-key", seen, where=positions.key(path), fix=told), None
    home, suggestion = home_below(key, parent), None
    if home is None:
        suggestion = nearest(key, known, likeness=0.85)
    if home is None and suggestion is None:
        home = home_elsewhere(key, parent)
    if home is None and suggestion is None:
        suggestion = nearest(key, known)
    seen, fix = f"unknown key {shown(key)}", None
    if home is not None:
        seen += f"; it belongs {home}"
        fix = f"Move `{key}`: it belongs {home}."
    elif suggestion is not None:
        seen += f", did you mean '{suggestion}'?"
        fix = f"Write `{suggestion}:` or remove the key."
    elif known:
        fix = f"Remove it. Keys here: {', '.join(known)}."
    return found("spec-unknown-key", seen, where=positions.key(path), fix=fix), suggestion


def _missing_key(path: Path, positions: Positions) -> Finding:
    parent, key = path[:-1], str(path[-1])
    where = positions.key(parent)
    if key == "allow":
        return found(
            "allow-missing", "`allow` is missing: nobody is named who may enter", where=where
        )
    return found(
        "spec-missing-key",
        f"the key `{key}` is missing",
        where=where,
        fix=f"Add `{key}:` here. {_about(parent, key)}".rstrip(),
    )


def _about(parent: Path, key: str) -> str:
    return _MISSING_HINTS.get(key, "") if section_at(parent) is not None else ""


_MISSING_HINTS = {
    "upstream": "It says where requests go: https://name.",
    "listen": "It says where to wait: host:port or unix:/path.",
    "identity": "It names one of the `identities`.",
    "trust": "It names one entry of the `trust` section.",
    "clients": "It says which client certificates are accepted: {trust: NAME, allow: [cn:NAME]}.",
    "server_names": "It lists the names callers use.",
    "backend": "It says where requests are handed on: http://127.0.0.1:8000.",
    "certificate": "It is the path of the certificate's file; for one that handclasp gets by itself write"
    " `issuer:` instead.",
    "type": "It says which kind of issuer this is.",
}


def _wrong_value(error: ErrorDetails, path: Path, positions: Positions) -> Finding:
    is_key = bool(path) and path[-1] == "[key]"
    where = positions.key(path[:-1]) if is_key else positions.where(path)
    is_secret = any(section_at(path[:length]) is SecretSource for length in range(len(path) + 1))
    context: Mapping[str, Any] = error.get("ctx", {})
    kind = error["type"]
    value = path[-2] if is_key else error["input"]
    slug, fix = "spec-invalid-value", None
    if kind in _EXPECTED:
        expected = _LONG_AND_SHORT.get(section_at(path), _EXPECTED[kind])
        seen, fix = _wrong_type(expected, value)
    elif kind == "value_error":
        seen = str(context["error"])
    elif kind in _BOUND:
        limit, words = _BOUND[kind]
        seen = f"{value} is out of range: it must be {words} {context[limit]}"
    elif kind == "too_short":
        seen = "the list is empty; at least one item is needed"
        slug = "allow-missing" if path[-1] == "allow" else slug
    elif kind in _TEXT_KINDS:
        seen, fix = _TEXT_KINDS[kind](value, context)
        if is_secret:
            seen, fix = "this is not of the form {file: PATH} or {env: NAME}", None
    else:
        seen = error["msg"]
    return found(slug, seen, where=where, fix=fix)


def _wrong_type(expected: str, value: Any) -> tuple[str, str | None]:
    if value is None:
        return f"{expected} is expected, and nothing stands here", "Fill it in or remove the key."
    seen = f"{expected} is expected, not {kind_of(value)}"
    fix = None
    if expected == "text" and isinstance(value, int | float):
        fix = "Put it in quotes."
    elif expected == "true or false" and isinstance(value, str):
        fix = "Write true or false, without quotes; yes, no, on and off are text."
    elif expected == "a whole number" and isinstance(value, str) and value.isdecimal():
        fix = "Write it without quotes."
    elif expected == "a list" and isinstance(value, str):
        fix = "Put it in brackets: [value], or begin a line with `- `."
    return seen, fix


def _not_an_option(value: Any, context: Mapping[str, Any]) -> tuple[str, str | None]:
    options = re.findall(r"'([^']*)'", context["expected"])
    listed = ", ".join(options[:-1]) + f" or {options[-1]}" if len(options) > 1 else options[0]
    if not isinstance(value, str):
        return f"{listed} is expected, not {kind_of(value)}", None
    close = nearest(value, options)
    seen = f"{shown(value)} is not {listed}"
    if close is None:
        return seen, "Write one of them."
    return f"{seen}; did you mean '{close}'?", f"Write {close}."


def _wrong_form(value: Any, context: Mapping[str, Any]) -> tuple[str, str | None]:
    form = form_of(context["pattern"])
    seen = f"{shown(str(value))} is not {form.description}"
    better = form.correct(str(value))
    if better and re.search(context["pattern"], better):
        return f"{seen}; did you mean '{better}'?", f"Write {better}."
    return seen, None


_TEXT_KINDS: dict[str, Callable[[Any, Mapping[str, Any]], tuple[str, str | None]]] = {
    "literal_error": _not_an_option,
    "string_pattern_mismatch": _wrong_form,
}
