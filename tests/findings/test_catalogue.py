"""The catalogue is complete, its codes are stable and in range, and its links hold."""

import ast
import re
from dataclasses import replace
from fnmatch import filter as filter_names
from pathlib import Path

import pytest

from handclasp.errors import InternalFault
from handclasp.findings import ENTRIES, Entry, Kind, Severity, Side, Where, found
from handclasp.findings.catalogue import AREAS, catalogue

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"


def _lines(name: str) -> list[str]:
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


CAUSES = dict(line.split(": ") for line in _lines("slugs_causes.txt"))
RULES = _lines("slugs_rules.txt")
CHECKS = _lines("slugs_checks.txt")

TWINS = [
    ("upstream-name-mismatch", "upstream-name-missing"),
    ("upstream-sni-not-sent", "upstream-sni-off"),
    ("ssl-client-cert-multiline-header", "ssl-client-cert-header-deprecated"),
    ("cross-vhost-session-resumption", "session-cache-shared-across-client-cas"),
    ("server-chain-incomplete", "client-chain-incomplete"),
    ("not-pem", "certificate-not-pem"),
    ("directive-not-allowed-here", "directive-in-wrong-context"),
    ("trust-anchor-not-configured", "upstream-verify-no-trust-anchor"),
    ("tls-to-plain-port", "listener-not-tls"),
    ("protocol-version-unsupported", "obsolete-protocols"),
    ("no-shared-cipher", "cipher-name-unknown"),
    ("key-encrypted-no-passphrase", "password-file-ignored"),
    ("dns-not-found", "upstream-unresolvable"),
    ("permission-denied", "worker-cannot-read-key"),
]


def test_the_lists_are_the_size_they_were_copied_with():
    assert (len(CAUSES), len(RULES), len(CHECKS)) == (77, 47, 53)


@pytest.mark.parametrize("slug", CAUSES)
def test_every_cause_is_catalogued_with_the_sides_that_can_put_it_right(slug):
    assert Kind.CAUSE in ENTRIES[slug].kinds
    assert ENTRIES[slug].sides == {Side(side) for side in CAUSES[slug].split(", ")}


@pytest.mark.parametrize("slug", RULES)
def test_every_lint_rule_is_catalogued_as_a_rule(slug):
    assert Kind.RULE in ENTRIES[slug].kinds


@pytest.mark.parametrize("slug", CHECKS)
def test_every_check_is_catalogued_as_a_check(slug):
    assert Kind.CHECK in ENTRIES[slug].kinds


def test_no_entry_is_lost_between_the_areas_and_the_catalogue():
    slugs = [entry.slug for area in AREAS for entry in area]
    codes = [entry.code for area in AREAS for entry in area]
    assert len(slugs) == len(set(slugs)) == len(set(codes)) == len(ENTRIES)


HUNDREDS = (1, 1, 2, 2, 2, 3, 4, 4, 5, 6, 6, 7)


@pytest.mark.parametrize(("area", "hundred"), list(zip(AREAS, HUNDREDS, strict=True)))
def test_an_area_holds_the_codes_of_its_range(area, hundred):
    assert area
    for entry in area:
        assert re.fullmatch(rf"HC{hundred}\d\d", entry.code), entry.slug


def test_entries_are_in_the_order_of_their_codes():
    codes = [entry.code for entry in ENTRIES.values()]
    assert codes == sorted(codes)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES.keys())
def test_an_entry_is_complete(entry):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", entry.slug)
    assert entry.kinds
    assert (Kind.CAUSE in entry.kinds) == bool(entry.sides), "a cause says where to put it right"
    assert entry.fix.endswith(".")
    assert len(set(entry.references)) == len(entry.references)
    if entry.kinds & {Kind.CAUSE, Kind.RULE}:
        assert entry.references, "a cause or rule says where it is written"
    for reference in entry.references:
        assert re.fullmatch(r"[^:]+(: [^:]+)?: https://\S+", reference)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES.keys())
def test_a_meaning_is_one_sentence(entry):
    assert _is_one_sentence(entry.meaning)


@pytest.mark.parametrize("text", ["One. Two.", "No end", "Two\nlines.", "", "Half? The rest."])
def test_what_is_not_one_sentence_is_told_apart(text):
    assert not _is_one_sentence(text)


def _is_one_sentence(text: str) -> bool:
    ends = re.findall(r"[.!?](?=\s|$)", text)
    return text.endswith(".") and len(ends) == 1 and "\n" not in text


@pytest.mark.parametrize("text", ["meaning", "fix"])
def test_backticks_come_in_pairs(text):
    odd = [slug for slug, entry in ENTRIES.items() if getattr(entry, text).count("`") % 2]
    assert odd == []


def test_links_are_mutual_and_lead_somewhere_else():
    for slug, entry in ENTRIES.items():
        for other in entry.see_also:
            assert other != slug
            assert slug in ENTRIES[other].see_also


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_twins_name_each_other(one, other):
    assert other in ENTRIES[one].see_also
    assert one in ENTRIES[other].see_also


def _entry(slug: str, code: str, *see_also: str) -> Entry:
    return replace(ENTRIES["cert-expired"], slug=slug, code=code, see_also=see_also)


def test_a_link_written_at_one_end_is_completed_at_the_other():
    made = catalogue([_entry("b", "HC202"), _entry("a", "HC201", "b")])
    assert list(made) == ["a", "b"]
    assert made["a"].see_also == ("b",)
    assert made["b"].see_also == ("a",)


@pytest.mark.parametrize(
    "second", [_entry("a", "HC202"), _entry("b", "HC201")], ids=["slug", "code"]
)
def test_a_slug_or_code_used_twice_is_refused(second):
    with pytest.raises(InternalFault, match="twice"):
        catalogue([_entry("a", "HC201"), second])


def test_a_link_that_leads_nowhere_is_refused():
    with pytest.raises(InternalFault, match="refers to gone"):
        catalogue([_entry("a", "HC201", "gone")])


def test_a_finding_takes_code_severity_and_fix_from_its_entry():
    finding = found("chain-contains-root", "chain.pem holds 3 certificates")
    entry = ENTRIES["chain-contains-root"]
    assert (finding.code, finding.severity, finding.fix) == ("HC263", Severity.INFO, entry.fix)
    assert finding.where == Where()


def test_a_finding_can_be_more_exact_than_its_entry():
    finding = found(
        "key-file-mode-too-wide",
        "mode is 0644",
        where=Where(file="a.key"),
        fix="chmod 0600 a.key",
        severity=Severity.WARNING,
    )
    assert finding.fix == "chmod 0600 a.key"
    assert finding.severity is Severity.WARNING
    assert finding.as_text() == (
        "a.key: warning: mode is 0644 [key-file-mode-too-wide]\n  fix: chmod 0600 a.key"
    )


def test_a_finding_with_an_unknown_slug_is_a_bug():
    with pytest.raises(KeyError, match="no-such-slug"):
        found("no-such-slug", "seen")


def _slugs_in(tree: ast.AST) -> list[str]:
    """The slugs that calls of `found` spell out; what an f-string fills in is written as `*`."""
    slugs = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        if name == "found":
            for given in node.args[:1] + [
                word.value for word in node.keywords if word.arg == "slug"
            ]:
                slugs += _literals(given)
    return slugs


def _literals(node: ast.expr) -> list[str]:
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return ["".join(str(p.value) if isinstance(p, ast.Constant) else "*" for p in parts)]
        case ast.IfExp(body=one, orelse=other):
            return _literals(one) + _literals(other)
        case _:
            return []


def test_every_slug_the_source_names_is_catalogued():
    named = {
        (slug, path.name)
        for path in SOURCE.rglob("*.py")
        for slug in _slugs_in(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert {pair for pair in named if not filter_names(ENTRIES, pair[0])} == set()


@pytest.mark.parametrize(
    ("call", "slugs"),
    [
        ("found('x', 'y')", ["x"]),
        ("findings.found('x', seen)", ["x"]),
        ("found(slug='x', seen='')", ["x"]),
        ("found('x' if a else 'y', seen)", ["x", "y"]),
        ("found(f'{role}-x', seen)", ["*-x"]),
        ("found(slug, seen)", []),
        ("lost('x')", []),
    ],
)
def test_the_scan_sees_a_slug_however_the_call_is_written(call, slugs):
    assert _slugs_in(ast.parse(call)) == slugs
