"""Lists at the edges: late processes, wrong clocks, what was on them before, what is on the disk."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from handclasp.ca.directory import LEDGER, Directory
from handclasp.ca.ledger import ISSUING
from handclasp.ca.lists import renew_list, write_lists
from handclasp.ca.revocation import Reason
from handclasp.errors import EnvironmentFault, UsageError
from handclasp.findings import FindingsError
from tests.ca.authority import WEEK, issued, lists, make_authority, opened
from tests.pki import NOW


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    return make_authority(tmp_path)


def _issuing(path: Path) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl(path.read_bytes())


def test_a_process_that_waited_for_its_turn_makes_no_older_list(ca: Path) -> None:
    first = _issuing(lists(ca, now=NOW + timedelta(minutes=2)))
    second = _issuing(lists(ca, now=NOW))
    assert second.last_update_utc == first.last_update_utc
    with pytest.raises(FindingsError) as told:
        lists(ca, now=NOW - timedelta(minutes=4))
    assert [one.slug for one in told.value.findings] == ["clock-skew"]


def test_what_has_not_ended_by_the_right_clock_is_listed_after_a_wrong_one(
    ca: Path, tmp_path: Path
) -> None:
    leaf = issued(ca, "a.example", tmp_path, lifetime=timedelta(hours=2))
    with Directory(ca) as directory:
        directory.ledger.revoke(leaf.serial_number, at=NOW, reason=Reason.KEY_COMPROMISE)
    assert len(_issuing(lists(ca, now=NOW + timedelta(hours=10)))) == 0
    with opened(ca) as (directory, signer):
        made = renew_list(
            directory,
            ISSUING,
            signer,
            now=NOW + timedelta(hours=1),
            next_update=WEEK,
            clock_is_right=True,
        )
    assert [one.serial_number for one in made.value] == [leaf.serial_number]


def test_what_is_listed_and_not_in_the_ledger_stays_listed_with_its_reason(
    ca: Path, tmp_path: Path
) -> None:
    leaf = issued(ca, "a.example", tmp_path)
    with Directory(ca) as directory:
        directory.ledger.revoke(leaf.serial_number, at=NOW, reason=Reason.KEY_COMPROMISE)
    before = list(_issuing(lists(ca)))
    with contextlib.closing(sqlite3.connect(ca / LEDGER, isolation_level=None)) as database:
        database.execute("DELETE FROM certificates WHERE name = 'a.example'")
    after = list(_issuing(lists(ca)))
    assert [(one.serial_number, one.revocation_date_utc) for one in before] == [
        (one.serial_number, one.revocation_date_utc) for one in after
    ]
    (reason,) = [one.value for one in after[0].extensions]
    assert reason == x509.CRLReason(x509.ReasonFlags.key_compromise)


def test_a_list_beside_the_ca_that_is_anothers_counts_for_nothing(ca: Path, tmp_path: Path) -> None:
    other = make_authority(tmp_path / "other")
    lists(other)
    lists(other)
    (ca / "issuing.crl").write_bytes((other / "issuing.crl").read_bytes())
    lists(ca)
    with Directory(ca) as directory:
        last = directory.ledger.last_list(ISSUING)
    assert last is not None
    assert last[0] == 1


def test_files_are_written_in_the_ledgers_turn(ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists(ca)
    monkeypatch.setattr("handclasp.ca.ledger._PATIENCE", 0.1)
    with contextlib.closing(sqlite3.connect(ca / LEDGER, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with Directory(ca) as directory, pytest.raises(EnvironmentFault, match="another process"):
            write_lists(directory, ca / "crl.pem")


def test_files_are_judged_again_when_they_are_written(ca: Path, tmp_path: Path) -> None:
    """What came into their place since the command began."""
    lists(ca)
    mine = tmp_path / "mine"
    mine.write_text("precious")
    with Directory(ca) as directory, pytest.raises(UsageError, match="is not replaced"):
        write_lists(directory, mine)
    assert mine.read_text() == "precious"


def test_the_ledger_keeps_the_newest_list_only(ca: Path) -> None:
    for _ in range(3):
        lists(ca)
    with contextlib.closing(sqlite3.connect(ca / LEDGER)) as database:
        rows = database.execute("SELECT authority, number FROM lists ORDER BY authority").fetchall()
    assert rows == [("issuing", 3), ("root", 3)]


def test_directories_are_synced_after_what_is_put_into_them(
    ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            folder = Path(f"/proc/self/fd/{descriptor}").readlink()
            synced.append((folder, {path.name for path in folder.iterdir()}))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    lists(ca)
    assert {"issuing.crl", "root.crl", "crl.pem"} <= [names for at, names in synced if at == ca][-1]
    issued(ca, "a.example", tmp_path / "out")
    first = next(names for at, names in synced if at == tmp_path / "out")
    assert ("a.example.key" in first, "a.example.pem" in first) == (True, False)
    assert "a.example.pem" in synced[-1][1]
