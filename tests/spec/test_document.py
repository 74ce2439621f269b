"""YAML text to plain data: scalars, bytes, bounds, and any input at all."""

from __future__ import annotations

import time
from pathlib import PurePosixPath

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from handclasp.errors import ExitCode
from handclasp.findings import FindingsError
from handclasp.spec import document as document_module
from handclasp.spec.check import check_spec
from handclasp.spec.document import parse_document, scalar
from handclasp.spec.load import parse_spec
from handclasp.spec.yaml_text import SIZE_LIMIT
from tests.spec.cases import cases, lines


def refusal(data: bytes | str) -> str:
    with pytest.raises(FindingsError) as raised:
        parse_document(data, source="s.yaml")
    return lines(raised.value.findings)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "on",
            "off",
            "yes",
            "no",
            "y",
            "N",
            "0640",
            "0o640",
            "0x1F",
            "0b1",
            "1:30",
            "1_000",
            "012",
        ),
        *(
            "2026-11-24",
            "2026-11-24T10:00:00Z",
            ".inf",
            ".nan",
            "+",
            "-",
            ".",
            "1e",
            "=",
            "<<",
            "nUll",
        ),
        *("1.2.3", "١٢", "9" * 30, "1e400x", "TRue"),
    ],
)
def test_text_stays_text(text: str) -> None:
    assert scalar(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((one, True) for one in ("true", "True", "TRUE")),
        *((one, False) for one in ("false", "False", "FALSE")),
        *((one, None) for one in ("", "~", "null", "Null", "NULL")),
        *(("0", 0), ("12", 12), ("-5", -5), ("+5", 5)),
        *(("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("-1.5e3", -1500.0)),
    ],
)
def test_core_scalars_are_read(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_quoted_scalars_and_blocks_are_text() -> None:
    text = "a: '5'\nb: \"true\"\nc: |\n  7\nd: >-\n  null\ne: ''\n"
    data = {"a": "5", "b": "true", "c": "7\n", "d": "null", "e": ""}
    assert parse_document(text, source="s").data == data


def test_a_quoted_number_can_be_a_key() -> None:
    assert parse_document('"1": a\n', source="s").data == {"1": "a"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xef\xbb\xbfname: a\n", "s.yaml:1:1: error: the file begins with a byte order mark"),
        ("name: a\n".encode("utf-16"), "s.yaml:1:1: error: the file is UTF-16 or UTF-32 text"),
        ("name: aaaaaaaaaaa\n".encode("utf-16-le"), "s.yaml:1:1: error: the file is UTF-16"),
        (b"name: a\nstate: \xe9\n", "s.yaml:2:8: error: the byte 0xE9 is not UTF-8"),
        ("ü: ü\r\nä".encode() + b"\xff", "s.yaml:2:2: error: the byte 0xFF is not UTF-8"),
        (b"name: a\nb: \x00\n", "s.yaml:2:4: error: the character U+0000 cannot stand in YAML"),
        (b"name: \x1b[0m", "s.yaml:1:7: error: the character U+001B"),
        ("name: a\ufeff", "s.yaml:1:8: error: the character U+FEFF"),
        ("name: \ud800", "s.yaml:1:7: error: the byte 0xED is not UTF-8"),
        (b"a" * (SIZE_LIMIT + 1), f"s.yaml:1:1: error: the file has {SIZE_LIMIT + 1} bytes"),
    ],
)
def test_bytes_that_are_no_text_are_named_with_their_place(data: bytes | str, said: str) -> None:
    assert refusal(data).startswith(said)


def test_windows_line_ends_and_final_document_marks_are_fine() -> None:
    assert parse_document("---\r\na: 1\r\n...\r\n", source="s").data == {"a": 1}


def test_an_alias_stands_for_the_whole_value() -> None:
    data = parse_document("a: &x [1, 2]\nb: *x\nc: {d: *x}\n", source="s").data
    assert data == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}


def test_an_alias_can_be_a_key_if_it_is_text() -> None:
    assert parse_document("a: &x b\n*x : 1\n", source="s").data == {"a": "b", "b": 1}
    with pytest.raises(FindingsError, match="a key must be text"):
        parse_spec("a: &x [b]\n*x : 1\n", source="s", base=PurePosixPath("/"))


def test_an_alias_inside_its_own_value_is_refused() -> None:
    assert "inside the value it refers to" in refusal("a: &x [*x]\n")


def bomb(levels: int, width: int) -> str:
    text = "a0: &a0 x\n"
    for level in range(1, levels + 1):
        text += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]\n"
    return text


@pytest.mark.parametrize(
    "text",
    [
        bomb(30, 10),
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "? " * 100_000,
        "a: &a\n" + "  - *a\n" * 50_000,
        "a: &a x\nb: [" + "*a, " * 100_000 + "]",
        "".join(f"a{n}: &x{n} y\n" for n in range(40_000)),
        "1: x\n" * 100_000,
        "a: !x y\n" * 60_000,
        "a: '" + "x" * 500_000,
        "#" * 1_000_000,
        "- a\n" * 200_000,
    ],
    ids=lambda text: text[:8],
)
def test_hostile_files_are_answered_in_bounded_time(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(FindingsError) as raised:
        parse_spec(text, source="s.yaml", base=PurePosixPath("/"))
    assert time.monotonic() - started < 5
    assert len(raised.value.findings) <= 100


def test_aliases_that_multiply_are_refused_where_they_pass_the_bound() -> None:
    said = refusal(bomb(30, 10))
    assert said.startswith("s.yaml:5:")
    assert "the aliases stand for more than 10000 values" in said
    few = bomb(3, 10)
    assert len(parse_document(few, source="s").data["a3"]) == 10


def test_nesting_is_bounded() -> None:
    assert "s.yaml:1:35: error: nested deeper than 32 levels" in refusal("a: " + "[" * 33)
    assert parse_document("a: " + "[" * 31 + "]" * 31, source="s").data


def test_a_file_with_too_many_errors_says_that_there_are_more() -> None:
    with pytest.raises(FindingsError) as raised:
        parse_spec("".join(f"x{n}: 1\n" for n in range(200)), source="s", base=PurePosixPath("/"))
    assert "there are more errors" in raised.value.findings[-1].seen
    assert raised.value.findings[-1].where.line == 100


def test_the_python_parser_of_yaml_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PyYAML built without libyaml still works: same data, same places."""
    text = "a: 1\nb: [x, {c: 'd'}]\nü: &x {e: ~}\nf: *x\n"
    fast = parse_document(text, source="s")
    monkeypatch.setattr(document_module, "_LOADER", yaml.SafeLoader)
    slow = parse_document(text, source="s")
    assert slow == fast
    for case in cases("load"):
        with pytest.raises(FindingsError):
            parse_spec(case.spec, source="s", base=PurePosixPath("/"))


WORDS = st.sampled_from(
    [
        *(
            "a",
            "name",
            "egress",
            "ingress",
            "identities",
            "trust",
            "password",
            "upstream",
            "listen",
        ),
        *(
            ": ",
            ":",
            "- ",
            "\n",
            "\n  ",
            "\n    ",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "&a ",
            "*a",
            "!t ",
            "<<",
        ),
        *(
            "'",
            '"',
            "\\",
            "|",
            ">",
            "%",
            "@",
            "#",
            "\t",
            "\r\n",
            "? ",
            "~",
            "true",
            "1",
            "1.5",
            "---\n",
        ),
        *("https://a", "unix:x", "127.0.0.1:80", "cn:a", "é", "😀", "\x00", "\ufeff", "10.0.0.0/8"),
    ]
)


def refused_by(data: bytes | str) -> FindingsError | None:
    """The refusal of a text; None when it is loaded. Any other exception is a failure."""
    try:
        loaded = parse_spec(data, source="s.yaml", base=PurePosixPath("/etc"))
    except FindingsError as error:
        return error
    check_spec(loaded, insecure_allowed=True)
    return None


def answer(data: bytes | str) -> None:
    """Loads or refuses; nothing else, and every refusal has a place."""
    refusal = refused_by(data)
    if refusal is None:
        return
    assert refusal.exit_code is ExitCode.USAGE
    assert refusal.findings
    for finding in refusal.findings:
        assert finding.where.line
        assert finding.where.column
        assert "Input should" not in finding.seen


@given(st.binary(max_size=200))
@example(b"")
def test_any_bytes_are_loaded_or_refused_with_a_place(data: bytes) -> None:
    answer(data)


@given(st.text(max_size=200))
@example("\ud800")
def test_any_text_is_loaded_or_refused_with_a_place(text: str) -> None:
    answer(text)


@given(st.lists(WORDS, max_size=40).map("".join))
def test_anything_made_of_yaml_is_loaded_or_refused_with_a_place(text: str) -> None:
    answer(text)


SOUND = [case.spec for case in cases("check")]


@given(st.sampled_from(SOUND), st.integers(0, 5000), st.integers(0, 30), WORDS)
def test_a_sound_spec_with_any_piece_replaced_is_loaded_or_refused_with_a_place(
    spec: str, start: int, length: int, word: str
) -> None:
    at = start % (len(spec) + 1)
    answer(spec[:at] + word + spec[at + length :])


KEYS = st.sampled_from(
    [
        *("name", "nginx", "identities", "trust", "egress", "ingress", "tls", "status", "listen"),
        *("upstream", "clients", "allow", "forward", "verify", "password", "file", "routes", "x"),
        *("limits", "timeouts", "pool", "rate", "headers", "original_certificate", "backend"),
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["a", "https://a.example", "127.0.0.1:1", "any", "5s", "16k", "cn:x", ""])
    | st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_data_under_known_keys_is_loaded_or_refused_with_a_place(
    data: dict[str, object],
) -> None:
    answer(yaml.safe_dump(data, allow_unicode=True))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=4)
        ),
        max_leaves=15,
    ).map(lambda value: {"top": value})
)
def test_data_written_as_yaml_is_read_back_as_it_was(data: dict[str, object]) -> None:
    import json

    # JSON is YAML; it leaves no doubt about quoting. Characters YAML has no place for are escaped.
    text = json.dumps(data, ensure_ascii=True)
    if "\\ud8" in text or "\\ud9" in text or "\\uda" in text or "\\udb" in text:
        return  # JSON writes characters beyond the first plane as two escapes, which YAML does not join
    document = parse_document(text, source="s")
    assert document.data == data
    assert not document.findings
