"""A file is stamped by what it is and says, and how it is reached is known link by link."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handclasp.agent import material_stamps
from handclasp.agent.material_stamps import DIGESTED_BYTES, Looker, mark, trail_of
from handclasp.rotate.gather import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from handclasp.rotate.gather import Stamp


def one(looker: Looker, file: Path, at: float, *, fresh: bool = False) -> Stamp:
    return looker.look([file], at, fresh)[file].stamp


def test_a_file_is_known_by_its_content_and_mode(tmp_path: Path) -> None:
    file = tmp_path / "tls.key"
    file.write_bytes(b"key")
    file.chmod(0o640)
    (tmp_path / "link").symlink_to("tls.key")
    stamp = mark([tmp_path / "link"])[tmp_path / "link"]
    assert stamp.state is State.FILE
    assert stamp.real == str(file)
    assert (stamp.mode, stamp.size) == (0o640, 3)
    assert stamp.digest == hashlib.sha256(b"key").hexdigest()


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "bundle"
    file.write_bytes(bytes(DIGESTED_BYTES))
    assert mark([file])[file].digest is not None
    file.write_bytes(bytes(DIGESTED_BYTES + 1))
    stamp = mark([file])[file]
    assert (stamp.digest, stamp.size) == (None, DIGESTED_BYTES + 1)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Each file that was opened."""
    opened: list[Path] = []
    real = os.open

    def open_(path: Path, flags: int) -> int:
        opened.append(path)
        return real(path, flags)

    monkeypatch.setattr(os, "open", open_)
    return opened


def test_content_is_read_until_the_dates_can_be_believed_and_once_a_minute(
    tmp_path: Path, reads: list[Path]
) -> None:
    file = tmp_path / "tls.crt"
    file.write_text("1")
    looker = Looker()
    read_at = []
    for second in range(200):
        one(looker, file, second / 2)
        if reads:
            read_at.append(second / 2)
            reads.clear()
    assert read_at == [0.0, 0.5, 1.0, 1.5, 2.0, 62.0]
    one(looker, file, 100.0, fresh=True)
    file.chmod(0o600)
    one(looker, file, 100.5)
    assert len(reads) == 2


def test_a_change_that_leaves_no_trace_in_the_dates_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writes within one tick of the clock of a file system."""
    file = tmp_path / "tls.crt"
    file.write_text("1")
    monkeypatch.setattr(material_stamps, "_key", lambda _: (1,))
    looker = Looker()
    before = one(looker, file, 0.0)
    file.write_text("2")
    assert one(looker, file, 0.1).digest != before.digest


def test_what_we_lack_is_not_held_against_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tls.crt"
    file.write_text("1")
    looker = Looker()
    before = one(looker, file, 0.0)

    def too_many(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", too_many)
    assert one(looker, file, 0.1) == before
    assert one(Looker(), file, 0.1).state is State.UNREADABLE


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("make", "state", "why"),
    [
        (lambda _: None, State.ABSENT, "No such file or directory"),
        (os.mkfifo, State.NOT_A_FILE, "a FIFO"),
        (os.mkdir, State.NOT_A_FILE, "a directory"),
        (lambda file: file.symlink_to("/dev/zero"), State.NOT_A_FILE, "a device"),
        (lambda file: file.symlink_to(file.name), State.UNREADABLE, "Too many levels"),
        (lambda file: file.symlink_to("/proc/self/mem"), State.FILE, ""),
    ],
)
def test_nothing_that_is_no_file_is_waited_for(
    tmp_path: Path, make: Callable[[Path], None], state: State, why: str
) -> None:
    file = tmp_path / "tls.crt"
    make(file)
    stamp = mark([file])[file]
    if stamp.state is not state:
        assert state is State.FILE, "of /proc/self/mem nobody reads the first byte"
        assert stamp.state is State.UNREADABLE
    else:
        assert why in stamp.why


def test_a_file_that_becomes_a_fifo_between_two_looks_at_it_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tls.crt"
    file.write_text("1")
    real = os.open

    def open_(path: Path, flags: int) -> int:
        file.unlink()
        os.mkfifo(file)
        return real(path, flags)

    monkeypatch.setattr(os, "open", open_)
    assert mark([file])[file].state is State.NOT_A_FILE


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_name_that_no_file_can_have_is_no_failure(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    assert mark([file])[file].state is State.UNREADABLE


def test_every_link_on_the_way_is_known(tmp_path: Path) -> None:
    """A Kubernetes volume, reached through a link of the administrator's."""
    mount, home = tmp_path / "mount", tmp_path / "home"
    (mount / "..2026_11_24").mkdir(parents=True)
    home.mkdir()
    (mount / "..2026_11_24" / "tls.crt").write_text("1")
    (mount / "..data").symlink_to("..2026_11_24")
    (mount / "tls.crt").symlink_to("..data/tls.crt")
    (home / "certs").symlink_to("../mount")
    trail = trail_of(home / "certs" / "tls.crt")
    assert trail.steps == {
        (str(home), "certs"),
        (str(mount), "tls.crt"),
        (str(mount), "..data"),
        (str(mount / "..2026_11_24"), "tls.crt"),
    }
    assert {place[0] for place in trail.directories} == {step[0] for step in trail.steps}
    assert trail.real == str(mount / "..2026_11_24" / "tls.crt")


def test_where_a_directory_is_missing_the_last_one_that_is_there_is_known(tmp_path: Path) -> None:
    trail = trail_of(tmp_path / "not" / "there" / "tls.crt")
    assert trail.steps == {(str(tmp_path), "not")}
    assert trail.real == ""


def test_a_relative_path_begins_where_we_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tls.crt").write_text("1")
    assert trail_of(Path("tls.crt")).real == str(tmp_path / "tls.crt")


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert trail_of(tmp_path / "a").steps == {(str(tmp_path), "a"), (str(tmp_path), "b")}


def test_what_is_followed_no_longer_is_forgotten(tmp_path: Path, reads: list[Path]) -> None:
    file = tmp_path / "tls.crt"
    file.write_text("1")
    looker = Looker()
    for at in (0.0, 3.0):
        one(looker, file, at)
    looker.forget_all_but([file])
    one(looker, file, 4.0)
    assert len(reads) == 2
    looker.forget_all_but([])
    one(looker, file, 4.0)
    assert len(reads) == 3
