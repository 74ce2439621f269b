"""Finding: the one result of spec checks, certificate checks, lint, probe and explain."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from handclasp.errors import ExitCode, HandclaspError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Severity(StrEnum):
    """How bad a finding is: `error` will not work or lets somebody in."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Where:
    """A place: a file, 1-based line and column, and the path into the document if there is one."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    path: str | None = None

    def __str__(self) -> str:
        place = ":".join(
            str(part) for part in (self.file, self.line, self.column) if part is not None
        )
        if self.path:
            return f"{place} ({self.path})" if place else self.path
        return place


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or worth knowing: what was seen, where, and what to do."""

    slug: str
    code: str
    severity: Severity
    seen: str
    fix: str
    where: Where = field(default_factory=Where)

    def as_json(self) -> dict[str, Any]:
        """The stable JSON form (docs/reference/json.md)."""
        return {
            "slug": self.slug,
            "code": self.code,
            "severity": self.severity.value,
            "where": {
                "file": self.where.file,
                "line": self.where.line,
                "column": self.where.column,
                "path": self.where.path,
            },
            "seen": self.seen,
            "fix": self.fix,
        }

    def as_text(self) -> str:
        """Two lines for people."""
        place = str(self.where)
        head = f"{place}: " if place else ""
        return f"{head}{self.severity.value}: {self.seen} [{self.slug}]\n  fix: {self.fix}"


class FindingsError(HandclaspError):
    """Work cannot go on because of these findings; carries all of them, not the first only."""

    def __init__(self, findings: Iterable[Finding], *, exit_code: ExitCode) -> None:
        self.findings = tuple(findings)
        self.exit_code = exit_code
        # The sentence says what forbids going on; the rest is for those who print the findings.
        told = errors_in(self.findings) or self.findings
        super().__init__("\n".join(finding.as_text() for finding in told))


def errors_in(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those findings that forbid going on."""
    return tuple(finding for finding in findings if finding.severity is Severity.ERROR)
