"""What was issued for identities that are gone is removed once the spec without them is in effect."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from handclasp.agent import failing
from handclasp.agent.issuance import Issuance
from handclasp.agent.issued import identities_kept
from handclasp.agent.unused import remove_unused
from tests.agent.issuing_stage import LOCAL, Stage, journal_lines
from tests.ca.authority import make_authority

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Two identities that were issued."""
    make_authority(tmp_path)
    names = {name: {"issuer": "dev-ca", "names": [f"{name}.internal"]} for name in ("one", "two")}
    made = Stage(tmp_path, names, {"dev-ca": LOCAL})
    for name in names:
        asyncio.run(Issuance(made.clock).issue(made.prepared(), name))
        failing.note(made.state, name, "it is away", made.clock.now())
    return made


def test_it_is_removed_with_its_keys_and_told(stage: Stage) -> None:
    before = stage.prepared()
    del stage.identities["two"]
    with journal_lines() as lines:
        remove_unused(stage.state, stage.prepared(), before)
    assert identities_kept(stage.state) == ("one",)
    assert not (stage.state / "issued" / "two").exists()
    assert failing.read(stage.state, "two") is None
    assert failing.read(stage.state, "one") is not None
    assert [(line["event"], line["path"]) for line in lines] == [
        ("no longer used, removed", str(stage.state / "issued" / "two"))
    ]


def test_one_whose_certificate_comes_from_a_file_now_has_no_use_for_it_either(
    stage: Stage,
) -> None:
    stage.identities["two"] = {"certificate": "two.pem", "key": "two.key"}
    remove_unused(stage.state, stage.prepared(), None)
    assert identities_kept(stage.state) == ("one",)


def test_what_the_spec_names_by_its_path_stays(stage: Stage) -> None:
    place = stage.state / "issued" / "two" / "current"
    del stage.identities["two"]
    stage.identities["three"] = {
        "certificate": str(place / "cert.pem"),
        "key": str(place / "key.pem"),
    }
    remove_unused(stage.state, stage.prepared(), None)
    assert identities_kept(stage.state) == ("one", "two")


def test_a_rotation_removes_nothing(stage: Stage) -> None:
    """A spec that is refused may be tried again, with what was issued for it."""
    del stage.identities["two"]
    same = stage.prepared()
    remove_unused(stage.state, same, same)
    assert identities_kept(stage.state) == ("one", "two")


def test_what_cannot_be_removed_is_told_and_stops_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: object) -> None:
        raise PermissionError(13, "Permission denied", "two")

    monkeypatch.setattr("shutil.rmtree", refused)
    del stage.identities["two"]
    with journal_lines() as lines:
        remove_unused(stage.state, stage.prepared(), None)
    assert [line["event"] for line in lines] == ["what was issued and is no longer used is kept"]
