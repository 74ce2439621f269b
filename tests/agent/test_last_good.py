"""What was in effect last takes the place of files that are no good, where it is that of the spec."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.agent.generation import SOURCES_FILE, generation_files, sources
from handclasp.agent.last_good import at_fault, at_start, may_start
from handclasp.agent.lists_in_force import remember
from handclasp.agent.prepare import Choices, prepare
from handclasp.agent.resolve import SystemResolver
from handclasp.agent.staging import identity_versions, stage
from handclasp.findings import errors_in
from handclasp.nginx.state import StateDirectory
from tests import pki
from tests.agent.rotating_stage import servers, write_pair
from tests.integration.running import Material, write_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from handclasp.agent.prepare import Prepared

pytestmark = pytest.mark.integration
DAY = timedelta(days=1)


@dataclass
class Case:
    """Servers one and two, and a state directory where something may be in effect."""

    material: Material
    nginx: Path

    def __post_init__(self) -> None:
        self.spec = servers(self.material, "one", "two")

    def read(self, now: datetime = pki.NOW) -> Prepared:
        """As a start reads it."""
        path = write_spec(self.material.folder, "unit", self.spec)
        choices = Choices(spec=path, nginx=str(self.nginx), state=self.material.folder / "state")
        return asyncio.run(prepare(choices, now=now, resolver=SystemResolver()))

    @contextmanager
    def state(self) -> Iterator[StateDirectory]:
        with StateDirectory.open(self.material.folder / "state", worker_group=None) as state:
            yield state

    def put_into_effect(self) -> Prepared:
        prepared = self.read()
        plan = prepared.plan
        assert plan is not None, prepared.findings
        with self.state() as state:
            stage(state, prepared, plan)
            state.switch(
                generation=state.write_generation(generation_files(prepared, plan)),
                identities=identity_versions(prepared, plan),
                trust=dict(plan.trust),
            ).commit()
            for trust in prepared.material.trust.values():
                remember(prepared.layout.root, trust)
        return prepared

    def start(self, now: datetime = pki.NOW) -> Prepared:
        prepared = self.read(now)
        with self.state() as state:
            return at_start(prepared, state)

    def file(self, name: str) -> Path:
        return self.material.folder / name


@pytest.fixture
def case(tmp_path: Path, nginx_builds: dict[str, Path]) -> Case:
    return Case(Material(tmp_path), nginx_builds["wheel"])


def versions(prepared: Prepared) -> dict[str, str]:
    assert prepared.plan is not None, prepared.findings
    return dict(prepared.plan.identities)


def test_half_a_pair_keeps_the_whole_one_and_nothing_else(case: Case) -> None:
    before = versions(case.put_into_effect())
    write_pair(case.material, "two", "new")
    case.file("one.key").unlink()
    assert may_start(case.read())
    kept = case.start()
    assert versions(kept)["one"] == before["one"]
    assert versions(kept)["two"] != before["two"]
    assert set(kept.kept) == {"identity one"}
    assert str(case.file("one.key")) in kept.kept["identity one"]
    assert not errors_in(kept.findings)
    assert not {case.file("one.pem"), case.file("one.key")} & set(kept.marks)
    assert case.file("two.pem") in kept.marks


def test_nothing_is_kept_where_nothing_is_wrong(case: Case) -> None:
    case.put_into_effect()
    write_pair(case.material, "one", "new")
    assert case.start().kept == {}


def test_before_anything_was_in_effect_there_is_no_start(case: Case) -> None:
    case.file("one.key").unlink()
    assert at_fault(case.read())
    assert not may_start(case.read())
    assert case.start().plan is None


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN X509 CRL-----\n"])
def test_a_list_that_cannot_be_read_keeps_the_one_in_force(
    case: Case, content: bytes | None
) -> None:
    case.spec["trust"]["company"]["crl"] = ["ca.crl"]
    case.file("ca.crl").write_bytes(pki.crl(case.material.ca, [case.material.client]))
    before = case.put_into_effect().material.trust["company"].crls
    if content is None:
        case.file("ca.crl").unlink()
    else:
        case.file("ca.crl").write_bytes(content)
    kept = case.start()
    assert set(kept.kept) == {"trust company"}
    assert kept.plan is not None
    assert kept.material.trust["company"].crls == before
    (case.file("state") / "lists" / "company" / "in-force.crl").unlink()
    assert case.start().plan is None, "without a list nobody is refused any more"


def test_a_list_that_has_ended_meanwhile_is_not_kept(case: Case) -> None:
    case.spec["trust"]["company"]["crl"] = ["ca.crl"]
    case.file("ca.crl").write_bytes(pki.crl(case.material.ca))
    case.put_into_effect()
    case.file("ca.crl").unlink()
    assert case.start(pki.NOW + 80 * DAY).plan is None


def test_a_certificate_that_has_ended_meanwhile_is_not_kept(case: Case) -> None:
    case.put_into_effect()
    case.file("one.key").unlink()
    write_pair(case.material, "two", "long", not_after=pki.NOW + 900 * DAY)
    started = case.start(pki.NOW + 100 * DAY)
    assert started.plan is None
    assert {one.slug for one in errors_in(started.findings)} == {"file-not-found", "cert-expired"}


@pytest.mark.parametrize(
    ("what", "section"),
    [
        ("identities", {"one": {"certificate": "other.pem", "key": "one.key"}}),
        ("trust", {"company": {"certificates": ["other-ca.pem", "missing.pem"]}}),
    ],
)
def test_what_the_spec_has_from_elsewhere_now_is_not_kept(
    case: Case, what: str, section: dict[str, Any]
) -> None:
    case.put_into_effect()
    write_pair(case.material, "other")
    case.spec[what] |= section
    assert at_fault(case.read())
    assert case.start().plan is None


def test_a_state_directory_that_does_not_say_from_where_keeps_nothing(case: Case) -> None:
    """As one of before there was such a record, or a damaged one."""
    case.put_into_effect()
    case.file("one.key").unlink()
    record = case.file("state") / "generation" / "current" / SOURCES_FILE
    record.write_text("[]")
    assert case.start().plan is None
    record.unlink()
    assert case.start().plan is None


def test_with_anything_else_wrong_nothing_is_kept(case: Case) -> None:
    case.put_into_effect()
    case.file("one.key").unlink()
    case.spec["ingress"][0]["clients"] = {"trust": "nobody", "allow": "any"}
    assert at_fault(case.read()) == {}
    assert not may_start(case.read())


def test_sources_are_where_things_come_from_and_nothing_else(case: Case) -> None:
    first = sources(case.read().spec)
    case.spec["ingress"][0]["listen"] = "127.0.0.1:8444"
    assert sources(case.read().spec) == first
    case.spec["identities"]["one"] = {"certificate": "two.pem", "key": "two.key"}
    other = sources(case.read().spec)
    assert other["trust"] == first["trust"]
    assert {
        name for name, told in other["identities"].items() if told != first["identities"][name]
    } == {"one"}
    assert "two" not in json.dumps(list(other["identities"].values()))
