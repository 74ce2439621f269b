"""Throw-away directories: gone afterwards, gone at the next start after a kill, never while in use."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from handclasp.agent.scratch import scratch_directory, sweep_scratch

HOLDER = """
import time
from handclasp.agent.scratch import scratch_directory
with scratch_directory("test") as folder:
    (folder / "key.pem").write_text("secret")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_private_and_gone_afterwards(temporary: Path) -> None:
    with scratch_directory("test") as folder:
        assert folder.parent == temporary
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "key.pem").write_text("secret")
    assert list(temporary.iterdir()) == []


def test_that_of_a_killed_process_is_swept_and_that_of_a_living_one_is_not(temporary: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        folder = Path(holder.stdout.readline().strip())
        assert sweep_scratch() == ()
        with scratch_directory("other"):
            assert (folder / "key.pem").exists()
    finally:
        holder.kill()
        holder.communicate(timeout=5)
    assert sweep_scratch() == (folder,)
    assert list(temporary.iterdir()) == []


def test_links_and_what_has_another_name_are_left_alone(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (temporary / "handclasp-passing-x").symlink_to(elsewhere)
    (temporary / "handclasp-mine").mkdir()
    assert sweep_scratch() == ()
    assert len(list(temporary.iterdir())) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away takes root")
def test_that_of_another_user_is_left_alone(temporary: Path) -> None:
    other = temporary / "handclasp-passing-x"
    other.mkdir(mode=0o700)
    os.chown(other, 65534, 65534)
    assert sweep_scratch() == ()
    assert other.is_dir()
