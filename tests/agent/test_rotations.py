"""What cannot be taken is said once, blamed on whom it is due to, and tried again by itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.agent import journal, rotations
from handclasp.agent.refused import ChangeRefused
from handclasp.agent.rereading import no_objections
from handclasp.agent.rotations import MATERIAL_CHANGED, Basis, Outcome, Rotations
from handclasp.agent.trial import TrialFailed
from handclasp.errors import EnvironmentFault
from handclasp.rotate.gather import Unsettled
from tests import pki
from tests.agent.rotating_stage import planned, servers, write_pair
from tests.integration.running import Material

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from datetime import datetime
    from pathlib import Path

    from handclasp.agent.prepare import Prepared
    from handclasp.errors import HandclaspError

pytestmark = pytest.mark.integration
ONE, TWO, THREE = "identity one", "identity two", "identity three"


@dataclass
class Clock:
    """Both times are set by hand."""

    wall: datetime = pki.NOW
    seconds: float = 0.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class Case:
    """Rotations, with an nginx that takes everything but what `faults` says in turn."""

    effect: Prepared
    clock: Clock = field(default_factory=Clock)
    faults: list[HandclaspError | None] = field(default_factory=list)
    attempts: list[set[str]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rotations = Rotations(self.clock, lambda: self.effect, self.tell, self.outcomes.append)
        self.told = asyncio.Event()

    def tell(self, event: str) -> None:
        self.events.append(event)
        self.told.set()

    async def attempt(self, wanted: Coroutine[None, None, Prepared]) -> HandclaspError | None:
        new = await wanted
        assert new.plan is not None
        assert self.effect.plan is not None
        before = dict(self.effect.plan.identities)
        moved = {name for name, version in new.plan.identities if before[name] != version}
        self.attempts.append(moved)
        fault = self.faults.pop(0) if self.faults else None
        if fault is None:
            self.effect = new
        return fault

    async def take(self, *units: str) -> Mapping[str, str]:
        basis = Basis(self.effect.material, no_objections)
        return await self.rotations.take(set(units), basis, self.attempt)

    async def again(self) -> None:
        """Waits until it is to be tried again, and tries."""
        async with asyncio.timeout(5):
            await self.told.wait()
        self.told.clear()
        assert self.events == [MATERIAL_CHANGED]
        self.events.clear()
        await self.take(*self.rotations.due)

    @property
    def pause(self) -> float:
        """Seconds until the next try."""
        assert self.rotations._timer is not None
        return self.rotations._timer.when() - asyncio.get_running_loop().time()


@pytest.fixture
def material(tmp_path: Path) -> Material:
    return Material(tmp_path)


@pytest.fixture
def case(material: Material, nginx_builds: dict[str, Path]) -> Case:
    """Three servers, with new pairs on disk."""
    names = ("one", "two", "three")
    made = Case(planned(material, servers(material, *names), nginx_builds["wheel"]))
    for name in names:
        write_pair(material, name, "new")
    return made


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was logged as an error."""
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(journal, "error", lambda _, **fields: told.append(fields))
    return told


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotations, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(rotations, "LONGEST_AGAIN_SECONDS", 0.1)


def test_what_can_be_taken_is_one_change(case: Case, said: list[dict[str, Any]]) -> None:
    assert asyncio.run(case.take(ONE, TWO)) == {}
    assert case.attempts == [{"one", "two"}]
    assert case.outcomes == [Outcome((ONE, TWO), None)]
    assert case.outcomes[0].identities == ("one", "two")
    assert said == []


def test_nothing_is_attempted_for_nothing(case: Case) -> None:
    assert asyncio.run(case.take()) == {}
    assert case.attempts == []


def test_files_that_were_put_back_are_no_rotation(case: Case, material: Material) -> None:
    before = case.effect.material.identities["one"]
    certificate, key = material.pair("one")
    certificate.write_bytes(before.certificate_pem())
    key.write_bytes(before.key_pem().reveal())
    assert asyncio.run(case.take(ONE)) == {}
    assert case.outcomes == []


def test_a_full_disk_is_said_once_for_all_and_tried_again_as_one_change(
    case: Case, said: list[dict[str, Any]]
) -> None:
    why = "no space is left fix: make some"

    async def scene() -> None:
        full = EnvironmentFault("no space is left", hint="make some")
        case.faults = [full, full, full]
        refused = await case.take(ONE, TWO)
        assert refused == dict.fromkeys((ONE, TWO), why)
        await case.again()
        await case.again()
        assert case.rotations.refused.keys() == {ONE, TWO}
        await case.again()

    asyncio.run(scene())
    assert case.attempts == [{"one", "two"}] * 4
    assert case.rotations.refused == {}
    assert said == [{"what": f"{ONE}, {TWO}", "why": why}]
    assert case.outcomes == [
        Outcome((ONE, TWO), why),
        Outcome((ONE, TWO), None),
    ]


def test_what_fails_again_and_again_is_tried_ever_less_often(case: Case) -> None:
    async def scene() -> list[float]:
        pauses = []
        case.faults = [EnvironmentFault("full")] * 5
        await case.take(ONE)
        for _ in range(4):
            pauses.append(case.pause)
            await case.again()
        await case.again()  # it works
        case.faults = [EnvironmentFault("full")]
        await case.take(TWO)
        return [*pauses, case.pause]

    pauses = asyncio.run(scene())
    for seen, most in zip(pauses, (0.02, 0.04, 0.08, 0.1, 0.02), strict=True):
        assert most / 2 < seen <= most


def test_when_nobody_knows_who_is_to_blame_each_is_tried_alone(
    case: Case, said: list[dict[str, Any]]
) -> None:
    case.faults = [ChangeRefused("not proven"), None, ChangeRefused("not proven either"), None]
    refused = asyncio.run(case.take(ONE, TWO, THREE))
    assert case.attempts == [{"one", "two", "three"}, {"one"}, {"three"}, {"two"}]
    assert refused == {THREE: "not proven either"}
    assert said[-1] == {"what": THREE, "why": "not proven either"}


def test_who_fails_the_trial_keeps_none_of_the_others(
    case: Case, said: list[dict[str, Any]]
) -> None:
    case.faults = [TrialFailed({"two": "upstream says no"})]
    assert asyncio.run(case.take(ONE, TWO, THREE)) == {TWO: "upstream says no"}
    assert case.attempts == [{"one", "two", "three"}, {"one", "three"}]
    assert said == [{"what": TWO, "why": "upstream says no"}]
    assert case.outcomes == [
        Outcome((TWO,), "upstream says no"),
        Outcome((ONE, THREE), None),
    ]


def test_a_trial_that_blames_somebody_else_is_not_taken_for_success(case: Case) -> None:
    case.faults = [TrialFailed({"stranger": "who is that"})]
    assert asyncio.run(case.take(ONE)) == {ONE: "identity stranger: who is that"}
    assert case.rotations.refused.keys() == {ONE}


def test_a_certificate_from_the_future_is_said_once_whatever_the_time_of_day(
    case: Case, material: Material, said: list[dict[str, Any]]
) -> None:
    async def scene() -> None:
        write_pair(material, "one", "future", not_before=pki.NOW + timedelta(hours=1))
        await case.take(ONE)
        for minute in (1, 2, 3):
            case.clock.wall = pki.NOW + timedelta(minutes=minute)
            await case.again()
        assert case.pause <= 0.02  # looking costs nothing
        case.clock.wall = pki.NOW + timedelta(hours=2)
        await case.again()

    asyncio.run(scene())
    assert case.attempts == [{"one"}]
    assert len(said) == 1
    assert case.rotations.refused == {}


def test_files_that_are_wrong_are_not_tried_again_until_they_change(
    case: Case, material: Material, said: list[dict[str, Any]]
) -> None:
    async def scene() -> None:
        write_pair(material, "one", "bad", sans=["elsewhere.example.com"])
        await case.take(ONE)
        await asyncio.sleep(0.1)

    asyncio.run(scene())
    assert case.events == []
    assert case.attempts == []
    assert len(said) == 1
    assert said[0]["why"].startswith(f"{material.folder}/one.pem: ")


def test_what_waited_for_its_time_and_is_wrong_now_is_not_tried_again(
    case: Case, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotations, "AGAIN_SECONDS", 1.0)
    case.__post_init__()

    async def scene() -> None:
        write_pair(material, "one", "future", not_before=pki.NOW + timedelta(hours=1))
        await case.take(ONE)
        write_pair(material, "one", "bad", sans=["elsewhere.example.com"])
        await case.take(ONE)
        await asyncio.sleep(case.pause + 0.1)

    asyncio.run(scene())
    assert case.events == []


def test_what_did_not_settle_is_said_once(case: Case, said: list[dict[str, Any]]) -> None:
    for _ in range(3):
        case.rotations._told(Unsettled(ONE, (), "it is empty"))
    case.rotations._told(Unsettled(ONE, (), "it is not there"))
    assert [one["why"] for one in said] == ["it is empty", "it is not there"]


def test_what_was_read_anew_by_request_is_said_anew(case: Case, said: list[dict[str, Any]]) -> None:
    async def scene() -> None:
        case.faults = [EnvironmentFault("full")] * 2
        await case.take(ONE)
        case.rotations.forget()
        assert case.rotations.refused == {}
        await case.take(ONE)

    asyncio.run(scene())
    assert len(said) == 2


def test_nothing_is_rotated_before_anything_is_in_effect(case: Case) -> None:
    early = Rotations(case.clock, lambda: None, case.events.append, case.outcomes.append)
    basis = Basis(case.effect.material, no_objections)
    assert asyncio.run(early.take({ONE}, basis, case.attempt)) == {}
    assert case.attempts == []
