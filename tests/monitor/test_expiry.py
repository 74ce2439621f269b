"""States, and the member that decides."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.monitor.expiry import (
    WORST_FIRST,
    Entry,
    Kind,
    State,
    judge,
    state_of,
    why,
    worst_first,
)
from tests.monitor.moments import DAY, LIMITS, NOW, entry, member

SECOND = timedelta(seconds=1)
SPANS = st.timedeltas(min_value=-4000 * DAY, max_value=4000 * DAY)


@pytest.mark.parametrize(
    ("left", "state"),
    [
        (30 * DAY + SECOND, State.OK),
        (30 * DAY, State.WARN),
        (7 * DAY + SECOND, State.WARN),
        (7 * DAY, State.CRITICAL),
        (timedelta(), State.CRITICAL),
        (-SECOND, State.EXPIRED),
    ],
)
def test_each_state_begins_at_its_second(left: timedelta, state: State) -> None:
    """In force through the second of notAfter (RFC 5280 section 4.1.2.5)."""
    assert judge(entry(member(left)), now=NOW, limits=LIMITS).state is state


@pytest.mark.parametrize(
    ("begun", "state"), [(timedelta(), State.OK), (-SECOND, State.NOT_YET_VALID)]
)
def test_what_begins_later_is_not_yet_valid(begun: timedelta, state: State) -> None:
    assert judge(entry(member(90 * DAY, begun=begun)), now=NOW, limits=LIMITS).state is state


@given(begin=SPANS, end=SPANS, later=st.timedeltas(min_value=timedelta(), max_value=900 * DAY))
def test_it_never_gets_better_while_time_goes_on(
    begin: timedelta, end: timedelta, later: timedelta
) -> None:
    """Once in force, a certificate's state only moves from ok over warn and critical to expired; expired
    exactly after its end, and the days left are negative exactly then."""
    order = [State.NOT_YET_VALID, State.OK, State.WARN, State.CRITICAL, State.EXPIRED]
    states = [
        state_of(NOW + begin, NOW + end, now=moment, limits=LIMITS) for moment in (NOW, NOW + later)
    ]
    assert order.index(states[0]) <= order.index(states[1])
    assert (states[0] is State.EXPIRED) == (end < timedelta())
    days = judge(entry(member(end)), now=NOW, limits=LIMITS).days_left
    assert days is not None
    assert (days < 0) == (end < timedelta())


@given(ends=st.lists(SPANS, min_size=1, max_size=5))
def test_a_chain_is_no_better_than_its_worst_member(ends: list[timedelta]) -> None:
    members = [member(end, subject=f"CN={number}") for number, end in enumerate(ends)]
    whole = judge(entry(*members), now=NOW, limits=LIMITS)
    alone = [judge(entry(one), now=NOW, limits=LIMITS).state for one in members]
    assert whole.state is min(alone, key=WORST_FIRST.index)
    assert whole.left == min(ends)


def test_the_intermediate_that_ends_first_is_named() -> None:
    chain = entry(member(90 * DAY), member(5 * DAY, kind=Kind.CA, subject="CN=Middle"))
    judged = judge(chain, now=NOW, limits=LIMITS)
    assert judged.state is State.CRITICAL
    assert why(judged) == "CN=Middle, of the same chain, expires on 2026-11-29 06:00 UTC"


def test_a_leaf_that_ends_first_speaks_for_itself() -> None:
    chain = entry(member(5 * DAY), member(90 * DAY, kind=Kind.CA, subject="CN=Middle"))
    assert why(judge(chain, now=NOW, limits=LIMITS)) == "expires on 2026-11-29 06:00 UTC"


def test_a_list_without_next_update_never_lapses_and_one_with_it_does() -> None:
    endless = judge(entry(member(None, kind=Kind.CRL)), now=NOW, limits=LIMITS)
    assert (endless.state, endless.days_left, endless.life) == (State.OK, None, None)
    lapsed = judge(entry(member(-DAY, kind=Kind.CRL)), now=NOW, limits=LIMITS)
    assert why(lapsed) == "lapsed on 2026-11-23 06:00 UTC"


def test_a_member_that_never_ends_does_not_hide_one_that_does() -> None:
    both = entry(member(None, kind=Kind.CRL), member(90 * DAY))
    assert judge(both, now=NOW, limits=LIMITS).days_left == 90


def test_what_could_not_be_read_is_never_fine() -> None:
    judged = judge(Entry(source="x", problem="there is no such file"), now=NOW, limits=LIMITS)
    assert (judged.state, judged.days_left) == (State.UNREADABLE, None)
    assert why(judged) == "there is no such file"


def test_the_worst_stands_first_and_of_equals_the_one_that_ends_first() -> None:
    ends = {"ok": 90, "later": 29, "sooner": 8, "critical": 1, "expired": -1}
    entries = [entry(member(days * DAY), source=name) for name, days in ends.items()]
    entries.append(Entry(source="unreadable", problem="x"))
    entries.append(entry(member(90 * DAY, begun=-DAY), source="begins"))
    judged = worst_first(judge(one, now=NOW, limits=LIMITS) for one in entries)
    assert [one.entry.source for one in judged] == [
        *("expired", "begins", "critical", "unreadable", "sooner", "later", "ok")
    ]


def test_a_caller_stands_with_when_it_was_seen() -> None:
    seen = entry(member(DAY, kind=Kind.CALLER), source="ingress api", name="ingress api", seen=NOW)
    assert seen.place == "ingress api, last seen 2026-11-24 06:00 UTC"


@pytest.mark.parametrize(
    ("left", "state"), [(6 * DAY, State.OK), (5 * DAY, State.WARN), (DAY, State.CRITICAL)]
)
def test_what_is_renewed_is_no_news_until_renewal_is_overdue(left: timedelta, state: State) -> None:
    month = member(left, begun=30 * DAY - left)
    assert judge(entry(month, renewed=True), now=NOW, limits=LIMITS).state is state
    # Its issuer is renewed by somebody else.
    above = member(left, begun=30 * DAY - left, kind=Kind.CA, subject="CN=Middle")
    judged = judge(entry(month, above, renewed=True), now=NOW, limits=LIMITS)
    assert judged.state is (State.CRITICAL if left == DAY else State.WARN)


@pytest.mark.parametrize(
    ("left", "begun", "life"),
    [(30 * DAY, 10 * DAY, 0.75), (-DAY, 10 * DAY, 0.0), (DAY, -DAY / 2, 1.0), (-DAY, -DAY, 0.0)],
)
def test_life_is_the_part_of_the_lifetime_that_is_left(
    left: timedelta, begun: timedelta, life: float
) -> None:
    assert judge(entry(member(left, begun=begun)), now=NOW, limits=LIMITS).life == life
