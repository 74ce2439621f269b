"""HC7xx: what can be wrong with the spec file, the nginx build and the machine."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind
from handclasp.findings.model import Severity


def _check(
    slug: str,
    code: str,
    meaning: str,
    fix: str,
    severity: Severity = Severity.ERROR,
    *references: str,
) -> Entry:
    return Entry(
        slug=slug,
        code=code,
        kinds=frozenset({Kind.CHECK}),
        severity=severity,
        meaning=meaning,
        fix=fix,
        references=references,
    )


ENTRIES: tuple[Entry, ...] = (
    _check(
        "spec-unreadable",
        "HC700",
        "The spec file cannot be read.",
        "Give the path of a readable file with -c FILE.",
    ),
    _check(
        "spec-not-yaml",
        "HC701",
        "The spec file is not valid YAML.",
        "Mend the YAML at the place named; `handclasp init` writes a file to start from.",
    ),
    _check(
        "spec-unknown-key",
        "HC702",
        "The spec has a key that handclasp does not know.",
        "Remove the key or correct its name; `handclasp schema` lists all keys.",
    ),
    _check(
        "spec-invalid-value",
        "HC703",
        "A value in the spec is not of the form its key takes.",
        "Write a value of the form named; docs/reference/spec.md has every key.",
    ),
    _check(
        "spec-missing-key",
        "HC704",
        "A key that must be there is missing.",
        "Add the key.",
    ),
    _check(
        "spec-duplicate-key",
        "HC705",
        "A key stands twice in one mapping; YAML loaders would let the last one win silently.",
        "Keep one of the two.",
    ),
    _check(
        "spec-unknown-name",
        "HC706",
        "The spec refers to an identity or trust that it does not define.",
        "Define the name under identities: or trust:, or correct the reference.",
    ),
    _check(
        "spec-duplicate-name",
        "HC707",
        "Two links have the same name, or two listeners claim the same address and name.",
        "Give each its own name or address.",
    ),
)
