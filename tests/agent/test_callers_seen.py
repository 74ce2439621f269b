"""Callers are taken from the log, written down, and known again after a restart however it came."""

from __future__ import annotations

import asyncio
import json
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from handclasp.agent import callers_seen
from handclasp.agent.callers_seen import SAVE_SECONDS, CallersSeen

if TYPE_CHECKING:
    from pathlib import Path

WEEK = timedelta(days=7)


@dataclass
class Clock:
    moment: datetime = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    seconds: float = 0.0

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.seconds

    def go(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self.seconds += seconds


class Stage:
    """One agent after the other on the same files."""

    def __init__(self, folder: Path) -> None:
        self.log, self.file, self.clock = folder / "callers.log", folder / "callers.json", Clock()
        self.restart()

    def restart(self) -> None:
        """Without a word to the one before."""
        self.seen = CallersSeen(self.log, self.file, self.clock)

    def come(self, *serials: str) -> None:
        at = str(self.clock.now().timestamp())
        names = {"link": "api", "issuer": "CN=CA", "subject": "CN=svc-b"}
        dates = {"begin": "Nov 23 12:00:00 2026 GMT", "end": "Nov 23 12:00:00 2027 GMT"}
        with self.log.open("a") as log:
            for serial in serials:
                log.write(json.dumps({**names, **dates, "serial": serial, "at": at}) + "\n")

    def look(self) -> set[str]:
        asyncio.run(self.seen.look(WEEK))
        return {one.serial for one in self.seen.callers}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_who_came_is_known_and_garbage_beside_it_is_not(stage: Stage) -> None:
    stage.come("01")
    with stage.log.open("a") as log:
        log.write("garbage\n{}\n")
    stage.come("02")
    assert stage.look() == {"01", "02"}


def test_the_log_is_emptied_only_when_what_it_held_is_written_down(stage: Stage) -> None:
    stage.come("01")
    stage.look()
    assert stage.log.stat().st_size
    assert not stage.file.exists()
    stage.clock.go(SAVE_SECONDS)
    stage.come("02")
    stage.look()
    assert stage.log.stat().st_size == 0
    assert stat.S_IMODE(stage.file.stat().st_mode) == 0o600
    stage.restart()
    assert stage.look() == {"01", "02"}


def test_an_agent_that_was_killed_has_lost_nobody(stage: Stage) -> None:
    stage.come("01")
    stage.look()
    stage.clock.go(SAVE_SECONDS)
    stage.look()
    stage.come("02")
    stage.look()
    stage.restart()
    assert stage.look() == {"01", "02"}


def test_it_is_written_once_a_minute_at_most(stage: Stage) -> None:
    stage.clock.go(SAVE_SECONDS)
    stage.come("01")
    stage.look()
    written = stage.file.stat().st_mtime_ns
    stage.clock.go(SAVE_SECONDS / 2)
    stage.come("02")
    stage.look()
    assert stage.file.stat().st_mtime_ns == written


def test_a_log_that_has_become_long_does_not_wait(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers_seen, "_MOST_WAITING", 1000)
    stage.come(*(f"{number}" for number in range(20)))
    stage.look()
    assert stage.log.stat().st_size == 0


def test_a_disk_that_takes_nothing_is_told_and_the_log_kept(stage: Stage) -> None:
    stage.come("01")
    stage.look()
    stage.file.mkdir()
    stage.clock.go(SAVE_SECONDS)
    assert stage.look() == {"01"}
    assert "cannot be written" in (stage.seen.problem or "")
    assert stage.log.stat().st_size
    stage.file.rmdir()
    stage.clock.go(SAVE_SECONDS)
    stage.look()
    assert stage.seen.problem is None
    assert stage.log.stat().st_size == 0


def test_a_log_that_cannot_be_read_is_told(stage: Stage) -> None:
    stage.log.symlink_to("elsewhere")
    stage.look()
    assert "symbolic link" in (stage.seen.problem or "").lower()


def test_a_damaged_file_is_begun_anew(stage: Stage) -> None:
    stage.file.write_bytes(b"\xff{")
    stage.come("01")
    assert stage.look() == {"01"}


def test_nothing_is_overwritten_before_it_was_read(stage: Stage) -> None:
    stage.come("01")
    stage.look()
    asyncio.run(stage.seen.save())
    stage.restart()
    asyncio.run(stage.seen.save())
    assert stage.look() == {"01"}


def test_who_has_not_come_for_long_is_forgotten_in_time(stage: Stage) -> None:
    stage.come("01")
    stage.look()
    for days, known in ((29, {"01"}), (2, set())):
        stage.clock.go(days * 86400)
        stage.look()
        assert stage.look() == known


def test_what_is_in_use_is_looked_up_again_after_a_moment(stage: Stage) -> None:
    assert stage.seen.current() == ()
    stage.come("01")
    stage.look()
    stage.clock.go(5)
    assert [one.serial for one in stage.seen.current()] == ["01"]
