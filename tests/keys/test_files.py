"""Files are read within bounds with the reason when they cannot be, and written so that nobody
else could read them at any moment.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handclasp.certs.read import LIMIT
from handclasp.findings import Severity
from handclasp.keys import files
from handclasp.keys.files import check_key_file, read_file, replace_file, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")


@contextlib.contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def problem(path: Path) -> tuple[str, str]:
    read = read_file(path)
    assert read.data is None
    assert read.problem is not None
    assert read.problem.where.file == str(path)
    return read.problem.slug, read.problem.seen


def test_a_readable_file_comes_with_its_mode_and_owner(tmp_path: Path) -> None:
    path = tmp_path / "Schlüssel für (1).pem"
    path.write_bytes(b"x")
    path.chmod(0o640)
    read = read_file(path)
    assert (read.data, read.mode, read.owner) == (b"x", 0o640, os.geteuid())
    assert read.problem is None


def test_links_are_followed_and_the_mode_is_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"x")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "link").symlink_to("key")
    assert read_file(tmp_path / "link").mode == 0o600


def test_what_cannot_be_read_is_told_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "dangling").symlink_to("gone")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    assert problem(tmp_path / "none") == ("file-not-found", "there is no such file")
    assert problem(tmp_path / "file" / "below")[0] == "file-not-found"
    assert problem(tmp_path / ("x" * 300))[0] == "file-not-found"
    assert problem(Path("nul\x00"))[0] == "file-not-found"
    assert problem(tmp_path) == ("path-is-directory", "the path is a directory")
    slug, seen = problem(tmp_path / "dangling")
    assert (slug, "link to gone" in seen) == ("file-not-found", True)
    slug, seen = problem(tmp_path / "loop")
    assert (slug, "leads back" in seen) == ("file-not-found", True)
    assert problem(tmp_path / "fifo")[0] == "certificate-unreadable"


def test_a_file_over_10_mib_is_refused_and_one_of_10_mib_is_not(tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as stream:
        stream.truncate(LIMIT)
    assert read_file(big).problem is None
    with big.open("wb") as stream:
        stream.truncate(LIMIT + 1)
    read = read_file(big, unreadable="key-unreadable")
    assert read.data is None
    assert read.problem is not None
    assert read.problem.slug == "key-unreadable"


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are closed further up."""
    with tempfile.TemporaryDirectory(prefix="handclasp-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@as_root
def test_a_forbidden_file_and_a_closed_directory_are_told_apart(public_folder: Path) -> None:
    closed = public_folder / "closed"
    closed.mkdir()
    for path in (public_folder / "key", closed / "key"):
        path.write_bytes(b"")
        path.chmod(0o600)
    closed.chmod(0o700)
    with nobody():
        slug, seen = problem(public_folder / "key")
        assert (slug, "the file may not be read" in seen) == ("permission-denied", True)
        slug, seen = problem(closed / "key")
        assert (slug, f"directory {closed} " in seen) == ("permission-denied", True)


@pytest.mark.parametrize(
    ("bits", "fix"),
    [
        (0o600, None),
        (0o400, None),
        (0o640, None),
        (0o440, None),
        (0o700, None),
        (0o644, "chmod 0600"),
        (0o604, "chmod 0600"),
        (0o660, "chmod 0640"),
        (0o620, "chmod 0600"),
        (0o777, "chmod 0600"),
    ],
)
def test_key_modes_beyond_0640_are_errors_with_the_chmod_to_run(
    bits: int, fix: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "my key"
    path.write_bytes(b"")
    path.chmod(bits)
    findings = check_key_file(read_file(path))
    if fix is None:
        assert findings == []
        return
    assert [finding.slug for finding in findings] == ["key-file-mode-too-wide"]
    assert findings[0].severity is Severity.ERROR
    assert findings[0].fix == f"Run: {fix} '{path}'"
    assert f"{bits:04o}" in findings[0].seen
    allowed = check_key_file(read_file(path), allow_wide_mode=True)
    assert [finding.severity for finding in allowed] == [Severity.WARNING]


@as_root
def test_a_key_that_belongs_to_another_user_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"")
    path.chmod(0o600)
    os.chown(path, 1234, -1)
    findings = check_key_file(read_file(path))
    assert [finding.slug for finding in findings] == ["key-file-owner-odd"]
    assert "1234" in findings[0].seen


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("wanted", [0o600, 0o640])
def test_a_private_file_has_its_mode_before_its_first_byte(
    mask: int, wanted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    real = os.fchmod

    def watched(descriptor: int, bits: int) -> None:
        before = os.fstat(descriptor)
        assert before.st_size == 0
        assert stat.S_IMODE(before.st_mode) & ~0o600 == 0
        real(descriptor, bits)
        after = os.fstat(descriptor)
        seen.append((stat.S_IMODE(after.st_mode), after.st_size))

    monkeypatch.setattr(os, "fchmod", watched)
    with umask(mask):
        write_private(tmp_path / "key", b"secret", wanted)
    assert seen == [(wanted, 0)]
    assert (tmp_path / "key").read_bytes() == b"secret"
    assert mode(tmp_path / "key") == wanted


def test_an_existing_file_or_link_is_never_written_to(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "dangling").symlink_to(tmp_path / "target")
    for name in ("old", "dangling"):
        with pytest.raises(FileExistsError, match="File exists"):
            write_private(tmp_path / name, b"new")
    assert (tmp_path / "old").read_bytes() == b"old"
    assert not (tmp_path / "target").exists()


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "key").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_private(tmp_path / "new", b"data")
    with pytest.raises(OSError, match="No space left"):
        replace_file(tmp_path / "key", b"new", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    assert (tmp_path / "key").read_bytes() == b"old"


def test_a_failed_rename_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_file(tmp_path / "directory", b"new", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["directory"]


def test_a_replaced_file_is_a_new_one_and_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    path, target = tmp_path / ("n" * 250), tmp_path / "target"
    target.write_bytes(b"target")
    path.symlink_to(target)
    replace_file(path, b"one", 0o640)
    inode = path.stat().st_ino
    assert (path.read_bytes(), mode(path), path.is_symlink()) == (b"one", 0o640, False)
    replace_file(path, b"two", 0o600)
    assert (path.read_bytes(), mode(path)) == (b"two", 0o600)
    assert path.stat().st_ino != inode
    assert target.read_bytes() == b"target"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, "target"])


def test_a_pipe_is_read_to_its_end_where_that_is_asked_for_and_has_no_mode(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o644)
    for size in (
        70_000,
        LIMIT + 2,
    ):  # more than a pipe holds at once, and more than is read of a file
        command = f"head -c {size} /dev/zero > {tmp_path / 'fifo'}"
        with subprocess.Popen(["sh", "-c", command], stderr=subprocess.DEVNULL) as writer:
            read = read_file(tmp_path / "fifo", pipes=True)
            writer.wait(timeout=20)
        assert (read.mode, read.owner) == (None, None)
        if size > LIMIT:
            assert read.data is None
            assert read.problem is not None
            assert "larger than 10 MiB" in read.problem.seen
        else:
            assert (read.problem, read.data) == (None, bytes(size))
    assert read_file(Path("/dev/null"), pipes=True).problem is not None
    assert problem(tmp_path / "fifo")[1] == "it is a pipe or a device, not a regular file"


def test_a_pipe_out_of_which_nothing_comes_is_given_up_and_one_that_is_slow_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(files, "PIPE_SILENCE_SECONDS", 0.05)
    silent = read_file(tmp_path / "fifo", pipes=True)
    assert silent.data is None
    assert silent.problem is not None
    assert "nothing came out of it" in silent.problem.seen
    monkeypatch.setattr(files, "PIPE_SILENCE_SECONDS", 10.0)
    command = f"exec > {tmp_path / 'fifo'}; sleep 0.1; printf a; sleep 0.1; printf b"
    with subprocess.Popen(["sh", "-c", command]) as writer:
        assert read_file(tmp_path / "fifo", pipes=True).data == b"ab"
        writer.wait(timeout=20)
