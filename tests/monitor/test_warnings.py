"""Ends are warned of in time, once per threshold and day, whatever order of moments."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.monitor.expiring import Expiring
from handclasp.monitor.limits import Limits
from handclasp.monitor.warnings import AGAIN, Ending, Level, Said, due, level_of, near

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def certificate(left: timedelta, lifetime: timedelta = 365 * DAY, name: str = "svc-b") -> Expiring:
    end = NOW + left
    return Expiring("identity", name, f"CN={name}", end - lifetime, end)


@pytest.mark.parametrize(
    ("left", "level"),
    [
        (31 * DAY, Level.OK),
        (30 * DAY, Level.WARNING),
        (7 * DAY + timedelta(seconds=1), Level.WARNING),
        (7 * DAY, Level.CRITICAL),
        (timedelta(), Level.CRITICAL),  # the last second of a certificate is notAfter itself
        (timedelta(seconds=-1), Level.EXPIRED),
    ],
)
def test_a_year_long_certificate_is_warned_of_30_days_before_and_is_critical_7_days_before(
    left: timedelta, level: Level
) -> None:
    assert level_of(certificate(left), Limits(), NOW) is level


@pytest.mark.parametrize(
    ("left", "level"),
    [
        (timedelta(hours=9), Level.OK),
        (timedelta(hours=8), Level.WARNING),
        (timedelta(hours=2, seconds=1), Level.WARNING),
        (timedelta(hours=2), Level.CRITICAL),
    ],
)
def test_a_certificate_of_a_day_is_not_warned_of_before_two_thirds_are_gone(
    left: timedelta, level: Level
) -> None:
    assert level_of(certificate(left, DAY), Limits(), NOW) is level


def test_what_handclasp_renews_is_not_warned_of_while_it_is_being_renewed() -> None:
    for hours, level in (
        (7.9, Level.OK),
        (4.1, Level.OK),
        (3.9, Level.WARNING),
        (0.5, Level.CRITICAL),
    ):
        about = replace(certificate(timedelta(hours=hours), DAY), renewed=True)
        assert level_of(about, Limits(), NOW) is level
    # A year's certificate is, for its 30 days are less than that.
    about = replace(certificate(29 * DAY), renewed=True)
    assert level_of(about, Limits(), NOW) is Level.WARNING


def test_limits_of_the_spec_are_taken() -> None:
    limits = Limits(warn=60 * DAY, critical=20 * DAY)
    assert level_of(certificate(50 * DAY), limits, NOW) is Level.WARNING
    assert level_of(certificate(19 * DAY), limits, NOW) is Level.CRITICAL


def test_something_that_ends_before_it_begins_has_expired_and_breaks_nothing() -> None:
    assert level_of(certificate(-DAY, -DAY), Limits(), NOW) is Level.EXPIRED
    assert level_of(certificate(DAY, -DAY), Limits(), NOW) is Level.OK


def test_the_gravest_and_nearest_come_first_and_what_is_well_is_left_out() -> None:
    items = [
        certificate(20 * DAY, name="warned"),
        certificate(200 * DAY, name="well"),
        certificate(-DAY, name="gone"),
        certificate(5 * DAY, name="five"),
        certificate(2 * DAY, name="two"),
    ]
    assert [one.about.name for one in near(items, Limits(), NOW)] == [
        "gone",
        "two",
        "five",
        "warned",
    ]


def said_at(moments: list[datetime], about: Expiring) -> list[tuple[datetime, Level]]:
    """When something was said of it, looking at these moments."""
    said, told = Said(), []
    for now in moments:
        fresh, said = due(near([about], Limits(), now), said, now)
        told += [(now, one.level) for one in fresh]
    return told


def test_each_threshold_is_said_once_a_day() -> None:
    about = certificate(8 * DAY)
    hours = [NOW + timedelta(hours=hour) for hour in range(24 * 9)]
    told = said_at(hours, about)
    assert told[0] == (NOW, Level.WARNING)
    assert told[1] == (NOW + DAY, Level.CRITICAL)  # a day later it is both due again and critical
    assert told[-1] == (NOW + 8 * DAY + timedelta(hours=1), Level.EXPIRED)
    assert [now for now, _ in told[:-1]] == [NOW + day * DAY for day in range(9)]


def test_a_graver_level_does_not_wait_for_the_day() -> None:
    about = certificate(7 * DAY + timedelta(hours=2))
    told = said_at([NOW, NOW + timedelta(hours=1), NOW + timedelta(hours=2)], about)
    assert told == [(NOW, Level.WARNING), (NOW + timedelta(hours=2), Level.CRITICAL)]


def test_what_was_renewed_is_forgotten_and_its_successor_is_said_anew() -> None:
    old, new = certificate(5 * DAY), certificate(6 * DAY)
    first, said = due(near([old], Limits(), NOW), Said(), NOW)
    again, said = due(near([new], Limits(), NOW), said, NOW)
    assert [one.about for one in (*first, *again)] == [old, new]
    none, said = due((), said, NOW)
    assert none == ()
    assert said == Said()


def test_a_clock_that_was_set_back_silences_nothing() -> None:
    about = certificate(5 * DAY)
    told = said_at([NOW, NOW - timedelta(hours=2), NOW - 2 * DAY], about)
    assert [now for now, _ in told] == [NOW, NOW - 2 * DAY]


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (6 * DAY + timedelta(hours=5), "expires in 6 days"),
        (timedelta(hours=47), "expires in 47 hours"),
        (timedelta(minutes=119), "expires in 119 minutes"),
        (timedelta(seconds=61), "expires in 1 minute "),
        (timedelta(seconds=30), "expires in less than a minute"),
        (-DAY, "has expired"),
    ],
)
def test_the_sentence_says_how_long_is_left(left: timedelta, words: str) -> None:
    about = certificate(left)
    sentence = Ending(about, Level.CRITICAL if left > timedelta() else Level.EXPIRED, NOW).sentence
    assert words in sentence
    assert sentence.startswith("the certificate of identity svc-b (CN=svc-b)")
    assert f"{about.not_after:%Y-%m-%d}" in sentence


def test_hooks_are_told_of_an_expired_certificate_as_of_a_critical_one() -> None:
    events = {level: Ending(certificate(DAY), level, NOW).event for level in Level}
    assert events[Level.WARNING] == "expiry-warning"
    assert events[Level.CRITICAL] == events[Level.EXPIRED] == "expiry-critical"


lefts = st.timedeltas(min_value=timedelta(days=-5), max_value=timedelta(days=4000))
lifetimes = st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=9000))


@given(left=lefts, lifetime=lifetimes, later=st.timedeltas(timedelta(), timedelta(days=5000)))
def test_levels_only_grow_graver_and_never_begin_before_a_third_is_left(
    left: timedelta, lifetime: timedelta, later: timedelta
) -> None:
    about, order = certificate(left, lifetime), list(Level)
    before, after = (level_of(about, Limits(), now) for now in (NOW, NOW + later))
    assert order.index(before) <= order.index(after)
    if left > lifetime / 3:
        assert before is Level.OK


@given(steps=st.lists(st.timedeltas(timedelta(), timedelta(days=3)), max_size=40), left=lefts)
def test_between_two_sayings_of_the_same_lies_a_day(
    steps: list[timedelta], left: timedelta
) -> None:
    moments = [NOW]
    for step in steps:
        moments.append(moments[-1] + step)
    told = said_at(moments, certificate(left))
    for level in Level:
        times = [now for now, one in told if one is level]
        assert all(b - a >= AGAIN for a, b in itertools.pairwise(times))
    # And nothing that is near is silent for longer than a day and the step to the next look.
    for now in moments:
        if level_of(certificate(left), Limits(), now) is not Level.OK:
            assert any(now - AGAIN < then <= now for then, _ in told)
