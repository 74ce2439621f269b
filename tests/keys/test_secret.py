"""A secret comes from a file or a variable, and its source is named when it cannot be had."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from handclasp.errors import UsageError
from handclasp.keys import files
from handclasp.keys.secret import SecretSource

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("written", "secret"),
    [
        (b"s3cret", b"s3cret"),
        (b"s3cret\n", b"s3cret"),
        (b"s3cret\r\n", b"s3cret"),
        (b" s3cret \n", b" s3cret "),
        (b"two\nlines\n\n", b"two\nlines\n"),
        (b"", b""),
    ],
)
def test_one_trailing_newline_is_stripped_and_nothing_else(
    written: bytes, secret: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(written)
    assert SecretSource(file=tmp_path / "secret").read().reveal() == secret
    monkeypatch.setenv("HC_TEST_SECRET", written.decode())
    assert SecretSource(env="HC_TEST_SECRET").read().reveal() == secret


def test_a_missing_source_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HC_TEST_SECRET", raising=False)
    with pytest.raises(UsageError, match=r"HC_TEST_SECRET .* is not set"):
        SecretSource(env="HC_TEST_SECRET").read()
    with pytest.raises(UsageError, match=r"gone cannot be read: No such file"):
        SecretSource(file=tmp_path / "gone").read()
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        SecretSource(file=tmp_path).read()


def test_a_file_too_large_for_a_passphrase_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(64 * 1024 + 1))
    with pytest.raises(UsageError, match="larger than 64 KiB"):
        SecretSource(file=tmp_path / "big").read()


def test_a_pipe_gives_a_secret_and_a_silent_one_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen(["sh", "-c", f"echo open sesame > {tmp_path / 'fifo'}"]) as writer:
        assert SecretSource(file=tmp_path / "fifo").read().reveal() == b"open sesame"
        writer.wait(timeout=20)
    monkeypatch.setattr(files, "PIPE_SILENCE_SECONDS", 0.05)
    with pytest.raises(UsageError, match="nothing came out of the pipe"):
        SecretSource(file=tmp_path / "fifo").read()


def test_a_source_is_a_file_or_a_variable_not_both_and_not_neither(tmp_path: Path) -> None:
    for arguments in ({}, {"file": tmp_path, "env": "X"}):
        with pytest.raises(ValueError, match="either"):
            SecretSource(**arguments)  # type: ignore[arg-type]


def test_neither_source_nor_error_shows_the_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HC_TEST_SECRET", "s3cret")
    source = SecretSource(env="HC_TEST_SECRET")
    assert "s3cret" not in f"{source} {source!r} {source.read()!r}"
    assert str(source) == "environment variable HC_TEST_SECRET"
