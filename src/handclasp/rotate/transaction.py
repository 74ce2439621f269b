"""A change as a transaction: its states and what may happen in each, as one table. Pure.

::

    serving ─ asked ─▶ staging ▶ testing ▶ trying ▶ switching ▶ applying ▶ proving ▶ committing ─▶ committed
                          │         │         │         │           │          │          │
                          └─ refused (nothing moved) ◀──┘           └──────────┴──────────┤
                                                        undoing ▶ returning ─▶ rolled back ┘

Whoever is killed on the way finds at the next start what `survives` says: until the commit the old version,
after it the new one, and never half of each.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from handclasp.errors import InternalFault

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(StrEnum):
    """Where a change is. The last five are ends."""

    SERVING = "serving"
    STAGING = "staging"
    TESTING = "testing"
    TRYING = "trying"
    SWITCHING = "switching"
    APPLYING = "applying"
    PROVING = "proving"
    COMMITTING = "committing"
    UNDOING = "undoing"
    WITHDRAWING = "withdrawing"
    RETURNING = "returning"
    COMMITTED = "committed"
    REFUSED = "refused"
    ROLLED_BACK = "rolled back"
    UNSURE = "unsure"
    STUCK = "stuck"


class Event(StrEnum):
    """What may happen to it."""

    ASKED = "asked"
    DONE = "done"
    FAILED = "failed"
    NOT_TAKEN = "not taken"
    """nginx read what was new and refused it. It goes on with the old one: another reload would only cut
    idle clients off."""


class Command(StrEnum):
    """What is to be done next."""

    STAGE = "write the new versions beside the old"
    TEST = "have nginx test the configuration that names them"
    TRY = "use them where nobody depends on it"
    SWITCH = "move every link"
    APPLY = "have nginx take them"
    PROVE = "see them served on every listener"
    COMMIT = "keep them for good"
    UNDO = "move every link back"
    RETURN = "have nginx take the old ones again"


class Survivor(StrEnum):
    """What the next start finds after a crash."""

    OLD = "old"
    EITHER = "old or new, whole"
    NEW = "new"


Step = tuple[State, Command | None]

TABLE: Mapping[State, Mapping[Event, Step]] = MappingProxyType(
    {
        State.SERVING: {Event.ASKED: (State.STAGING, Command.STAGE)},
        State.STAGING: {
            Event.DONE: (State.TESTING, Command.TEST),
            Event.FAILED: (State.REFUSED, None),
        },
        State.TESTING: {
            Event.DONE: (State.TRYING, Command.TRY),
            Event.FAILED: (State.REFUSED, None),
        },
        State.TRYING: {
            Event.DONE: (State.SWITCHING, Command.SWITCH),
            Event.FAILED: (State.REFUSED, None),
        },
        State.SWITCHING: {
            Event.DONE: (State.APPLYING, Command.APPLY),
            # Moving links takes back by itself what it moved.
            Event.FAILED: (State.REFUSED, None),
        },
        State.APPLYING: {
            Event.DONE: (State.PROVING, Command.PROVE),
            Event.FAILED: (State.UNDOING, Command.UNDO),
            Event.NOT_TAKEN: (State.WITHDRAWING, Command.UNDO),
        },
        State.PROVING: {
            Event.DONE: (State.COMMITTING, Command.COMMIT),
            Event.FAILED: (State.UNDOING, Command.UNDO),
        },
        State.COMMITTING: {
            Event.DONE: (State.COMMITTED, None),
            Event.FAILED: (State.UNDOING, Command.UNDO),
        },
        State.UNDOING: {
            Event.DONE: (State.RETURNING, Command.RETURN),
            Event.FAILED: (State.STUCK, None),
        },
        State.WITHDRAWING: {
            Event.DONE: (State.ROLLED_BACK, None),
            Event.FAILED: (State.STUCK, None),
        },
        State.RETURNING: {
            Event.DONE: (State.ROLLED_BACK, None),
            Event.FAILED: (State.UNSURE, None),
        },
    }
)

ENDS = frozenset(State) - TABLE.keys()
_LINKS_MOVED = frozenset(
    {
        *(State.SWITCHING, State.APPLYING, State.PROVING, State.COMMITTING),
        *(State.UNDOING, State.WITHDRAWING, State.RETURNING, State.UNSURE, State.STUCK),
    }
)


def step(state: State, event: Event) -> Step:
    """The state after, and what to do in it. Raises InternalFault for what cannot happen there."""
    try:
        return TABLE[state][event]
    except KeyError:
        raise InternalFault(f"{event!r} while a change is {state.value}") from None


def survives(state: State) -> Survivor:
    """Which version a crash in this state leaves, once the journal of links is settled at the next start."""
    if state is State.COMMITTED:
        return Survivor.NEW
    return Survivor.EITHER if state is State.COMMITTING else Survivor.OLD


def may_be_loaded(state: State) -> bool:
    """Whether nginx may have taken the new version though the old one is in effect after a crash: it has to
    be told again."""
    return state in _LINKS_MOVED
