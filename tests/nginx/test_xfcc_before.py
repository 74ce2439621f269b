"""Which X-Forwarded-Client-Cert of an earlier hop ours may follow, by the pattern that nginx is given."""

from __future__ import annotations

import contextlib
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.backend import IdentityError, parse
from handclasp.identity.encoders import Detail, Style, encode
from handclasp.identity.encoders.xfcc import element, well_formed
from handclasp.nginx.render.authorizer import _PREVIOUS
from tests.identity import golden_cases
from tests.identity.specimens import caller, subject

# nginx has PCRE; here it is Python's engine, whose possessive quantifiers are wrong before 3.11.5
# (CPython, gh-106052).
pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11, 5), reason="possessive quantifiers of `re` are at fault here"
)
PATTERN = re.compile(rf"\A{_PREVIOUS}\Z".replace("(?<hc_", "(?P<hc_"))
OURS = element(caller("hop"), Style())
BEFORE = [
    "Hash=ab",
    'By=x;Subject="CN=a,O=b";URI=spiffe://x/y',
    'Subject="O=a\\, b\\"c"',
    'URI=";x=";Hash=ab',
    'URI=a,URI=b;Cert=""',
]
PIECES = (
    "Hash=ab",
    "By=",
    'URI="',
    "Subject=",
    '"',
    "\\",
    '\\"',
    "\\\\",
    ",",
    ";",
    "=",
    " ",
    "x",
    "ü",
)
TEXTS = st.lists(
    st.sampled_from(("x", "\\", '\\"', "\\\\", '"', ",", ";", "=", "URI=")), max_size=5
).map("".join)
PAIRS = st.tuples(
    st.sampled_from(("Hash=", "URI=", "By=", "Subject=", "X=")), TEXTS, st.booleans()
).map(lambda parts: f'{parts[0]}"{parts[1]}"' if parts[2] else parts[0] + parts[1])
VALUES = st.one_of(
    st.text(alphabet='ab,;="\\ =\t\x00\x7fü', max_size=30),
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
    st.lists(PAIRS, min_size=1, max_size=4).map(",".join),
    st.lists(PAIRS, min_size=1, max_size=4).map(";".join),
)


@given(VALUES)
def test_what_the_pattern_lets_through_is_well_formed(value: str) -> None:
    if PATTERN.match(value):
        assert well_formed(value.replace("\t", " "))


@given(VALUES)
def test_ours_is_the_last_element_behind_whatever_the_pattern_lets_through(value: str) -> None:
    if not PATTERN.match(value):
        return
    told = [("X-Forwarded-Client-Cert", f"{value},{OURS}")]
    assert parse(told, "xfcc", hop="nearest") == parse([(told[0][0], OURS)], "xfcc")
    with contextlib.suppress(
        IdentityError
    ):  # keys twice, or what is no hash, are refused there alone
        assert parse(told, "xfcc", hop="original") != parse(told, "xfcc", hop="nearest")


@given(VALUES, st.sampled_from(BEFORE))
def test_what_was_joined_of_two_headers_is_never_let_through(value: str, second: str) -> None:
    """nginx joins them by a comma and a blank. The first may be of the hop's client, the second is then
    what the hop wrote."""
    assert PATTERN.match(second)
    assert not PATTERN.match(f"{value}, {second}")


@given(VALUES)
def test_so_it_is_for_a_reader_that_takes_every_quote_after_a_backslash_for_escaped(
    value: str,
) -> None:
    """And for one that heeds no backslash but counts quotes, where there are none."""
    if not PATTERN.match(value):
        return
    whole = f"{value},{OURS}"
    assert not _open_at(whole, len(value), escapes=True)
    if "\\" not in value:
        assert not _open_at(whole, len(value), escapes=False)


def _open_at(text: str, place: int, *, escapes: bool) -> bool:
    is_open = False
    for at in range(place):
        if text[at] == '"' and not (escapes and is_open and text[at - 1] == "\\"):
            is_open = not is_open
    return is_open


@pytest.mark.parametrize("case", golden_cases.NAMES)
@pytest.mark.parametrize("style", [Style(), golden_cases.FULL])
def test_everything_we_write_may_stand_before(case: str, style: Style) -> None:
    ((_, value),) = encode("xfcc", golden_cases.load(case), style)
    assert PATTERN.match(value)
    assert PATTERN.match(f"{value},{value},{value}")


HOSTILE = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@given(HOSTILE, HOSTILE)
def test_everything_we_write_of_hostile_subjects_may_stand_before(one: str, two: str) -> None:
    who = caller("x", subject=subject(one, O=two))
    style = Style(xfcc_details=frozenset(Detail) - {Detail.CHAIN})
    assert PATTERN.match(element(who, style))


@pytest.mark.parametrize(
    "value",
    ["", "x", 'Subject="', "Hash=a,", "Hash=a\n", "X=y", "Hash=a;Foo=b", "Hash=a, Hash=b"],
)
def test_what_is_no_element_may_not(value: str) -> None:
    assert not PATTERN.match(value)
