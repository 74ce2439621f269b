"""The lifecycle table: total, live, and patient in the way its header says."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handclasp.nginx.lifecycle import (
    LONGEST_DELAY_SECONDS,
    MOST_FAILURES,
    STAYS,
    TABLE,
    Command,
    Event,
    Lifecycle,
    State,
    diagram,
    step,
)

TWINS = {Event.GAVE_UP, Event.RETRY_EARLY}
ASKED_OR_SEEN = sorted(set(Event) - TWINS)


def after(*events: Event | tuple[Event, float], start: Lifecycle | None = None) -> Lifecycle:
    """The lifecycle after these events, each at second 0 or at the second given with it."""
    lifecycle = start or Lifecycle()
    for item in events:
        event, now = item if isinstance(item, tuple) else (item, 0.0)
        lifecycle, _ = step(lifecycle, event, now)
    return lifecycle


SERVING = after(Event.START_ASKED, Event.MASTER_STARTED)


def test_every_pair_of_state_and_event_is_in_the_table_once() -> None:
    for state, event in product(State, Event):
        assert ((state, event) in TABLE) != (event in STAYS[state]), (state, event)


def test_every_state_is_reachable() -> None:
    seen, fresh = {State.STOPPED}, {State.STOPPED}
    while fresh:
        fresh = {target for (state, _), (target, _) in TABLE.items() if state in fresh} - seen
        seen |= fresh
    assert seen == set(State)


def test_stopped_is_reachable_from_every_state() -> None:
    for origin in State:
        seen, fresh = {origin}, {origin}
        while fresh:
            fresh = {target for (state, _), (target, _) in TABLE.items() if state in fresh} - seen
            seen |= fresh
        assert State.STOPPED in seen


# -- what a life looks like


def test_first_start_that_fails_gives_up_at_once() -> None:
    starting, commands = step(Lifecycle(), Event.START_ASKED, 0)
    assert commands == (Command.ADOPT_OR_START,)
    failed, commands = step(starting, Event.START_FAILED, 1)
    assert failed.state is State.FAILED
    assert commands == (Command.END_ORPHANS, Command.REPORT_GIVING_UP)


def test_crash_is_followed_by_a_start_after_a_second() -> None:
    backoff, commands = step(SERVING, Event.MASTER_EXITED, 100)
    assert backoff.state is State.BACKOFF
    assert commands == (Command.REPORT_RESTART, Command.SCHEDULE_RETRY)
    assert backoff.delay_seconds(100) == 1.0
    early, commands = step(backoff, Event.RETRY_DUE, 100.5)
    assert (early.state, commands) == (State.BACKOFF, (Command.SCHEDULE_RETRY,))
    assert early.delay_seconds(100.5) == 0.5
    starting, commands = step(early, Event.RETRY_DUE, 101)
    assert (starting.state, commands) == (State.STARTING, (Command.START,))


def test_delays_double_and_the_fifth_failure_in_a_row_gives_up() -> None:
    lifecycle, now, delays = SERVING, 10.0, []
    lifecycle, _ = step(lifecycle, Event.MASTER_EXITED, now)
    while lifecycle.state is State.BACKOFF:
        delays.append(lifecycle.delay_seconds(now))
        now = lifecycle.retry_at
        lifecycle, _ = step(lifecycle, Event.RETRY_DUE, now)
        lifecycle, commands = step(lifecycle, Event.START_FAILED, now)
    assert delays == [1, 2, 4, 8]
    assert lifecycle.failures == MOST_FAILURES
    assert lifecycle.state is State.FAILED
    assert Command.REPORT_GIVING_UP in commands


def test_delay_is_bounded() -> None:
    many = Lifecycle(state=State.SERVING, has_served=True, failures=MOST_FAILURES - 2)
    backoff, _ = step(many, Event.MASTER_EXITED, 1)
    assert 0 < backoff.delay_seconds(1) <= LONGEST_DELAY_SECONDS


@pytest.mark.parametrize(("served", "failures"), [(59.9, 4), (60.0, 1), (1e6, 1)])
def test_minute_of_serving_forgets_the_failures_before(served: float, failures: int) -> None:
    shaky = after((Event.MASTER_STARTED, 500), start=Lifecycle(State.STARTING, failures=3))
    ended, _ = step(shaky, Event.MASTER_EXITED, 500 + served)
    assert ended.failures == failures
    assert ended.state is State.BACKOFF


def test_start_that_takes_long_is_no_steady_service() -> None:
    starting = Lifecycle(State.STARTING, failures=2, has_served=True, serving_since=0.0)
    assert after((Event.START_FAILED, 1000), start=starting).failures == 3


def test_reload_asked_while_starting_or_reloading_is_done_afterwards_once() -> None:
    starting = after(Event.START_ASKED, Event.RELOAD_ASKED, Event.RELOAD_ASKED)
    reloading, commands = step(starting, Event.MASTER_STARTED, 0)
    assert (reloading.state, commands) == (State.RELOADING, (Command.RELOAD,))
    waiting, commands = step(reloading, Event.RELOAD_ASKED, 0)
    assert (waiting.state, commands) == (State.RELOADING, ())
    again, commands = step(waiting, Event.RELOAD_REFUSED, 0)
    assert (again.state, commands) == (State.RELOADING, (Command.REPORT_REFUSAL, Command.RELOAD))
    done, commands = step(again, Event.RELOAD_CONFIRMED, 0)
    assert (done.state, commands) == (State.SERVING, ())


def test_refused_reload_is_reported_and_served_on() -> None:
    reloading, _ = step(SERVING, Event.RELOAD_ASKED, 0)
    serving, commands = step(reloading, Event.RELOAD_REFUSED, 0)
    assert (serving.state, commands) == (State.SERVING, (Command.REPORT_REFUSAL,))


def test_reload_keeps_the_time_serving_began() -> None:
    steady = after((Event.MASTER_STARTED, 5), start=Lifecycle(State.STARTING))
    steady = after((Event.RELOAD_ASKED, 50), (Event.RELOAD_CONFIRMED, 51), start=steady)
    assert steady.serving_since == 5


@pytest.mark.parametrize("state", [State.BACKOFF, State.FAILED])
def test_new_configuration_is_tried_at_once_and_the_count_begins_anew(state: State) -> None:
    broken = Lifecycle(state, failures=4, has_served=True, retry_at=1e9)
    starting, commands = step(broken, Event.RELOAD_ASKED, 0)
    assert (starting.state, starting.failures) == (State.STARTING, 0)
    assert commands[-1] is Command.START


def test_stop_while_starting_ends_the_start_too() -> None:
    stopping, commands = step(after(Event.START_ASKED), Event.STOP_ASKED, 0)
    assert commands == (Command.QUIT,)
    stopping, commands = step(stopping, Event.MASTER_STARTED, 0)
    assert (stopping.state, commands) == (State.STOPPING, (Command.QUIT,))
    stopped, commands = step(stopping, Event.MASTER_EXITED, 0)
    assert (stopped.state, commands) == (State.STOPPED, (Command.END_ORPHANS,))


def test_stop_while_waiting_to_restart_ends_the_workers_that_serve_on() -> None:
    backoff = after(Event.MASTER_EXITED, start=SERVING)
    stopped, commands = step(backoff, Event.STOP_ASKED, 0)
    assert stopped.state is State.STOPPED
    assert commands == (Command.CANCEL_RETRY, Command.END_ORPHANS)


def test_exit_while_stopping_is_no_failure() -> None:
    stopped = after(Event.STOP_ASKED, Event.MASTER_EXITED, start=SERVING)
    assert (stopped.state, stopped.failures) == (State.STOPPED, 0)


def test_late_answer_of_a_reload_after_a_crash_changes_nothing() -> None:
    backoff = after(Event.RELOAD_ASKED, Event.MASTER_EXITED, start=SERVING)
    for late in (Event.RELOAD_CONFIRMED, Event.RELOAD_REFUSED, Event.MASTER_EXITED):
        assert step(backoff, late, 0) == (backoff, ())


# -- any order of events


EVENTS = st.lists(
    st.tuples(st.sampled_from(ASKED_OR_SEEN), st.floats(0, 100, allow_nan=False)), max_size=60
)


@given(EVENTS)
@settings(deadline=None)
def test_no_order_of_events_leaves_the_table_or_gets_stuck(
    history: list[tuple[Event, float]],
) -> None:
    """From wherever any history led, answering what was commanded ends in Serving, Stopped or Failed,
    and a stop then ends in Stopped."""
    lifecycle, now = Lifecycle(), 0.0
    for event, passed in history:
        now += passed
        lifecycle, _ = step(lifecycle, event, now)
        assert 0 <= lifecycle.failures <= MOST_FAILURES
        assert lifecycle.reload_wanted <= (lifecycle.state in {State.STARTING, State.RELOADING})
        if lifecycle.state is State.BACKOFF:
            assert 0 <= lifecycle.delay_seconds(now) <= LONGEST_DELAY_SECONDS
    answers = {
        State.STARTING: Event.MASTER_STARTED,
        State.RELOADING: Event.RELOAD_CONFIRMED,
        State.BACKOFF: Event.RETRY_DUE,
        State.STOPPING: Event.MASTER_EXITED,
    }
    for _ in range(6):
        if lifecycle.state not in answers:
            break
        now = max(now, lifecycle.retry_at)
        lifecycle, _ = step(lifecycle, answers[lifecycle.state], now)
    assert lifecycle.state in {State.SERVING, State.STOPPED, State.FAILED}
    lifecycle, _ = step(lifecycle, Event.STOP_ASKED, now)
    if lifecycle.state is State.STOPPING:
        lifecycle, _ = step(lifecycle, Event.MASTER_EXITED, now)
    assert lifecycle.state is State.STOPPED


@given(EVENTS)
@settings(deadline=None)
def test_whoever_waits_has_been_told_what_for(history: list[tuple[Event, float]]) -> None:
    """A state that ends by an answer is entered with the command that leads to that answer."""
    promised = {
        State.STARTING: {Command.START, Command.ADOPT_OR_START},
        State.RELOADING: {Command.RELOAD},
        State.BACKOFF: {Command.SCHEDULE_RETRY},
        State.STOPPING: {Command.QUIT},
    }
    lifecycle, now = Lifecycle(), 0.0
    for event, passed in history:
        now += passed
        before = lifecycle
        lifecycle, commands = step(lifecycle, event, now)
        if lifecycle.state is not before.state and lifecycle.state in promised:
            assert promised[lifecycle.state] & set(commands), (before.state, event)


def test_diagram_has_every_row_of_the_table() -> None:
    lines = diagram().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert "    serving --> reloading: reload asked / reload" in lines
    assert len(lines) == len(TABLE) + 2
