"""When issuers are asked, asked again, and when somebody is told. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.issuers.schedule import (
    AFTER_THE_END,
    ALARMS,
    LONGEST_WAIT,
    PERMANENT_WAIT,
    SHORTEST_WAIT,
    Span,
    alarm,
    renewal_due,
    wait_after,
)

BEGIN = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SPANS = st.integers(min_value=10, max_value=400 * 86_400).map(
    lambda seconds: Span(begin=BEGIN, end=BEGIN + timedelta(seconds=seconds))
)
HOUR = timedelta(hours=1)


def span(length: timedelta) -> Span:
    return Span(begin=BEGIN, end=BEGIN + length)


@given(SPANS, st.text(max_size=20))
def test_a_renewal_is_due_shortly_before_two_thirds_of_the_lifetime(one: Span, seed: str) -> None:
    """It lies between 2/3 - 1/20 and 2/3, whatever the seed, and is the same for the same seed."""
    due = renewal_due(one, seed=seed)
    share = (due - one.begin) / one.length
    assert 2 / 3 - 1 / 20 - 1e-6 <= share <= 2 / 3 + 1e-6
    assert due == renewal_due(one, seed=seed)


def test_identities_that_were_issued_at_once_are_not_renewed_at_once() -> None:
    day = span(timedelta(days=1))
    moments = sorted(renewal_due(day, seed=f"svc-{number}") for number in range(200))
    assert len(set(moments)) == 200
    assert moments[-1] - moments[0] > timedelta(minutes=60)


def test_the_issuers_wish_is_followed_where_it_leaves_time() -> None:
    day = span(timedelta(days=1))
    wish = BEGIN + timedelta(hours=3)
    assert renewal_due(day, seed="a", asked=wish) == wish
    assert renewal_due(day, seed="a", asked=BEGIN) == BEGIN


def test_a_wish_beyond_nine_tenths_or_before_the_begin_is_not_followed() -> None:
    day = span(timedelta(days=1))
    late = renewal_due(day, seed="a", asked=BEGIN + timedelta(days=2))
    assert late == BEGIN + timedelta(days=1) * 9 / 10
    before = renewal_due(day, seed="a", asked=BEGIN - timedelta(days=2))
    assert before == renewal_due(day, seed="a")


def test_the_begin_is_when_it_was_had_so_that_a_short_one_is_not_due_at_once() -> None:
    """notBefore is set back by five minutes, of a certificate that lives for one."""
    assert renewal_due(span(timedelta(minutes=1)), seed="a") > BEGIN + timedelta(seconds=30)


@given(
    st.integers(min_value=1, max_value=1000),
    st.none() | st.timedeltas(min_value=timedelta(days=-400), max_value=timedelta(days=400)),
    st.none() | st.timedeltas(min_value=timedelta(), max_value=timedelta(days=4000)),
    st.booleans(),
)
def test_a_wait_is_never_nothing_and_never_for_ever(
    failures: int, left: timedelta | None, retry_after: timedelta | None, permanent: bool
) -> None:
    """At least a second; without a wish of the issuer at most an hour; with one at most a day."""
    wait = wait_after(failures, seed="a", left=left, retry_after=retry_after, permanent=permanent)
    assert wait >= SHORTEST_WAIT
    assert wait <= (LONGEST_WAIT if retry_after is None else timedelta(days=1))


@given(
    st.integers(min_value=1, max_value=100),
    st.timedeltas(min_value=timedelta(minutes=1), max_value=timedelta(days=400)),
    st.none() | st.timedeltas(min_value=timedelta(), max_value=timedelta(days=400)),
    st.booleans(),
)
def test_there_is_always_time_left_for_another_try(
    failures: int, left: timedelta, retry_after: timedelta | None, permanent: bool
) -> None:
    """A wait takes at most half of what is left, whatever the issuer asks for."""
    wait = wait_after(failures, seed="a", left=left, retry_after=retry_after, permanent=permanent)
    assert wait <= left / 2


def test_waits_double_until_an_eighth_of_what_is_left() -> None:
    waits = [wait_after(number, seed="", left=timedelta(days=30)) for number in range(1, 15)]
    assert waits[0] < timedelta(seconds=6)
    assert waits[3] > 4 * waits[0]
    assert waits[-1] > timedelta(minutes=45) - SHORTEST_WAIT
    assert wait_after(10, seed="", left=timedelta(minutes=4)) <= timedelta(seconds=30)


def test_once_it_has_ended_the_issuer_is_asked_every_minute() -> None:
    for left in (timedelta(), timedelta(seconds=-5), None):
        wait = wait_after(50, seed="a", left=left)
        assert AFTER_THE_END * 3 / 4 <= wait <= AFTER_THE_END


def test_what_asking_again_will_not_help_is_asked_rarely() -> None:
    month = timedelta(days=30)
    assert wait_after(1, seed="a", left=month, permanent=True) >= PERMANENT_WAIT * 3 / 4
    assert wait_after(1, seed="a", left=month) < timedelta(minutes=1)


def test_retry_after_is_obeyed() -> None:
    wish = timedelta(hours=7)
    assert wait_after(1, seed="a", left=timedelta(days=30), retry_after=wish) == wish
    assert wait_after(1, seed="a", left=4 * HOUR, retry_after=wish) == 2 * HOUR


@pytest.mark.parametrize(
    ("left", "alarms"), [(25, 0), (20, 0), (9, 1), (4, 2), (2, 3), (0.5, 4), (0, 5), (-3, 5)]
)
def test_alarms_go_off_as_the_end_comes_near(left: float, alarms: int) -> None:
    month = span(timedelta(days=30))
    assert alarm(month, month.end - timedelta(days=left)) == alarms
    assert len(ALARMS) == 4


@given(SPANS, st.lists(st.floats(min_value=-0.5, max_value=1.5), min_size=2, max_size=8))
def test_no_alarm_is_ever_taken_back_while_time_goes_on(one: Span, shares: list[float]) -> None:
    """Later moments never have fewer alarms."""
    counts = [alarm(one, one.begin + one.length * share) for share in sorted(shares)]
    assert counts == sorted(counts)
