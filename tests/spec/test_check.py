"""Rules over several keys, without files."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from handclasp.findings import Severity
from handclasp.spec.check import check_spec
from handclasp.spec.load import parse_spec
from tests.spec.cases import Case, cases, said_on_check


@pytest.mark.parametrize("case", cases("check"), ids=str)
def test_what_is_said_about_a_spec(case: Case) -> None:
    assert said_on_check(case.spec) == case.expected


def test_a_sound_spec_is_met_with_silence() -> None:
    silent = [case.path.stem for case in cases("check") if not case.expected]
    assert silent == ["nothing-to-say"]


@pytest.mark.parametrize("case", cases("check"), ids=str)
def test_findings_come_in_the_order_of_the_file_and_name_a_key(case: Case) -> None:
    loaded = parse_spec(case.spec, source="spec.yaml", base=PurePosixPath("/etc"))
    findings = check_spec(loaded, insecure_allowed=False)
    places = [(finding.where.line, finding.where.column) for finding in findings]
    assert places == sorted(places)
    for finding in findings:
        assert finding.where.path or finding.slug == "spec-no-links"


def test_insecure_accept_any_is_an_error_unless_the_environment_allows_it() -> None:
    case = next(case for case in cases("check") if case.path.stem == "insecure-refused")
    loaded = parse_spec(case.spec, source="spec.yaml", base=PurePosixPath("/etc"))

    def severities(*, allowed: bool) -> list[Severity]:
        findings = check_spec(loaded, insecure_allowed=allowed)
        return [one.severity for one in findings if one.slug == "insecure-accept-any"]

    assert severities(allowed=False) == [Severity.ERROR, Severity.ERROR]
    assert severities(allowed=True) == [Severity.WARNING, Severity.WARNING]


def test_every_slug_the_checks_use_has_a_case() -> None:
    """The catalogue is asked at run time, so a slug no case reaches could be misspelt unnoticed."""
    import re
    from pathlib import Path

    import handclasp.spec.checks as checks
    from handclasp.findings import ENTRIES

    folder = Path(checks.__path__[0])
    text = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    used = set(re.findall(r'found\(\s*"([a-z0-9-]+)"', text))
    reached = {
        slug for case in cases("check") for slug in re.findall(r"\[([a-z0-9-]+)\]\n", case.expected)
    }
    assert used <= ENTRIES.keys()
    assert used <= reached
