"""New files all or none, whole or not at all, whatever interrupts the writing."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from handclasp.errors import EnvironmentFault, UsageError
from handclasp.keys import output
from handclasp.keys.output import Output, write_new, write_over

_KILLED = """
import os, signal, sys
from pathlib import Path
from handclasp.keys import files
from handclasp.keys.output import Output, write_new, write_over

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

real, stop = os.fsync, int(sys.argv[2])
def fsync(descriptor):
    global stop
    stop -= 1
    if stop == 0:
        killed()
    real(descriptor)
os.fsync = fsync
folder = Path(sys.argv[3])
outputs = [Output(path=folder / name, data=b"new" * 1000, private=True) for name in "ab"]
{"new": write_new, "over": write_over}[sys.argv[1]](outputs)
"""


def of(path: Path, data: bytes = b"new", *, private: bool = True) -> Output:
    return Output(path=path, data=data, private=private)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("stop", [1, 2])
@pytest.mark.parametrize("way", ["new", "over"])
def test_a_kill_while_writing_leaves_no_name_with_a_part_of_a_file(
    tmp_path: Path, way: str, stop: int
) -> None:
    if way == "over":
        (tmp_path / "a").write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, way, str(stop), tmp_path], timeout=20, check=False
    )
    assert done.returncode == -signal.SIGKILL
    there = [name for name in names(tmp_path) if not name.startswith(".")]
    assert there == (["a"] if way == "over" else [])
    if way == "over":
        assert (tmp_path / "a").read_bytes() == b"old"
    # What has a passing name holds a key as well.
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.glob(".*")} == {0o600}


@pytest.mark.parametrize("write", [write_new, write_over])
def test_a_disk_that_runs_full_leaves_everything_as_it_was(tmp_path: Path, write: object) -> None:
    if write is write_over:
        (tmp_path / "a").write_bytes(b"old")
    before = names(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(EnvironmentFault, match="b cannot be written"):
            write([of(tmp_path / "a"), of(tmp_path / "b", b"x" * 2000)])  # type: ignore[operator]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert names(tmp_path) == before
    if write is write_over:
        assert (tmp_path / "a").read_bytes() == b"old"


def test_one_name_that_is_taken_keeps_the_others_from_being_written(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"b exists already\n"):
        write_new([of(tmp_path / "a"), of(tmp_path / "b")])
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b").read_bytes() == b"precious"


def test_a_dangling_link_is_said_to_be_one_and_kept(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    with pytest.raises(UsageError, match="exists already, as a link"):
        write_new([of(tmp_path / "a")])
    assert names(tmp_path) == ["a"]
    write_over([of(tmp_path / "a")])
    assert not (tmp_path / "a").is_symlink()
    assert names(tmp_path) == ["a"]  # nothing was written to where it led


def test_a_directory_in_the_way_keeps_all_from_being_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").mkdir()
    with pytest.raises(UsageError, match="is a directory"):
        write_over([of(tmp_path / "a"), of(tmp_path / "b")])
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("write", [write_new, write_over])
def test_modes_are_those_wanted_under_any_umask(tmp_path: Path, write: object) -> None:
    for mask in (0, 0o777):
        previous = os.umask(mask)
        try:
            write(  # type: ignore[operator]
                [of(tmp_path / f"key{mask}"), of(tmp_path / f"cert{mask}", private=False)]
            )
        finally:
            os.umask(previous)
        assert stat.S_IMODE((tmp_path / f"key{mask}").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / f"cert{mask}").stat().st_mode) == 0o644
    assert (tmp_path / "key0").stat().st_nlink == 1


def test_a_file_system_without_links_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write_new([of(tmp_path / "a")])
    assert names(tmp_path) == ["a"]
    with pytest.raises(UsageError, match="a exists already"):
        write_new([of(tmp_path / "a", b"other")])
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


def test_an_error_while_the_data_is_made_leaves_nothing(tmp_path: Path) -> None:
    def outputs() -> object:
        yield of(tmp_path / "a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        output.write_new(outputs())  # type: ignore[arg-type]
    assert names(tmp_path) == []
