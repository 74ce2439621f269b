"""A crash at every single step leaves the state directory as it was or as it was to be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from handclasp.nginx.state import StateDirectory
from tests.nginx import crash_driver

OLD = (1, "v1", "v1", None)
NEW = (2, "v2", "v2", "v1")


@pytest.fixture(autouse=True)
def _no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def crashed(scenario: str, tmp_path: Path) -> list[Path]:
    """State directories that died at step 0, 1, …; the last one lived."""
    seeded, out = tmp_path / "seed", tmp_path / "out"
    if not seeded.exists():
        crash_driver.seed(seeded)
    out.mkdir()
    command = [sys.executable, "-m", "tests.nginx.crash_driver", scenario, str(seeded), str(out)]
    place = Path(__file__).parents[2]
    done = subprocess.run(
        command, cwd=place, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return sorted(out.iterdir(), key=lambda path: int(path.name))


def links(state: StateDirectory) -> tuple[int | None, str | None, str | None, str | None]:
    return (
        state.current_generation(),
        state.current_identity("svc"),
        state.current_trust("company"),
        state.current_identity("extra"),
    )


def assert_only_whole_versions(state: StateDirectory) -> None:
    """What has a version's name has all its files, and no temporary name is left."""
    wholes = {
        "identities/svc/v1": {"cert.pem": b"old certificate", "key.pem": b"old key"},
        "identities/svc/v2": crash_driver.NEW,
        "identities/extra/v1": crash_driver.NEW,
        "trust/company/v1": {"ca.pem": b"old ca"},
        "trust/company/v2": {"ca.pem": b"new ca", "crl.pem": b"new crl"},
        "generation/1": {"nginx.conf": b"one", "plan.json": b"{}"},
        "generation/2": {"nginx.conf": b"two", "links/orders.conf": b"three"},
    }
    for name, files in wholes.items():
        version = state.path / name
        if version.exists():
            there = {
                str(path.relative_to(version)): path.read_bytes()
                for path in version.rglob("*")
                if path.is_file()
            }
            assert there == files, version
    assert [str(path) for path in state.path.rglob(".*")] == []
    assert not (state.path / "switch.pending").exists()
    for link in state.path.glob("*/**/current"):
        assert link.exists(), f"{link} points nowhere"


def test_crash_while_staging_leaves_all_of_a_version_or_nothing(tmp_path: Path) -> None:
    runs = crashed("stage", tmp_path)
    assert len(runs) > 40
    seen = set()
    for path in runs:
        with StateDirectory.open(path, worker_group=None) as state:
            assert state.recovered is None
            assert_only_whole_versions(state)
            assert links(state) == OLD
            seen.add((path / "identities/svc/v2").exists())
            crash_driver.stage(state)
    assert seen == {True, False}


@pytest.mark.parametrize("scenario", ["commit", "rollback"])
def test_crash_while_switching_leaves_all_links_old_or_all_new(
    tmp_path: Path, scenario: str
) -> None:
    runs = crashed(scenario, tmp_path)
    outcomes = []
    undone = 0
    for path in runs:
        with StateDirectory.open(path, worker_group=None) as state:
            assert_only_whole_versions(state)
            outcomes.append(links(state))
            undone += state.recovered is not None and bool(state.recovered.undone)
            if state.recovered is not None and state.recovered.undone:
                assert "an interrupted change was undone" in str(state.recovered)
        with StateDirectory.open(path, worker_group=None) as state:
            assert state.recovered is None
    assert set(outcomes) == ({OLD, NEW} if scenario == "commit" else {OLD})
    assert outcomes == sorted(outcomes, key=lambda outcome: outcome == NEW)
    assert undone > 4


def test_crash_while_undoing_is_undone_by_the_next_opening(tmp_path: Path) -> None:
    seeded = tmp_path / "seed"
    crash_driver.seed(seeded)
    with StateDirectory.open(seeded, worker_group=None) as state:
        crash_driver.stage(state)
        state.switch(generation=2, identities={"svc": "v2"}, trust={"company": "v2"})
    runs = crashed("open", tmp_path)
    undone = 0
    for path in runs:
        with StateDirectory.open(path, worker_group=None) as state:
            assert_only_whole_versions(state)
            assert links(state) == OLD
            undone += state.recovered is not None
    assert 8 < undone < len(runs)


def test_crash_at_the_first_opening_can_be_opened_again(tmp_path: Path) -> None:
    (tmp_path / "seed").mkdir(0o700)
    for path in crashed("open", tmp_path):
        with StateDirectory.open(path, worker_group=None) as state:
            crash_driver.stage(state)
            assert state.write_generation({"nginx.conf": ""}) == 2


def test_crash_while_pruning_takes_away_whole_versions_only(tmp_path: Path) -> None:
    seeded = tmp_path / "seed"
    crash_driver.seed(seeded)
    with StateDirectory.open(seeded, worker_group=None) as state:
        crash_driver.commit(state)
        for number in range(3, 6):
            state.stage_identity("svc", f"v{number}", {"cert.pem": b"%d" % number})
            state.switch(identities={"svc": f"v{number}"}).commit()
    lefts = []
    for path in crashed("prune", tmp_path):
        with StateDirectory.open(path, worker_group=None) as state:
            assert_only_whole_versions(state)
            assert state.current_identity("svc") == "v5"
        lefts.append({entry.name for entry in (path / "identities/svc").iterdir()})
    assert {"v1", "v2", "v3", "v4", "v5", "current"} in lefts
    assert lefts[-1] == {"v4", "v5", "current"}
    assert all(left >= lefts[-1] for left in lefts)
