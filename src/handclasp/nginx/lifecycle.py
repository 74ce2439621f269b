"""When nginx is started, reloaded, restarted and given up: a table, and the clock as an argument.

Theory of operation
-------------------
Everything that decides the next state is in this file; what it takes is in `process`. `step` takes
a Lifecycle, an Event (what has happened, past tense) and monotonic seconds, and returns the next
Lifecycle and Commands (what is to be done, imperative). Whoever runs the commands reports back by
events and may be late: an event that means nothing any more is listed as staying, without commands,
so that every pair of state and event is in the table.

========== ==============================================================================
Stopped    nothing runs and nothing should
Starting   a master is being adopted or started
Serving    it runs
Reloading  it has SIGHUP and has not yet been seen to take or refuse the configuration
Backoff    it ended; the next start waits
Stopping   it is draining
Failed     given up; an operator's start or a new configuration begins anew
========== ==============================================================================

Failures in a row are counted over starts that failed and masters that ended, and forgotten once a
master has served for a minute. After a failure the next start waits 1 s, then 2, 4 … at most 30
(systemd waits 100 ms for ever; supervisor adds a second each time and gives up after 3). After the
fifth in a row, or when the very first start fails, we give up: what never worked needs a person.

Before anything is tabled, an event may be turned into its twin: MasterExited into GaveUp when it is
one failure too many, RetryDue into RetryEarly when its time has not come.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 30.0
MOST_FAILURES = 5
STEADY_SECONDS = 60.0


class State(StrEnum):
    """Where nginx is, as far as we know."""

    STOPPED = "stopped"
    STARTING = "starting"
    SERVING = "serving"
    RELOADING = "reloading"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    FAILED = "failed"


class Event(StrEnum):
    """What has happened."""

    START_ASKED = "start asked"
    MASTER_STARTED = "master started"  # or adopted
    START_FAILED = "start failed"  # nothing of it is left running
    MASTER_EXITED = "master exited"
    RELOAD_ASKED = "reload asked"  # a new generation is in place
    RELOAD_CONFIRMED = "reload confirmed"
    RELOAD_REFUSED = "reload refused"
    RETRY_DUE = "retry due"
    STOP_ASKED = "stop asked"
    # Twins, made in `step` alone.
    GAVE_UP = "gave up"
    RETRY_EARLY = "retry early"


class Command(StrEnum):
    """What is to be done."""

    ADOPT_OR_START = "adopt or start"  # report MasterStarted or StartFailed
    START = "end orphans and start"  # likewise
    RELOAD = "reload"  # report ReloadConfirmed or ReloadRefused
    QUIT = "quit"  # report MasterExited; StartFailed where that cancelled a start
    END_ORPHANS = "end orphans"
    SCHEDULE_RETRY = "schedule retry"  # report RetryDue after `delay_seconds`
    CANCEL_RETRY = "cancel retry"
    REPORT_RESTART = "report restart"
    REPORT_REFUSAL = "report refusal"
    REPORT_GIVING_UP = "report giving up"


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """State and what the table cannot hold. Times are monotonic seconds."""

    state: State = State.STOPPED
    failures: int = 0
    has_served: bool = False
    serving_since: float = 0.0
    retry_at: float = 0.0
    reload_wanted: bool = False  # asked while the one before was under way

    def delay_seconds(self, now: float) -> float:
        """How long until the next start, in Backoff."""
        return max(0.0, self.retry_at - now)


_S, _E, _C = State, Event, Command
_Row = tuple[State, tuple[Command, ...]]

TABLE: dict[tuple[State, Event], _Row] = {
    # Stopped: only a start means anything.
    (_S.STOPPED, _E.START_ASKED): (_S.STARTING, (_C.ADOPT_OR_START,)),
    # Starting: what is asked meanwhile is remembered (reload) or done afterwards (stop).
    (_S.STARTING, _E.MASTER_STARTED): (_S.SERVING, ()),
    (_S.STARTING, _E.START_FAILED): (_S.BACKOFF, (_C.REPORT_RESTART, _C.SCHEDULE_RETRY)),
    (_S.STARTING, _E.MASTER_EXITED): (_S.BACKOFF, (_C.REPORT_RESTART, _C.SCHEDULE_RETRY)),
    (_S.STARTING, _E.GAVE_UP): (_S.FAILED, (_C.END_ORPHANS, _C.REPORT_GIVING_UP)),
    (_S.STARTING, _E.STOP_ASKED): (_S.STOPPING, (_C.QUIT,)),
    # Serving. Workers of a dead master go on serving through Backoff, until the start ends them.
    (_S.SERVING, _E.RELOAD_ASKED): (_S.RELOADING, (_C.RELOAD,)),
    (_S.SERVING, _E.MASTER_EXITED): (_S.BACKOFF, (_C.REPORT_RESTART, _C.SCHEDULE_RETRY)),
    (_S.SERVING, _E.GAVE_UP): (_S.FAILED, (_C.END_ORPHANS, _C.REPORT_GIVING_UP)),
    (_S.SERVING, _E.STOP_ASKED): (_S.STOPPING, (_C.QUIT,)),
    # Reloading: refused means that the configuration before is served on.
    (_S.RELOADING, _E.RELOAD_CONFIRMED): (_S.SERVING, ()),
    (_S.RELOADING, _E.RELOAD_REFUSED): (_S.SERVING, (_C.REPORT_REFUSAL,)),
    (_S.RELOADING, _E.MASTER_EXITED): (_S.BACKOFF, (_C.REPORT_RESTART, _C.SCHEDULE_RETRY)),
    (_S.RELOADING, _E.GAVE_UP): (_S.FAILED, (_C.END_ORPHANS, _C.REPORT_GIVING_UP)),
    (_S.RELOADING, _E.STOP_ASKED): (_S.STOPPING, (_C.QUIT,)),
    # Backoff: a new configuration may be the cure, so it is tried at once.
    (_S.BACKOFF, _E.RETRY_DUE): (_S.STARTING, (_C.START,)),
    (_S.BACKOFF, _E.RETRY_EARLY): (_S.BACKOFF, (_C.SCHEDULE_RETRY,)),
    (_S.BACKOFF, _E.START_ASKED): (_S.STARTING, (_C.CANCEL_RETRY, _C.START)),
    (_S.BACKOFF, _E.RELOAD_ASKED): (_S.STARTING, (_C.CANCEL_RETRY, _C.START)),
    (_S.BACKOFF, _E.STOP_ASKED): (_S.STOPPED, (_C.CANCEL_RETRY, _C.END_ORPHANS)),
    # Stopping: a start that was under way may still succeed, and is ended as well.
    (_S.STOPPING, _E.MASTER_STARTED): (_S.STOPPING, (_C.QUIT,)),
    (_S.STOPPING, _E.START_FAILED): (_S.STOPPED, ()),
    (_S.STOPPING, _E.MASTER_EXITED): (_S.STOPPED, (_C.END_ORPHANS,)),
    # Failed
    (_S.FAILED, _E.START_ASKED): (_S.STARTING, (_C.START,)),
    (_S.FAILED, _E.RELOAD_ASKED): (_S.STARTING, (_C.START,)),
    (_S.FAILED, _E.STOP_ASKED): (_S.STOPPED, ()),
}

STAYS: dict[State, frozenset[Event]] = {
    # Late or meaningless there: nothing happens.
    _S.STOPPED: frozenset(_E) - {_E.START_ASKED},
    _S.STARTING: frozenset(
        {
            *(_E.START_ASKED, _E.RELOAD_ASKED, _E.RELOAD_CONFIRMED, _E.RELOAD_REFUSED),
            *(_E.RETRY_DUE, _E.RETRY_EARLY),
        }
    ),
    _S.SERVING: frozenset(
        {
            *(_E.START_ASKED, _E.MASTER_STARTED, _E.START_FAILED, _E.RELOAD_CONFIRMED),
            *(_E.RELOAD_REFUSED, _E.RETRY_DUE, _E.RETRY_EARLY),
        }
    ),
    _S.RELOADING: frozenset(
        {
            *(_E.START_ASKED, _E.MASTER_STARTED, _E.START_FAILED, _E.RELOAD_ASKED),
            *(_E.RETRY_DUE, _E.RETRY_EARLY),
        }
    ),
    _S.BACKOFF: frozenset(
        {
            *(_E.MASTER_STARTED, _E.START_FAILED, _E.MASTER_EXITED, _E.RELOAD_CONFIRMED),
            *(_E.RELOAD_REFUSED, _E.GAVE_UP),
        }
    ),
    _S.STOPPING: frozenset(
        {
            *(_E.START_ASKED, _E.RELOAD_ASKED, _E.RELOAD_CONFIRMED, _E.RELOAD_REFUSED),
            *(_E.RETRY_DUE, _E.RETRY_EARLY, _E.STOP_ASKED, _E.GAVE_UP),
        }
    ),
    _S.FAILED: frozenset(_E) - {_E.START_ASKED, _E.RELOAD_ASKED, _E.STOP_ASKED},
}
_RUNNING = frozenset({_S.STARTING, _S.SERVING, _S.RELOADING})
_ENDINGS = frozenset({_E.START_FAILED, _E.MASTER_EXITED})


def step(lifecycle: Lifecycle, event: Event, now: float) -> tuple[Lifecycle, tuple[Command, ...]]:
    """The next lifecycle and what is to be done, in order. ``now``: monotonic seconds."""
    before, event = _counted(lifecycle, event, now)
    state, commands = TABLE.get((before.state, event), (before.state, ()))
    after = _entered(before, state, event, now)
    if after.state is State.SERVING and after.reload_wanted:
        after, more = step(replace(after, reload_wanted=False), Event.RELOAD_ASKED, now)
        commands += more
    return after, commands


def _counted(lifecycle: Lifecycle, event: Event, now: float) -> tuple[Lifecycle, Event]:
    """Counts a failure and puts the event's twin for it where that is due."""
    state = lifecycle.state
    if state in _RUNNING and (state, event) in TABLE and event in _ENDINGS:
        steady = state is not State.STARTING and now - lifecycle.serving_since >= STEADY_SECONDS
        failures = 1 if steady else lifecycle.failures + 1
        hopeless = failures >= MOST_FAILURES or not lifecycle.has_served
        return replace(lifecycle, failures=failures), Event.GAVE_UP if hopeless else event
    if state is State.BACKOFF and event is Event.RETRY_DUE and now < lifecycle.retry_at:
        return lifecycle, Event.RETRY_EARLY
    return lifecycle, event


def _entered(before: Lifecycle, state: State, event: Event, now: float) -> Lifecycle:
    """Sets what goes with a state on the way into it."""
    after = replace(before, state=state)
    if event is Event.RELOAD_ASKED and before.state in {State.STARTING, State.RELOADING}:
        return replace(after, reload_wanted=True)
    if state is before.state:
        return after
    if state is State.SERVING and before.state is State.STARTING:
        return replace(after, serving_since=now, has_served=True)
    if state is State.BACKOFF:
        delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** (after.failures - 1))
        return replace(after, retry_at=now + delay, reload_wanted=False)
    if state is State.STARTING and event is not Event.RETRY_DUE:
        # A person or a new configuration: the count begins anew.
        return replace(after, failures=0, reload_wanted=False)
    if state in {State.STOPPED, State.FAILED, State.STOPPING}:
        return replace(after, reload_wanted=False)
    return after


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> stopped"]
    for (state, event), (target, commands) in TABLE.items():
        doing = f" / {', '.join(commands)}" if commands else ""
        lines.append(f"    {state} --> {target}: {event}{doing}")
    return "\n".join(lines) + "\n"
