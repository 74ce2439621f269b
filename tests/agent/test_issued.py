"""Issued material on disk: whole or not at all, for its owner alone, and told apart when it is damaged."""

from __future__ import annotations

import errno
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from handclasp.agent import issued
from handclasp.agent.issued import (
    Kept,
    files_of,
    identities_kept,
    load_issued,
    place_of,
    read_kept,
    write_issued,
)
from handclasp.certs.secret import Secret
from handclasp.errors import EnvironmentFault
from handclasp.findings import errors_in
from handclasp.issuers.judge import Given, in_order
from handclasp.nginx.state import StateDirectory
from tests import pki
from tests.pki import NOW

CA = pki.authority("Keeping CA")
BETWEEN = pki.authority("Keeping intermediate", issuer=CA)
ORDER = {"names": ["dns:svc-b.internal"]}


def given(label: str = "kept", **options: Any) -> Given:
    pair = pki.leaf(BETWEEN, "svc-b", key_label=label, **options)
    chain = [pair.certificate, BETWEEN.certificate]
    made = in_order(chain, Secret(pair.private_key), pair.private_key.public_key())
    assert made is not None
    return made


def keep(state: Path, one: Given | None = None, **more: Any) -> str:
    return write_issued(state, "svc-b", one or given(), order=ORDER, obtained=NOW, **more)


def kept(state: Path) -> Kept:
    found = read_kept(state, "svc-b")
    assert found is not None
    return found


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    one = given()
    wish = NOW + timedelta(days=3)
    assert keep(tmp_path / "state", one, renew_at=wish) == "1"
    back = kept(tmp_path / "state")
    assert (back.material.leaf, back.material.chain) == (one.leaf, one.chain)
    assert back.material.renewed
    assert back.order == ORDER
    assert back.asked == wish
    assert not back.broken
    assert back.span is not None
    assert (back.span.begin, back.span.end) == (NOW, one.ends)
    assert identities_kept(tmp_path / "state") == ("svc-b",)


def test_it_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keep(tmp_path / "state")
    finally:
        os.umask(before)
    for path in (tmp_path / "state").rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if not path.is_symlink():
            assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_state_directory_that_begins_with_it_is_taken_as_ours(tmp_path: Path) -> None:
    keep(tmp_path / "state")
    with StateDirectory.open(tmp_path / "state", worker_group=None) as state:
        assert state.recovered is None
    assert not kept(tmp_path / "state").broken


def test_each_is_a_version_of_its_own_and_old_ones_go(tmp_path: Path) -> None:
    versions = [keep(tmp_path, given(f"key {number % 3}")) for number in range(6)]
    assert versions == ["1", "2", "3", "4", "5", "6"]
    there = {path.name for path in place_of(tmp_path, "svc-b").iterdir()}
    assert there == {"4", "5", "6", "current"}
    assert kept(tmp_path).version == "6"


def test_a_crash_before_the_link_moves_leaves_the_old_one_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = given("first")
    keep(tmp_path, first)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(issued, "_point", crash)
        with pytest.raises(KeyboardInterrupt):
            keep(tmp_path, given("second"))
    assert kept(tmp_path).material.leaf == first.leaf
    assert keep(tmp_path, given("third")) == "3"


def test_half_a_version_is_swept_and_never_read(tmp_path: Path) -> None:
    keep(tmp_path)
    half = place_of(tmp_path, "svc-b") / ".2.new"
    half.mkdir()
    (half / "key.pem").write_bytes(b"half")
    assert keep(tmp_path) == "2"
    assert not half.exists()


def test_a_directory_that_cannot_be_written_is_one_sentence_and_nothing_changes(
    tmp_path: Path,
) -> None:
    (tmp_path / "issued").write_text("in the way")
    with pytest.raises(EnvironmentFault, match="cannot keep an issued certificate in"):
        keep(tmp_path)
    assert (tmp_path / "issued").read_text() == "in the way"


def test_writers_at_the_same_time_take_turns(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda number: keep(tmp_path, given(f"w{number}")), range(12)))
    assert sorted(versions, key=int) == [str(number) for number in range(1, 13)]
    assert not kept(tmp_path).broken


def test_a_writer_that_does_not_end_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from handclasp.nginx.claim import take_lock

    keep(tmp_path)
    monkeypatch.setattr(issued, "_PATIENCE_SECONDS", 0.1)
    lock = take_lock(tmp_path / "issued" / "lock")
    try:
        with pytest.raises(EnvironmentFault, match="is in use by another handclasp"):
            keep(tmp_path)
    finally:
        os.close(lock)


def test_nothing_there_is_nothing(tmp_path: Path) -> None:
    assert read_kept(tmp_path, "svc-b") is None
    assert identities_kept(tmp_path) == ()
    assert errors_in(load_issued(tmp_path, "svc-b").findings)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_a_record_that_cannot_be_read_is_nothing(tmp_path: Path, content: bytes) -> None:
    keep(tmp_path)
    (place_of(tmp_path, "svc-b") / "1" / "issued.json").write_bytes(content)
    assert read_kept(tmp_path, "svc-b") is None


@pytest.mark.parametrize("times", [{"obtained": 7}, {"obtained": "yesterday"}, {}])
def test_a_record_without_times_falls_back_to_the_certificates(
    tmp_path: Path, times: dict[str, object]
) -> None:
    one = given()
    keep(tmp_path, one)
    record = place_of(tmp_path, "svc-b") / "1" / "issued.json"
    record.write_text(json.dumps({"order": ORDER, **times}))
    span = kept(tmp_path).span
    assert span is not None
    assert span.begin == one.leaf.not_valid_before_utc


@pytest.mark.parametrize("name", ["cert.pem", "key.pem"])
def test_damaged_files_are_broken(tmp_path: Path, name: str) -> None:
    keep(tmp_path)
    (place_of(tmp_path, "svc-b") / "1" / name).write_bytes(b"")
    assert kept(tmp_path).broken


def test_a_key_that_does_not_fit_is_broken(tmp_path: Path) -> None:
    keep(tmp_path)
    other = pki.leaf(CA, key_label="another").key_pem
    (place_of(tmp_path, "svc-b") / "1" / "key.pem").write_bytes(other)
    assert kept(tmp_path).broken


def test_certificate_and_key_are_found_by_names_that_stay(tmp_path: Path) -> None:
    keep(tmp_path)
    material = load_issued(tmp_path, "svc-b")
    assert (material.certificate_file, material.key_file) == files_of(tmp_path, "svc-b")
    assert material.certificate_file.parts[-2] == "current"


# -- crash points, enumerated: every call that changes something on disk


class _Crash(BaseException):
    pass


_CALLS: tuple[tuple[Any, str], ...] = (
    (os, "open"),
    (os, "write"),
    (os, "fsync"),
    (os, "fchmod"),
    (Path, "mkdir"),
    (Path, "rename"),
    (Path, "symlink_to"),
    (Path, "unlink"),
)


def write_until(
    state: Path, new: Given, step: int, problem: BaseException, monkeypatch: pytest.MonkeyPatch
) -> BaseException | None:
    """Writes a new version; the `step`th change on disk fails. What was raised, None when all was done."""
    left = step

    def failing(real: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise problem
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patched:
        for owner, name in _CALLS:
            patched.setattr(owner, name, failing(getattr(owner, name)))
        try:
            keep(state, new)
        except BaseException as raised:  # noqa: BLE001  whichever it is, it is looked at
            return raised
    return None if left > 0 else problem


@pytest.mark.parametrize("full", [False, True])
def test_a_crash_or_a_full_disk_at_any_step_leaves_a_whole_pair_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    """Before the link moves it is the old one, afterwards the new one; the next write works."""
    old, new = given("older"), given("newer")
    steps, seen = 0, set()
    for step in range(1, 200):
        state = tmp_path / str(step)
        keep(state, old)
        problem = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if full else _Crash()
        raised = write_until(state, new, step, problem, monkeypatch)
        back = kept(state)
        assert not back.broken
        assert back.material.leaf in (old.leaf, new.leaf)
        seen.add(back.material.leaf == new.leaf)
        if raised is None:
            steps = step
            break
        if full and raised is not problem:
            assert isinstance(raised, EnvironmentFault)
            assert "no space is left" in raised.message
        keep(state, given("next"))
        assert not kept(state).broken
        assert not [path for path in place_of(state, "svc-b").iterdir() if path.name[0] == "."]
    assert steps > 20
    assert seen == {False, True}
