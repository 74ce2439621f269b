"""The table of a change, driven through any order of events and crashes over a real state directory."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.errors import InternalFault
from handclasp.nginx.state import StateDirectory
from handclasp.rotate.transaction import (
    ENDS,
    TABLE,
    Command,
    Event,
    State,
    Survivor,
    may_be_loaded,
    step,
    survives,
)

if TYPE_CHECKING:
    from handclasp.nginx.switch import Switch


class Fate(Enum):
    """What becomes of one step."""

    DONE = "done"
    FAILED = "failed before it did anything"
    NOT_TAKEN = "nginx refused it"
    KILLED_BEFORE = "killed before it"
    KILLED_AFTER = "killed after it"


class Killed(Exception):
    """The agent is no more."""


@dataclass
class World:
    """A state directory, and an nginx that has loaded what the link named when it was last told."""

    path: Path
    state: StateDirectory = field(init=False)
    loaded: str = "old"
    switch: Switch | None = None

    def __post_init__(self) -> None:
        self.state = StateDirectory.open(self.path, worker_group=None)
        self.stage("old")
        self.state.switch(identities={"svc": "old"}).commit()

    def stage(self, version: str) -> None:
        files = {"cert.pem": version.encode(), "key.pem": version.encode()}
        self.state.stage_identity("svc", version, files)

    def do(self, command: Command) -> None:
        match command:
            case Command.STAGE:
                self.stage("new")
            case Command.SWITCH:
                self.switch = self.state.switch(identities={"svc": "new"})
            case Command.APPLY | Command.RETURN:
                self.loaded = self.effective()
            case Command.COMMIT:
                assert self.switch is not None
                self.switch.commit()
            case Command.UNDO:
                assert self.switch is not None
                self.switch.rollback()
            case Command.TEST | Command.TRY | Command.PROVE:
                pass

    def effective(self) -> str:
        version = self.state.current_identity("svc")
        assert version is not None
        folder = self.state.identity_path("svc", version)
        pair = {(folder / name).read_text() for name in ("cert.pem", "key.pem")}
        assert pair == {version}  # never half of each
        return version

    def restarted(self) -> str:
        """What the next agent finds in effect."""
        self.state.close()
        self.state = StateDirectory.open(self.path, worker_group=None)
        return self.effective()


def carry_out(world: World, fates: dict[Command, Fate]) -> State:
    """Follows the table, as agent.transaction does; raises Killed with the state it was in."""
    state, command = step(State.SERVING, Event.ASKED)
    while command is not None:
        fate = fates.get(command, Fate.DONE)
        if fate is Fate.KILLED_BEFORE:
            raise Killed(state)
        event = Event.DONE
        if fate is Fate.FAILED:
            event = Event.FAILED
        elif fate is Fate.NOT_TAKEN:
            event = Event.NOT_TAKEN if Event.NOT_TAKEN in TABLE[state] else Event.FAILED
        else:
            world.do(command)
        if fate is Fate.KILLED_AFTER:
            raise Killed(state)
        state, command = step(state, event)
    return state


fates = st.dictionaries(st.sampled_from(list(Command)), st.sampled_from(list(Fate)))


@given(fates)
def test_any_order_of_events_and_crashes_ends_with_one_whole_version(
    fates: dict[Command, Fate],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "state")
        try:
            ended = carry_out(world, fates)
        except Killed as killed:
            state = killed.args[0]
            found = world.restarted()
            kept = survives(state)
            assert kept is Survivor.EITHER or found == kept.value
            assert world.loaded == found or may_be_loaded(state)
        else:
            assert ended in ENDS
            match ended:
                case State.COMMITTED:
                    assert (world.effective(), world.loaded) == ("new", "new")
                case State.REFUSED | State.ROLLED_BACK:
                    assert (world.effective(), world.loaded) == ("old", "old")
                case State.UNSURE:
                    assert world.effective() == "old"
            if ended is not State.COMMITTED:
                assert world.restarted() == "old"
        finally:
            world.state.close()


def test_without_a_failure_every_step_is_taken_once_and_in_order() -> None:
    taken: list[Command] = []
    state, command = step(State.SERVING, Event.ASKED)
    while command is not None:
        taken.append(command)
        state, command = step(state, Event.DONE)
    assert state is State.COMMITTED
    assert taken == [
        Command.STAGE,
        Command.TEST,
        Command.TRY,
        Command.SWITCH,
        Command.APPLY,
        Command.PROVE,
        Command.COMMIT,
    ]


@pytest.mark.parametrize("state", sorted(TABLE))
def test_every_step_that_can_be_done_can_fail(state: State) -> None:
    assert state is State.SERVING or {Event.DONE, Event.FAILED} <= TABLE[state].keys()


@pytest.mark.parametrize("state", sorted(ENDS))
def test_nothing_happens_after_an_end(state: State) -> None:
    with pytest.raises(InternalFault):
        step(state, Event.DONE)
