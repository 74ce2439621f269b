"""What `handclasp deny` makes of the agent's answer."""

from __future__ import annotations

from typing import Any

import pytest

from handclasp.cli.deny import _refused, _told

DENIAL = {"sha256": "aa" * 32, "issuer": None, "serial": None, "subject": None}


def link(name: str, why_not: str | None = None, **other: Any) -> dict[str, Any]:
    told = {"why_not": why_not, "at_once": why_not is None, "beside": None, "cut": False}
    return {"name": name, "concerned": True, **told, **other}


def answer(
    *links: dict[str, Any], cut: bool = False, ends_in: float | None = None
) -> dict[str, Any]:
    told = {"changed": True, "denial": DENIAL, "links": list(links)}
    return {**told, "cut": cut, "ends_in": ends_in}


FAR = link("far", "another trust", concerned=False)


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ([], True),
        ([link("a")], True),
        ([link("a"), FAR], True),
        ([link("a"), link("b", "it cannot")], False),
        ([FAR], False),
    ],
)
def test_it_succeeds_when_every_link_that_is_concerned_refuses_and_one_is(
    links: list[dict[str, Any]], *, expected: bool
) -> None:
    assert _refused(links) is expected


def test_a_link_that_is_not_concerned_is_not_said_to_refuse_nor_to_fail() -> None:
    text = _told(answer(link("a", beside="and others"), FAR), undo=False)
    assert "a: refused from now on, and others" in text
    assert "far: not concerned: another trust" in text
    assert "right certificate" not in text
    assert "right certificate" in _told(answer(FAR), undo=False)


@pytest.mark.parametrize(
    ("links", "cut", "words"),
    [
        ([link("a", cut=True)], True, "are ended within seconds"),
        ([link("a", cut=True)], False, "not ours to end"),
        ([link("a")], False, "live on until they end (`clients.cut`)"),
        ([link("a"), {**FAR, "cut": True}], False, "live on until they end (`clients.cut`)"),
    ],
)
def test_the_advice_on_open_connections_fits_what_can_be_done(
    links: list[dict[str, Any]], words: str, *, cut: bool
) -> None:
    assert words in _told(answer(*links, cut=cut), undo=False)


def test_open_connections_that_end_later_are_said_to_end_then() -> None:
    told = _told(answer(link("a"), ends_in=600.0), undo=False)
    assert "end within 600 s (`clients.max_stream_age`)" in told
