"""The log of callers: read as it grows, emptied when what it holds is kept, while nginx writes on."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from handclasp.agent.callers_log import CallersLog

if TYPE_CHECKING:
    from pathlib import Path

WRITER = """
import os, sys
log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
for number in range(20_000):
    os.write(log, b"%d %s\\n" % (number, b"x" * 50))
"""
"""As nginx has its logs open."""


def add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as log:
        log.write(text)


def read(log: CallersLog) -> list[str]:
    """What is new, and taken."""
    lines, offset = log.added()
    log.taken(offset)
    return lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "callers.log"


def test_what_stands_there_already_is_read_too(path: Path) -> None:
    add(path, "one\n")
    log = CallersLog(path)
    assert read(log) == ["one"]
    add(path, "two\n")
    assert read(log) == ["two"]
    assert read(log) == []


def test_a_log_that_is_not_there_is_empty(path: Path) -> None:
    log = CallersLog(path)
    assert read(log) == []
    assert not log.empty()


def test_what_was_not_taken_is_given_again(path: Path) -> None:
    add(path, "one\n")
    log = CallersLog(path)
    assert log.added()[0] == log.added()[0] == ["one"]


def test_a_line_is_given_once_it_is_whole(path: Path) -> None:
    log = CallersLog(path)
    add(path, "one\ntw")
    assert read(log) == ["one"]
    assert not log.empty()
    add(path, "o\n")
    assert read(log) == ["two"]
    assert log.empty()
    assert path.read_text() == ""


def test_a_log_is_not_emptied_while_it_holds_what_was_not_taken(path: Path) -> None:
    add(path, "one\n")
    log = CallersLog(path)
    lines, offset = log.added()
    assert not log.empty()
    log.taken(offset)
    add(path, "two\n")
    assert not log.empty()
    assert [*lines, *read(log)] == ["one", "two"]
    assert log.empty()


def test_a_log_that_was_rotated_or_emptied_by_others_is_read_from_its_beginning(path: Path) -> None:
    log = CallersLog(path)
    add(path, "one, and longer\n")
    assert read(log) == ["one, and longer"]
    path.rename(path.with_suffix(".1"))
    add(path, "two, as long as\n")
    assert read(log) == ["two, as long as"]
    os.truncate(path, 0)
    add(path, "three\n")
    assert read(log) == ["three"]
    os.truncate(path, 0)
    add(path, "four, and longer\n")
    assert read(log) == ["four, and longer"]


def test_a_flood_is_read_to_its_end_and_not_in_full(path: Path) -> None:
    log = CallersLog(path, most_bytes=100)
    add(path, "".join(f"line {number:04}\n" for number in range(1000)))
    lines = read(log)
    assert lines[-1] == "line 0999"
    assert len(lines) == 10
    assert log.unread_bytes == 9_900
    assert log.empty()


def test_a_line_without_end_does_not_stop_the_reading(path: Path) -> None:
    log = CallersLog(path, most_bytes=100)
    add(path, "x" * 100)
    assert read(log) == ["x" * 100]
    add(path, "\nnext\n")
    assert read(log)[-1] == "next"


def test_bytes_that_are_no_text_do_not_stop_the_reading(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\nnext\n")
    assert read(CallersLog(path))[1:] == ["next"]


def test_another_file_is_not_emptied_through_a_link(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    add(other, "one\n")
    path.symlink_to(other)
    log = CallersLog(path)
    with pytest.raises(OSError, match="symbolic link"):
        log.added()
    with pytest.raises(OSError, match="symbolic link"):
        log.empty()
    assert other.read_text() == "one\n"


def test_emptying_it_under_a_writer_leaves_whole_lines_in_their_order(path: Path) -> None:
    """O_APPEND: no hole, and no old offset. What comes between size and emptying may be lost, and no more."""
    log = CallersLog(path)
    seen: list[str] = []
    emptied = 0
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)]) as writer:
        while writer.poll() is None:
            seen += read(log)
            emptied += log.empty()
    seen += read(log)
    emptied += log.empty()
    assert emptied
    assert all(line.endswith(" " + "x" * 50) for line in seen)
    numbers = [int(line.split()[0]) for line in seen]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 1_000  # how many depends on who else wants the processor
