"""One line and one exit status, as the Monitoring Plugins Development Guidelines have them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.monitor.expiry import Entry, Judged, State, judge
from handclasp.monitor.nagios import line, status_of, unknown
from tests.monitor.moments import DAY, LIMITS, NOW, entry, member

DATUM = r"'[^'=]+'=-?[0-9.]+(;[0-9.]*:?){0,2}(;[0-9]*)?"


def judged(**days: int | None) -> list[Judged]:
    """By source; None is one that could not be read."""
    return [
        judge(
            entry(member(left * DAY), source=name)
            if left is not None
            else Entry(source=name, problem="no such file"),
            now=NOW,
            limits=LIMITS,
        )
        for name, left in days.items()
    ]


@pytest.mark.parametrize(
    ("days", "status"),
    [
        ({"a": 90}, 0),
        ({"a": 90, "b": 20}, 1),
        ({"a": 90, "b": 20, "c": 3}, 2),
        ({"a": 90, "b": -1}, 2),
        ({"a": 90, "b": 20, "c": None}, 3),
        ({"a": -1, "c": None}, 2),
        ({}, 3),
    ],
)
def test_the_gravest_decides_and_nothing_is_unknown(
    days: dict[str, int | None], status: int
) -> None:
    assert status_of(judged(**days)) == status
    word = ["OK", "WARNING", "CRITICAL", "UNKNOWN"][status]
    assert line(judged(**days)).startswith(f"HANDCLASP {word} - ")


def test_the_worst_is_named_with_its_reason() -> None:
    told = line(judged(fine=90, soon=3))
    assert told.startswith(
        "HANDCLASP CRITICAL - 1 ok, 1 critical; soon 'CN=svc-b': expires on 2026-11-27 06:00 UTC|"
    )


def test_the_performance_data_are_the_nearest_end_and_the_numbers() -> None:
    told = line(judged(fine=90, soon=3, gone=None))
    _, _, data = told.partition("|")
    assert data.startswith("'nearest'=3;30:;7: 'ok'=1;;;0 ")
    assert "'unreadable'=1;;;0" in data


def test_the_nearest_end_stands_beside_its_own_limits() -> None:
    """A certificate of a day is no warning in its first hour, and the graph must not say so either."""
    short = judge(entry(member(DAY, begun=DAY * 0)), now=NOW, limits=LIMITS)
    _, _, data = line([*judged(fine=90), short]).partition("|")
    assert data.startswith("'nearest'=1;0.33:;0.08: 'ok'=2;;;0 ")


@given(source=st.text(min_size=1), subject=st.text())
def test_whatever_a_name_holds_the_line_is_one_line_with_one_bar(source: str, subject: str) -> None:
    told = line([judge(entry(member(DAY, subject=subject), source=source), now=NOW, limits=LIMITS)])
    text, _, data = told.partition("|")
    assert "".join(told.splitlines()) == told
    assert len(text) < 1000
    assert all(re.fullmatch(DATUM, one) for one in data.split())
    assert len(data.split()) == 1 + len(State)


def test_an_error_is_unknown_and_one_line() -> None:
    assert unknown("no\nsuch | file") == "HANDCLASP UNKNOWN - no such / file"
