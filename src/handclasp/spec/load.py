"""Spec text → LoadedSpec, or every error of the file at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pydantic import ValidationError

from handclasp.errors import ExitCode
from handclasp.findings import Finding, FindingsError, Where
from handclasp.spec.document import parse_document
from handclasp.spec.model import Spec
from handclasp.spec.names import fit_name
from handclasp.spec.problems import findings_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from handclasp.spec.positions import Positions

_LISTED = 100


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """A well-formed spec, and where each of its values stands; `check` judges it further."""

    spec: Spec
    positions: Positions
    source: str
    """The file it was read from, as named by whoever asked."""
    name: str
    """`name` of the spec, else made from the file's stem."""

    def where(self, *path: str | int) -> Where:
        """The place of `where("egress", 0, "upstream")`; its nearest ancestor's if not written."""
        return self.positions.where(path)

    def key(self, *path: str | int) -> Where:
        """The place of the key, for what is said about a whole mapping."""
        return self.positions.key(path)


def parse_spec(text: bytes | str, *, source: str, base: PurePosixPath) -> LoadedSpec:
    """The spec in `text`; `source` names the file, and paths are relative to `base`.

    Raises FindingsError (exit code 2) with all errors of the file, in the order of its lines.
    """
    document = parse_document(text, source=source)
    findings = list(document.findings)
    spec = None
    try:
        spec = Spec.model_validate(document.data, context={"base": base})
    except ValidationError as error:
        mangled = {finding.where.path for finding in findings}
        findings += [
            finding
            for finding in findings_of(_first(error), document.positions)
            if finding.slug != "spec-invalid-value" or finding.where.path not in mangled
        ]
    if findings or spec is None:
        raise FindingsError(_in_order(findings), exit_code=ExitCode.USAGE)
    name = spec.name or fit_name(PurePosixPath(source).stem) or "handclasp"
    return LoadedSpec(spec, document.positions, source, name)


def _first(error: ValidationError) -> list[ErrorDetails]:
    """Enough to fill the list: each unknown key is compared with all known ones, which takes time."""
    return error.errors(include_url=False)[: 10 * _LISTED]


def _in_order(findings: list[Finding]) -> list[Finding]:
    """By line, one per place: a key that YAML already complained of is not judged a second time.

    A file with hundreds of errors is the wrong file: the first hundred are listed.
    """
    by_place: dict[tuple[int, int, str | None], Finding] = {}
    for finding in findings:
        where = finding.where
        missing = finding.seen if finding.slug == "spec-missing-key" else None
        by_place.setdefault((where.line or 0, where.column or 0, missing), finding)
    ordered = [by_place[place] for place in sorted(by_place, key=lambda place: place[:2])]
    if len(ordered) > _LISTED:
        more = "there are more errors from here on, which are not listed"
        ordered[_LISTED - 1 :] = [replace(ordered[_LISTED - 1], seen=more)]
    return ordered
