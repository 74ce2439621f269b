"""When an end is near: one rule for what lives for hours and what lives for years."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.errors import UsageError
from handclasp.monitor.expiring import Expiring
from handclasp.monitor.expiry import State, judge
from handclasp.monitor.limits import Limits
from handclasp.monitor.warnings import Level, level_of
from tests.monitor.moments import DAY, NOW, entry, member

HOUR = timedelta(hours=1)
spans = st.timedeltas(timedelta(), timedelta(days=4000))


@pytest.mark.parametrize(
    ("lifetime", "warn", "critical"),
    [
        (365 * DAY, 30 * DAY, 7 * DAY),
        (90 * DAY, 30 * DAY, 7 * DAY),
        (30 * DAY, 10 * DAY, 2.5 * DAY),
        (6 * DAY, 2 * DAY, 12 * HOUR),
        (DAY, 8 * HOUR, 2 * HOUR),
        (-DAY, timedelta(), timedelta()),
    ],
)
def test_a_month_and_a_week_are_a_third_and_a_twelfth_of_the_life_at_most(
    lifetime: timedelta, warn: timedelta, critical: timedelta
) -> None:
    assert Limits().of(lifetime) == Limits(warn, critical)
    assert Limits().of(lifetime / 2, renewed=True) == Limits().of(lifetime / 4)


def test_what_was_asked_for_is_taken_as_it_is_but_for_what_is_renewed() -> None:
    assert Limits(60 * DAY, 7 * DAY, warn_as_given=True).of(DAY) == Limits(60 * DAY, 2 * HOUR)
    assert Limits(30 * DAY, 9 * DAY, critical_as_given=True).of(DAY) == Limits(9 * DAY, 9 * DAY)
    both = Limits(60 * DAY, 9 * DAY, warn_as_given=True, critical_as_given=True)
    assert both.of(DAY) == Limits(60 * DAY, 9 * DAY)
    assert both.of(DAY, renewed=True) == Limits(4 * HOUR, HOUR)


def test_a_critical_time_beyond_the_warning_time_is_refused() -> None:
    Limits(warn=7 * DAY, critical=7 * DAY)
    with pytest.raises(UsageError, match="longer than the warning time"):
        Limits(warn=6 * DAY, critical=7 * DAY)


@given(lifetime=spans, warn=spans, critical=spans, given=st.tuples(*[st.booleans()] * 3))
def test_critical_never_comes_before_warn(
    lifetime: timedelta, warn: timedelta, critical: timedelta, given: tuple[bool, bool, bool]
) -> None:
    limits = Limits(max(warn, critical), min(warn, critical), *given[:2])
    limits.of(lifetime, renewed=given[2])  # which refuses it


@given(lifetime=spans, left=st.timedeltas(-DAY, timedelta(days=4000)), renewed=st.booleans())
def test_the_agent_and_the_command_judge_alike(
    lifetime: timedelta, left: timedelta, renewed: bool
) -> None:
    begin = left - max(lifetime, left)  # in force already
    about = Expiring("identity", "x", "CN=x", NOW + begin, NOW + left, renewed=renewed)
    told = entry(member(left, begun=-begin), renewed=renewed)
    states = {
        State.OK: Level.OK,
        State.WARN: Level.WARNING,
        State.CRITICAL: Level.CRITICAL,
        State.EXPIRED: Level.EXPIRED,
    }
    state = judge(told, now=NOW, limits=Limits()).state
    assert states[state] is level_of(about, Limits(), NOW)
