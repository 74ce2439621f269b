"""Ambiguous request paths are refused; a rule's path covers whole segments."""

from __future__ import annotations

from urllib.parse import quote, unquote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from handclasp.spec.paths import path_problem, rule_path
from handclasp.spec.types import RulePath


def decoded(target: str) -> str:
    """What a backend makes of a target that is let through."""
    assert path_problem(target) is None
    return unquote_to_bytes(target.partition("?")[0]).decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    "target",
    [
        "/a//b",
        "//admin",
        "/a/./b",
        "/a/../admin",
        "/a/..",
        "/.",
        "/a/%2e%2e/admin",
        "/a/%2E./admin",
        "/a/.%2e",
        "/a%2fadmin",
        "/a%2Fadmin",
        "/a%5c..%5cadmin",
        "/a\\admin",
        "/admin%00.png",
        "/admin;x=1",
        "/;/admin",
        "/a/..;/admin",
        "/admin%3b",
        "/admin%0d%0aX: y",
        "/admin%7f",
        "/a%252fadmin",
        "/a/%252e%252e/admin",
        "/a%25252f",
        "/%c0%ae%c0%ae/admin",
        "/x%C1%9cadmin",
        "/x%e0%80%afadmin",
        "/%E0%80%AE%E0%80%AE/admin",
        "/%e0%9f%bfx",
        "/x%f0%80%80%afadmin",
        "/x%F0%8f%bf%bfadmin",
        "/x%f8%80%80%80%afadmin",
        "/x%fc%80%80%80%80%afadmin",
        "/admin%3fx",
        "/admin%3Fx",
        "/admin%23x",
        "/%2561dmin/x",
        "/%2541DMIN",
        "/%25%36%31dmin",
        "/%25%361dmin",
        "/%256%31dmin",
        "/x%252Ejson",
        "/%25%61%66",
        "/admin%",
        "/admin%g1",
        "/admin#x",
        "/admin x",
        "/admin\t",
        "/\u0430dmin",
        "admin",
        "",
        "*",
        "http://host/admin",
    ],
)
def test_a_path_that_two_programs_could_read_differently_is_refused(target: str) -> None:
    assert path_problem(target)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/admin/", "/admin/"),
        ("/%61dmin", "/admin"),
        ("/a?next=//x/../y;%2f", "/a"),
        ("/.well-known/x", "/.well-known/x"),
        ("/a...b/..c", "/a...b/..c"),
        ("/100%25", "/100%"),
        ("/caf%C3%A9", "/café"),
        ("/a%20b", "/a b"),
        ("/admin%20", "/admin "),
        ("/admin.", "/admin."),
        ("/admin.json", "/admin.json"),
        ("/100%25/x", "/100%/x"),
        ("/100%25of", "/100%of"),
        ("/100%25g1", "/100%g1"),
        # The first of two bytes and more that are no longer than they must be, and Latin-1.
        ("/%e0%a0%80", "/\u0800"),
        ("/%f0%90%80%80", "/\U00010000"),
        ("/%e2%82%ac", "/\u20ac"),
        ("/caf%e9", "/caf\udce9"),
        ("/%fcx", "/\udcfcx"),
        ("/a+b:c@d,e", "/a+b:c@d,e"),
    ],
)
def test_a_plain_path_has_one_reading(target: str, path: str) -> None:
    assert decoded(target) == path


@pytest.mark.parametrize("text", ["admin", "", "/a//", "/a/../b", "/a;b", "/%61", "/a?b", "/é//x"])
def test_a_rules_path_that_no_request_could_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"rule's path|decoded"):
        rule_path(text)


@pytest.mark.parametrize("text", ["/müller", "/%C3%BC", "/a b", "/a;b", "admin"])
def test_a_rules_path_in_a_spec_is_told_which_signs_it_may_hold(text: str) -> None:
    with pytest.raises(ValidationError, match="such a path begins with / and holds ASCII letters"):
        TypeAdapter(RulePath).validate_python(text)


HEX = "0123456789abcdefABCDEF"
PIECES = st.sampled_from(
    [
        "%25",
        "%2",
        "%3",
        "%4",
        "%6",
        "%c0",
        "%e0",
        "%f0",
        "%80",
        "%8f",
        "%9f",
        "%a0",
        "%af",
        *HEX,
        "/",
    ]
)


@given(st.lists(PIECES, max_size=8).map("".join))
def test_what_is_let_through_is_not_encoded_once_more(target: str) -> None:
    """A plain path, decoded, holds nothing that a second decoding would change."""
    if path_problem(f"/{target}") is None:
        once = decoded(f"/{target}")
        assert unquote(once) == once


@given(st.characters(), st.integers(2, 6))
def test_no_sign_gets_through_longer_than_it_must_be(sign: str, length: int) -> None:
    """UTF-8 as RFC 2279 had it, with up to six bytes, by a reader that does not mind."""
    shortest = len(sign.encode("utf-8", "surrogatepass"))
    if length <= shortest:
        return
    left, tail = ord(sign), []
    for _ in range(length - 1):
        tail.append(0x80 | left & 0x3F)
        left >>= 6
    lead = (0xFF00 >> length) & 0xFF | left
    assert path_problem("/x" + "".join(f"%{one:02x}" for one in [lead, *reversed(tail)]))


@given(st.text(st.characters(min_codepoint=0x80, exclude_categories=["Cs"]), max_size=8))
def test_names_beyond_ascii_pass(name: str) -> None:
    assert decoded(f"/{quote(name)}") == f"/{name}"


@given(
    segments=st.lists(st.text(st.sampled_from("ab.%;\\/é \x00?#+2fF5cC"), max_size=5), max_size=4)
)
def test_what_is_let_through_has_one_reading(segments: list[str]) -> None:
    """A plain path decodes to the segments it shows, none of them empty, a dot, or with a separator."""
    target = "/" + "/".join(quote(segment, safe="/.%;\\#?") for segment in segments)
    if path_problem(target) is not None:
        return
    raw, read = target.partition("?")[0].split("/"), decoded(target).split("/")
    assert len(raw) == len(read)
    assert all(part not in (".", "..") for part in read)
    assert "" not in read[1:-1]
    assert not any(sign in "".join(read) for sign in "\\;\x00")
