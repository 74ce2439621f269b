"""Reading a spec file and writing a first one."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path, PurePosixPath

import pytest
from click.testing import CliRunner

from handclasp.cli.init import init, write_new
from handclasp.errors import EnvironmentFault, ExitCode, UsageError
from handclasp.findings import FindingsError, errors_in
from handclasp.spec.check import check_spec
from handclasp.spec.read import read_spec
from handclasp.spec.starter import starter


def refusal(path: Path | str) -> FindingsError:
    with pytest.raises(FindingsError) as raised:
        read_spec(path)
    assert raised.value.exit_code is ExitCode.USAGE
    assert [finding.where.file for finding in raised.value.findings] == [str(path)]
    return raised.value


def test_a_missing_file_is_named_with_the_way_to_make_one(tmp_path: Path) -> None:
    text = str(refusal(tmp_path / "none.yaml"))
    assert "the file does not exist [spec-unreadable]" in text
    assert "handclasp init" in text


def test_a_directory_is_no_spec(tmp_path: Path) -> None:
    assert "this is a directory" in str(refusal(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("{}")
    path.chmod(0)
    assert "this user may not read the file" in str(refusal(path))


def test_permission_denied_has_its_own_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_arguments: object, **_keywords: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    assert "this user may not read the file" in str(refusal(tmp_path / "s.yaml"))


def test_other_reasons_are_told_in_the_systems_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "Not a directory" in str(refusal(tmp_path / "file" / "s.yaml"))
    assert "embedded null " in str(refusal("a\0b"))  # byte, or from Python 3.13 on character


def test_an_endless_file_is_read_up_to_the_bound_only() -> None:
    assert "a spec has at most" in str(refusal("/dev/zero"))


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    text = b"# " + b"x" * 100_000 + b"\nidentities: {a: {certificate: a.pem}}\n"

    def write() -> None:
        time.sleep(0.1)
        with pipe.open("wb") as stream:  # more than a pipe holds, and in pieces
            for start in range(0, len(text), 40_000):
                stream.write(text[start : start + 40_000])
                stream.flush()
                time.sleep(0.05)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert set(read_spec(pipe).spec.identities) == {"a"}
    finally:
        writer.join()


@pytest.mark.parametrize("written", [None, b"identities:"])
def test_a_pipe_without_an_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bytes | None
) -> None:
    monkeypatch.setattr("handclasp.spec.read._PATIENCE_SECONDS", 0.2)
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    other_end = os.open(pipe, os.O_RDWR)
    try:
        if written:
            os.write(other_end, written)
        assert "did not come to an end in 0.2 s" in str(refusal(pipe))
    finally:
        os.close(other_end)
    assert "did not come to an end in 0.2 s" in str(refusal(pipe))


def test_paths_are_relative_to_the_file_whatever_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mit Leerzeichen ü"
    folder.mkdir()
    (folder / "hop.yaml").write_text("identities: {a: {certificate: certs/a.pem}}\n")
    monkeypatch.chdir(tmp_path)
    loaded = read_spec("mit Leerzeichen ü/hop.yaml")
    expected = PurePosixPath(folder / "certs/a.pem")
    assert loaded.spec.identities["a"].certificate == expected
    assert loaded.name == "hop"
    assert loaded.source == "mit Leerzeichen ü/hop.yaml"


@pytest.mark.parametrize("kind", ["egress", "ingress", "both"])
def test_init_writes_a_file_that_loads_without_errors(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "handclasp.yaml"
    result = CliRunner().invoke(init, [kind, "-o", str(path)])
    assert result.exit_code == 0
    assert f"handclasp check -c {path}" in result.stderr
    assert result.stdout == ""
    loaded = read_spec(path)
    assert not errors_in(check_spec(loaded, insecure_allowed=False))
    assert bool(loaded.spec.egress) is (kind != "ingress")
    assert bool(loaded.spec.ingress) is (kind != "egress")
    assert list(tmp_path.iterdir()) == [path]


def test_init_offers_a_unix_socket_with_a_group() -> None:
    assert "# listen: unix:" in starter("egress")
    assert "# group: " in starter("egress")


def test_init_prints_with_a_dash() -> None:
    result = CliRunner().invoke(init, ["egress", "-o", "-"])
    assert result.stdout == starter("egress")


def test_init_needs_to_be_told_which_link() -> None:
    result = CliRunner().invoke(init, [])
    assert result.exit_code == 2
    assert "egress|ingress|both" in result.output


def test_init_never_replaces_a_file_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "handclasp.yaml"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_new(path, "new", replace=False)
    assert path.read_text() == "mine"
    write_new(path, "new", replace=True)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_init_leaves_nothing_behind_when_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="cannot be written: No such file or directory"):
        write_new(tmp_path / "none" / "handclasp.yaml", "new", replace=False)
    (tmp_path / "handclasp.yaml").mkdir()
    with pytest.raises(EnvironmentFault, match="Is a directory"):
        write_new(tmp_path / "handclasp.yaml", "new", replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["handclasp.yaml"]
