"""`handclasp explain --slug`: the entry as text and as JSON, and unknown names refused."""

import json

import pytest
from click.testing import CliRunner

from handclasp.cli.explain import explain
from handclasp.errors import ExitCode, UsageError
from handclasp.findings import ENTRIES


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(explain, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def _refusal(*arguments: str) -> UsageError:
    with pytest.raises(UsageError) as raised:
        explain.main(list(arguments), standalone_mode=False)
    assert raised.value.exit_code is ExitCode.USAGE
    return raised.value


@pytest.mark.parametrize("slug", ENTRIES)
def test_every_entry_is_printed_whole(slug):
    entry = ENTRIES[slug]
    words = " ".join(_run("--slug", slug).split())
    for text in (entry.code, entry.meaning, entry.fix, *entry.references, *entry.see_also):
        assert " ".join(text.split()) in words


def test_text_has_the_headings_of_the_page():
    lines = _run("--slug", "cert-expired").splitlines()
    assert lines[0] == (
        "cert-expired (HC201): error, cause, check; to be put right at: client, server"
    )
    assert [line for line in lines[1:] if line and not line.startswith(" ")] == [
        "What it means",
        "What to do",
        "References",
        "See also",
    ]


def test_text_leaves_out_what_the_entry_lacks():
    text = _run("--slug", "nginx-too-old")
    assert text.startswith("nginx-too-old (HC653): error, check\n")
    assert "References" not in text
    assert "See also" not in text


@pytest.mark.parametrize("code", ["HC203", "hc203", " Clock-Skew "])
def test_a_code_names_an_entry_as_well_in_any_case(code):
    assert _run("--slug", code) == _run("--slug", "clock-skew")


@pytest.mark.parametrize("slug", ENTRIES)
def test_json_holds_the_whole_entry(slug):
    entry = ENTRIES[slug]
    assert json.loads(_run("--slug", slug, "--format", "json")) == {
        "slug": slug,
        "code": entry.code,
        "kinds": [kind for kind in ("cause", "rule", "check") if kind in entry.kinds],
        "severity": entry.severity,
        "sides": [side for side in ("client", "server", "config", "app") if side in entry.sides],
        "meaning": entry.meaning,
        "fix": entry.fix,
        "references": list(entry.references),
        "see_also": list(entry.see_also),
    }


def test_a_misspelt_slug_is_refused_with_the_near_one():
    refusal = _refusal("--slug", "cert-expird")
    assert refusal.message == "There is no finding 'cert-expird'."
    assert refusal.hint is not None
    assert "cert-expired" in refusal.hint


def test_part_of_a_slug_is_refused_with_those_that_contain_it():
    hint = _refusal("--slug", "sni").hint
    assert hint is not None
    assert "upstream-sni-off" in hint
    assert "upstream-sni-not-sent" in hint


@pytest.mark.parametrize("name", ["qqqqqqqq", "HC999", ""])
def test_a_name_like_nothing_else_is_refused_with_the_place_of_the_list(name):
    hint = _refusal("--slug", name).hint
    assert hint == "docs/reference/findings lists all findings."


def test_without_a_slug_it_says_that_logs_cannot_be_read_yet():
    refusal = _refusal()
    assert "reading logs is not there yet" in refusal.message
    assert "--slug" in str(refusal)


def test_help_has_an_example():
    assert "Example: handclasp explain --slug" in _run("--help")
