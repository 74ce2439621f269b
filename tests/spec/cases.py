"""Golden cases: a spec, a line of dashes, and what is said about it.

A fix is part of a case only where it says more than the catalogue's entry does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from handclasp.findings import ENTRIES, FindingsError
from handclasp.spec.check import check_spec
from handclasp.spec.load import parse_spec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.findings import Finding

_HERE = Path(__file__).parent / "cases"
_DASHES = "----------\n"


@dataclass(frozen=True)
class Case:
    """One file under tests/spec/cases."""

    path: Path
    spec: str
    expected: str

    def __str__(self) -> str:
        return self.path.stem


def cases(folder: str) -> list[Case]:
    """The cases of a folder, by name."""
    found = []
    for path in sorted((_HERE / folder).glob("*.txt")):
        spec, _, expected = path.read_text("utf-8").partition(_DASHES)
        found.append(Case(path, spec, expected))
    return found


def lines(findings: Iterable[Finding]) -> str:
    """Findings as the cases write them."""
    text = ""
    for finding in findings:
        head, _, fix = finding.as_text().partition("\n")
        text += head + "\n"
        if finding.fix != ENTRIES[finding.slug].fix:
            text += fix + "\n"
    return text


def said_on_load(spec: str | bytes) -> str:
    """What loading says, empty when it says nothing."""
    try:
        parse_spec(spec, source="spec.yaml", base=PurePosixPath("/etc/hop"))
    except FindingsError as error:
        return lines(error.findings)
    return ""


def said_on_check(spec: str, *, insecure_allowed: bool = False) -> str:
    """What `check_spec` says about a well-formed spec."""
    loaded = parse_spec(spec, source="spec.yaml", base=PurePosixPath("/etc/hop"))
    return lines(check_spec(loaded, insecure_allowed=insecure_allowed))
