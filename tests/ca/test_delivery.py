"""What is handed out: whole files, nothing that is not in the ledger, nothing written over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.backend.certificate import serial_text
from handclasp.ca.delivery import Parcel, deliver
from handclasp.ca.issuing import Order, draw_up, files_of
from handclasp.ca.names import leaf_names
from handclasp.ca.newkeys import new_key
from handclasp.errors import EnvironmentFault, UsageError
from tests.ca.authority import issued, make_authority, opened
from tests.pki import NOW

if TYPE_CHECKING:
    from pathlib import Path


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
    def refuse(*_: object, **__: object) -> None:
        raise EnvironmentFault("the disk is full")

    monkeypatch.setattr("handclasp.ca.delivery.write_new", refuse)
    before = _count(ca)
    with pytest.raises(EnvironmentFault, match="the disk is full") as told:
        _deliver(ca, tmp_path, "a.example")
    with opened(ca) as (directory, _):
        records = directory.ledger.records()
    assert len(records) == before + 1
    assert told.value.hint is not None
    assert f"ca renew {serial_text(records[-1].serial)}" in told.value.hint


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_issued(
    ca: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    before = _count(ca)
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        _deliver(ca, tmp_path / "file", "a.example")
    assert _count(ca) == before


def test_nothing_begins_before_its_issuer(ca: Path, tmp_path: Path) -> None:
    early = NOW - timedelta(minutes=2)
    leaf = issued(ca, "early.example", tmp_path, now=early)
    with opened(ca) as (directory, _):
        assert leaf.not_valid_before_utc == directory.issuing.certificate.not_valid_before_utc
    assert leaf.not_valid_before_utc > early - timedelta(minutes=5)
