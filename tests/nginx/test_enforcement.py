"""What workers look at in every request: a policy is one rename, and old answers are wiped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from handclasp.errors import EnvironmentFault
from handclasp.nginx.durable import Access
from handclasp.nginx.enforcement import Enforcement, wipe

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def enforcement(tmp_path: Path) -> Enforcement:
    for name in ("policy", "denied", "answers"):
        (tmp_path / name).mkdir()
    return Enforcement(tmp_path, Access(0o700), tmp_path / "answers")


def put(enforcement: Enforcement, digest: str) -> str:
    name = enforcement.policy_name(digest)
    enforcement.set_policy(name)
    return name


def test_the_same_policy_keeps_its_name_and_one_of_before_gets_another(
    enforcement: Enforcement,
) -> None:
    first, second = put(enforcement, "aa"), put(enforcement, "bb")
    assert put(enforcement, "bb") == second
    third = put(enforcement, "aa")
    assert len({first, second, third}) == 3, "the answers of before are wiped"
    assert enforcement.policy() == third


def test_a_policy_in_force_is_a_directory_and_few_are_kept(
    enforcement: Enforcement, tmp_path: Path
) -> None:
    names = [put(enforcement, digest) for digest in ("aa", "bb", "cc", "dd")]
    assert (tmp_path / "policy" / "current").resolve().is_dir()
    left = {path.name for path in (tmp_path / "policy").iterdir()}
    assert left == {"current", *names[-2:]}
    assert enforcement.set_policy(names[-1]) is False


def test_denied_files_stay_until_what_they_stand_for_does_not_hold(
    enforcement: Enforcement, tmp_path: Path
) -> None:
    def there() -> set[tuple[str, str]]:
        return {(one.parent.name, one.name) for one in (tmp_path / "denied").glob("*/*")}

    holding = {("CN=A", "01"), ("CN=A", "02")}

    def holds(issuer: str, serial: str) -> bool:
        return (issuer, serial) in holding

    wanted = {("a", "01"): "CN=A", ("a", "02"): "CN=A", ("b", "01"): "CN=B"}
    enforcement.set_denied(wanted, holds)
    assert there() == set(wanted)
    enforcement.set_denied({}, holds)
    assert there() == {("a", "01"), ("a", "02")}, "another plan may still serve"
    holding.clear()
    enforcement.set_denied({("a", "02"): "CN=A"}, holds)
    assert there() == {("a", "02")}
    assert enforcement.denied()
    enforcement.set_denied({}, holds)
    assert not enforcement.denied()


def test_answers_are_found_and_emptied_but_left_to_nginx(
    enforcement: Enforcement, tmp_path: Path
) -> None:
    file = tmp_path / "answers" / "a" / "bc" / "0123"
    file.parent.mkdir(parents=True)
    file.write_text("the answer")
    assert enforcement.answers() == (file,)
    wipe([file, file.with_name("gone")])
    assert file.read_bytes() == b""


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="put a policy in force"):
        Enforcement(tmp_path, Access(0o700), tmp_path).set_policy("aa-1")


@pytest.mark.parametrize(("many", "most"), [(10, 30), (2000, 1)])
def test_files_that_are_there_cost_nothing_and_many_new_ones_are_waited_for_together(
    enforcement: Enforcement, monkeypatch: pytest.MonkeyPatch, many: int, most: int
) -> None:
    waits: list[object] = []
    wanted = {("a", f"{number:04X}"): "CN=A" for number in range(many)}
    fsync, sync = os.fsync, os.sync

    def noted_all() -> None:
        waits.append(None)
        sync()

    def noted(file: int) -> None:
        waits.append(file)
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "sync", noted_all)
    (enforcement._denied / "a").mkdir()
    enforcement.set_denied(wanted, lambda *_: True)
    assert 0 < len(waits) <= most
    waits.clear()
    enforcement.set_denied(wanted, lambda *_: True)
    assert waits == []
    enforcement.set_denied({**wanted, ("a", "FFFFFF"): "CN=A"}, lambda *_: True)
    assert len(waits) == 2, "the file and its directory"
    assert (enforcement._denied / "a" / "FFFFFF").stat().st_mode & 0o777 == 0o600
