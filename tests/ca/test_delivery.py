"""What is handed out: whole files, nothing that is not in the ledger, nothing written over."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import Any

import pytest

from handclasp.ca.delivery import Parcel, deliver, place
from handclasp.ca.issuing import Order, draw_up, files_of
from handclasp.ca.names import leaf_names
from handclasp.ca.newkeys import new_key
from handclasp.errors import EnvironmentFault, UsageError
from handclasp.keys.output import Output
from tests.ca.authority import make_authority, opened
from tests.pki import NOW

RATE = 1000 / 60  # certificates a second


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("delivery"))


def _deliver(ca: Path, folder: Path, *names: str, key: Any = None) -> list[int]:
    public = (key or new_key("p256")).public_key()
    with opened(ca) as (directory, signer):
        parcels = []
        for name in names:
            order = Order(name=name, public_key=public, names=leaf_names(name, ()))
            drawn = draw_up(directory, order, NOW)
            parcels.append(Parcel(drawn=drawn, certificate_path=files_of(folder, name)[0]))
        return [one.serial_number for one in deliver(directory, signer, parcels)]


def _count(ca: Path) -> int:
    with opened(ca) as (directory, _):
        return len(directory.ledger.records())


@pytest.mark.parametrize("private", [True, False])
def test_a_file_is_whole_private_where_it_must_be_and_never_written_over(
    tmp_path: Path, private: bool
) -> None:
    output = Output(path=tmp_path / "a.key", data=b"x" * 9999, private=private)
    place(output)
    assert output.path.read_bytes() == output.data
    assert output.path.stat().st_mode & 0o777 == (0o600 if private else 0o644)
    with pytest.raises(UsageError, match="exists already"):
        place(Output(path=output.path, data=b"y", private=private))
    assert output.path.read_bytes() == output.data
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]


@pytest.mark.parametrize(
    ("number", "works"), [(errno.EPERM, True), (errno.EOPNOTSUPP, True), (errno.EIO, False)]
)
def test_a_file_system_without_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, works: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    output = Output(path=tmp_path / "a.pem", data=b"x", private=False)
    if works:
        place(output)
        assert output.path.read_bytes() == b"x"
        assert len(list(tmp_path.iterdir())) == 1
        return
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        place(output)
    assert not list(tmp_path.iterdir())


def test_two_certificates_for_one_file_are_refused_before_any_is_issued(
    ca: Path, tmp_path: Path
) -> None:
    before = _count(ca)
    with pytest.raises(UsageError, match="one file"):
        _deliver(ca, tmp_path, "a.example", "A.example".lower())
    assert _count(ca) == before


def test_a_certificate_that_is_recorded_and_not_written_is_told_with_the_way_out(
    ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise EnvironmentFault("the disk is full")

    monkeypatch.setattr("handclasp.ca.delivery.place", refuse)
    before = _count(ca)
    with pytest.raises(EnvironmentFault, match="the disk is full") as told:
        _deliver(ca, tmp_path, "a.example")
    with opened(ca) as (directory, _):
        records = directory.ledger.records()
    assert len(records) == before + 1
    assert told.value.hint is not None
    assert f"ca renew {records[-1].serial:x}" in told.value.hint


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_issued(
    ca: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    before = _count(ca)
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        _deliver(ca, tmp_path / "file", "a.example")
    assert _count(ca) == before


def test_a_thousand_certificates_a_minute_are_no_effort(ca: Path, tmp_path: Path) -> None:
    """One after the other, each with its own transaction and file; bench/issuing.py measures."""
    key = new_key("p256")
    begun = time.monotonic()
    for number in range(50):
        _deliver(ca, tmp_path, f"a{number}.example", key=key)
    assert 50 / (time.monotonic() - begun) > RATE
