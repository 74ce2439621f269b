"""Ambiguous request paths are refused; a rule's path covers whole segments."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.spec.paths import covers, path_problem, plain_path, rule_path


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
    with pytest.raises(ValueError, match="it "):
        plain_path(target)


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
        ("/a+b:c@d,e", "/a+b:c@d,e"),
    ],
)
def test_a_plain_path_is_compared_decoded(target: str, path: str) -> None:
    assert plain_path(target) == path


@pytest.mark.parametrize(
    ("rule", "path", "covered"),
    [
        ("/", "/", True),
        ("/", "/admin", True),
        ("/admin", "/admin", True),
        ("/admin", "/admin/", True),
        ("/admin", "/admin/x", True),
        ("/admin", "/administrator", False),
        ("/admin", "/Admin", False),
        ("/admin/", "/admin", True),
        ("/admin/", "/admin/x", True),
        ("/admin/", "/x/admin/", False),
        ("/café", "/café/x", True),
    ],
)
def test_a_rules_path_covers_whole_segments(rule: str, path: str, covered: bool) -> None:
    assert covers(rule_path(rule), path) is covered


@pytest.mark.parametrize("text", ["admin", "", "/a//", "/a/../b", "/a;b", "/%61", "/a?b", "/é//x"])
def test_a_rules_path_that_no_request_could_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"rule's path|decoded"):
        rule_path(text)


@given(
    segments=st.lists(st.text(st.sampled_from("ab.%;\\/é \x00?#+2fF5cC"), max_size=5), max_size=4)
)
def test_what_is_let_through_has_one_reading(segments: list[str]) -> None:
    """A plain path decodes to the segments it shows, none of them empty, a dot, or with a separator."""
    target = "/" + "/".join(quote(segment, safe="/.%;\\#?") for segment in segments)
    if path_problem(target) is not None:
        return
    raw, decoded = target.partition("?")[0].split("/"), plain_path(target).split("/")
    assert len(raw) == len(decoded)
    assert all(part not in (".", "..") for part in decoded)
    assert "" not in decoded[1:-1]
    assert not any(sign in "".join(decoded) for sign in "\\;\x00")
