"""The ledger under processes that run at once and processes that are killed: nothing is lost, nothing is
issued twice."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from handclasp.ca.directory import LEDGER, Directory
from handclasp.ca.ledger import ISSUING, ROOT, Ledger, NewRecord
from handclasp.ca.lists import listed
from handclasp.ca.revocation import Reason
from handclasp.errors import EnvironmentFault, InternalFault, UsageError
from tests.ca.authority import issued, lists, make_authority, opened
from tests.pki import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKER = Path(__file__).with_name("worker.py")


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    return make_authority(tmp_path)


def _start(*arguments: str | Path | int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@contextlib.contextmanager
def _all(workers: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate(timeout=20)


def _leaves(ca: Path) -> list[x509.Certificate]:
    with Directory(ca) as directory:
        return [one.certificate for one in directory.ledger.records() if one.authority == ISSUING]


def insist(ca: Path, *folders: Path) -> None:
    """What holds whatever happened before."""
    with contextlib.closing(sqlite3.connect(ca / LEDGER)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    recorded = {one.serial_number: one for one in _leaves(ca)}
    assert len(recorded) == len(_leaves(ca)), "a serial was issued twice"
    for folder in folders:
        for path in folder.glob("*.pem"):
            blocks = x509.load_pem_x509_certificates(path.read_bytes())
            assert recorded[blocks[0].serial_number] == blocks[0], "a certificate was lost"
            assert len(blocks) == 2
            key = load_pem_private_key(path.with_suffix(".key").read_bytes(), None)
            assert key.public_key() == blocks[0].public_key()
        for path in folder.glob("*.key"):
            assert path.stat().st_mode & 0o777 == 0o600
    with Directory(ca) as directory:
        for one in listed(directory):
            number = one.value.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            assert number == one.number
            assert one.value.is_signature_valid(
                directory.authority(one.role).certificate.public_key()  # type: ignore[arg-type]
            )


def test_processes_at_once_issue_and_list_without_a_clash(ca: Path, tmp_path: Path) -> None:
    folders = [tmp_path / f"out{n}" for n in range(5)]
    workers = [_start("issue", ca, folder, 8) for folder in folders]
    workers.append(_start("list", ca, tmp_path / "lists", 8))
    workers.append(_start("list", ca, tmp_path / "lists", 8))
    with _all(workers):
        for worker in workers:
            _, errors = worker.communicate(timeout=60)
            assert worker.returncode == 0, errors.decode()
    insist(ca, *folders)
    assert len(_leaves(ca)) == 5 * 8
    with Directory(ca) as directory:
        assert [one.number for one in listed(directory)] == [16, 16]
        written = x509.load_pem_x509_crl((ca / "crl.pem").read_bytes())
        assert written == listed(directory)[0].value


def test_processes_killed_at_any_moment_lose_nothing(ca: Path, tmp_path: Path) -> None:
    chance = random.Random(20)
    folders = []
    for turn in range(4):
        out = [tmp_path / f"out{turn}-{n}" for n in range(2)]
        folders += out
        workers = [_start("issue", ca, folder, 500) for folder in out]
        workers.append(_start("list", ca, tmp_path / "lists", 500))
        with _all(workers):
            limit = time.monotonic() + 30
            while not all(list(folder.glob("*.pem")) for folder in out):
                assert time.monotonic() < limit
                time.sleep(0.01)
            time.sleep(chance.random() / 5)
            for worker in workers:
                worker.send_signal(signal.SIGKILL)
        insist(ca, *folders)
    issued(ca, "after.example", tmp_path / "after")
    insist(ca, *folders, tmp_path / "after")


def _deaths(what: str, ca: Path, folder: Path, serial: str) -> int:
    """How often the work was begun and cut off before it got through."""
    script = "import sys; from tests.ca import worker; worker.fall(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, what, str(ca), str(folder), serial],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return int(done.stdout.split()[-1])


def test_a_ca_whose_making_is_cut_off_is_not_there_at_all(ca: Path, tmp_path: Path) -> None:
    deaths = _deaths("init", ca, tmp_path / "out", "0")
    assert deaths > 20
    made = [folder for folder in (tmp_path / "out").glob("*/ca") if folder.exists()]
    for path in made:
        for role in (ROOT, ISSUING):
            with opened(path, role) as (directory, _):
                assert len(directory.ledger.records()) == 2
    assert 0 < len(made) < deaths


@pytest.mark.parametrize("what", ["issue", "list", "revoke"])
def test_a_process_killed_at_any_step_of_its_work_loses_nothing(
    ca: Path, tmp_path: Path, what: str
) -> None:
    """The worker kills itself before the nth call that touches the disk, n = 1, 2, … to the end."""
    lists(ca)
    victim = issued(ca, "victim.example", tmp_path / "victim")
    deaths = _deaths(what, ca, tmp_path / "out", f"{victim.serial_number:x}")
    assert deaths > {"issue": 8, "list": 12, "revoke": 3}[what]
    insist(ca, *(tmp_path / "out").glob("*"))
    with Directory(ca) as directory:
        if what == "revoke":
            record = directory.ledger.by_serial(victim.serial_number)
            assert record is not None
            assert record.reason is Reason.SUPERSEDED
        if what == "list":
            assert listed(directory)[0].number > 1


def test_a_serial_that_was_issued_is_not_recorded_again(ca: Path, tmp_path: Path) -> None:
    leaf = issued(ca, "a.example", tmp_path)
    other = issued(ca, "b.example", tmp_path)
    with Directory(ca) as directory:
        with pytest.raises(InternalFault, match="UNIQUE"):
            directory.ledger.record([NewRecord(certificate=leaf, name="twice")])
        assert [one.name for one in directory.ledger.records()][2:] == ["a.example", "b.example"]
        found = directory.ledger.by_serial(other.serial_number)
        assert found is not None
        assert found.certificate == other


def test_of_several_certificates_all_are_recorded_or_none(ca: Path, tmp_path: Path) -> None:
    leaf = issued(ca, "a.example", tmp_path)
    with opened(make_authority(tmp_path / "other")) as (other, _):
        stranger = other.issuing.certificate
    with Directory(ca) as directory:
        records = [NewRecord(certificate=one, name="x") for one in (stranger, leaf)]
        with pytest.raises(InternalFault):
            directory.ledger.record(records)
        assert directory.ledger.by_serial(stranger.serial_number) is None


def test_a_list_number_is_not_used_again(ca: Path) -> None:
    lists(ca)
    with Directory(ca) as directory:
        last = directory.ledger.last_list(ROOT)
        assert last is not None
        with pytest.raises(InternalFault):
            directory.ledger.keep_list(ROOT, *last)


def test_a_ledger_is_synced_to_the_last_step(ca: Path) -> None:
    """SQLite's EXTRA: the journal's removal is on disk too before a commit returns."""
    with Directory(ca) as directory:
        assert directory.ledger._number("PRAGMA synchronous") == 3
        assert directory.ledger._database.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_newer_ledger_is_refused_and_left_alone(ca: Path) -> None:
    with contextlib.closing(sqlite3.connect(ca / LEDGER)) as database:
        database.execute("PRAGMA user_version = 2")
    before = (ca / LEDGER).read_bytes()
    with pytest.raises(UsageError, match="newer handclasp"):
        Ledger(ca / LEDGER)
    assert (ca / LEDGER).read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no database, " * 100])
def test_what_is_no_ledger_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / LEDGER
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not a ledger"):
        Ledger(path)


def test_a_damaged_ledger_is_told_as_such(ca: Path, tmp_path: Path) -> None:
    for n in range(20):
        issued(ca, f"a{n}.example", tmp_path)
    data = bytearray((ca / LEDGER).read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    (ca / LEDGER).write_bytes(data)
    with pytest.raises(UsageError, match="damaged"), Directory(ca) as directory:
        directory.ledger.records()


def _read_all(ca: Path) -> None:
    with Directory(ca) as directory:
        directory.ledger.records()
        directory.ledger.last_list(ROOT)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE certificates SET certificate = x'3000'",
        "UPDATE certificates SET serial = 'no serial' WHERE name = 'root'",
        "UPDATE certificates SET reason = 'whim', revoked_at = 0",
        "UPDATE authorities SET certificate = x'3000'",
        "UPDATE lists SET list = x'3000'",
    ],
)
def test_a_damaged_row_is_told_as_such(ca: Path, damage: str) -> None:
    lists(ca)
    with contextlib.closing(sqlite3.connect(ca / LEDGER, isolation_level=None)) as database:
        database.execute(damage)
    with pytest.raises(UsageError, match="damaged"):
        _read_all(ca)


def test_a_ledger_held_by_somebody_else_is_waited_for_and_then_told(
    ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handclasp.ca.ledger._PATIENCE", 0.2)
    with contextlib.closing(sqlite3.connect(ca / LEDGER, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with Directory(ca) as directory, pytest.raises(EnvironmentFault, match="another process"):
            directory.ledger.revoke(1, at=NOW, reason=Reason.UNSPECIFIED)


def test_what_is_revoked_is_listed_until_it_was_listed_once_after_its_end(
    ca: Path, tmp_path: Path
) -> None:
    leaf = issued(ca, "a.example", tmp_path, lifetime=timedelta(hours=2))
    with Directory(ca) as directory:
        directory.ledger.revoke(leaf.serial_number, at=NOW, reason=Reason.KEY_COMPROMISE)
    for hours, named in ((1, True), (3, True), (4, False)):
        path = lists(ca, now=NOW + timedelta(hours=hours))
        crl = x509.load_pem_x509_crl(path.read_bytes())
        entry = crl.get_revoked_certificate_by_serial_number(leaf.serial_number)
        assert (entry is not None) == named, hours
        if entry is not None:
            assert entry.revocation_date_utc == NOW
            assert entry.extensions.get_extension_for_class(x509.CRLReason).value == x509.CRLReason(
                x509.ReasonFlags.key_compromise
            )


def test_no_entry_is_younger_than_its_list(ca: Path, tmp_path: Path) -> None:
    """zlint's e_crl_revocation_time_after_this_update: lists begin before they are made."""
    leaf = issued(ca, "a.example", tmp_path)
    with Directory(ca) as directory:
        directory.ledger.revoke(leaf.serial_number, at=NOW, reason=Reason.SUPERSEDED)
    crl = x509.load_pem_x509_crl(lists(ca).read_bytes())
    (entry,) = crl
    assert entry.revocation_date_utc == crl.last_update_utc == NOW - timedelta(minutes=5)


def test_an_unspecified_reason_is_left_out(ca: Path, tmp_path: Path) -> None:
    leaf = issued(ca, "a.example", tmp_path)
    with Directory(ca) as directory:
        directory.ledger.revoke(leaf.serial_number, at=NOW, reason=Reason.UNSPECIFIED)
    crl = x509.load_pem_x509_crl(lists(ca).read_bytes())
    entry = crl.get_revoked_certificate_by_serial_number(leaf.serial_number)
    assert entry is not None
    assert not list(entry.extensions)


def test_every_reason_can_be_written_into_a_list(ca: Path, tmp_path: Path) -> None:
    for reason in Reason:
        leaf = issued(ca, f"{reason.value.lower()}.example", tmp_path)
        with Directory(ca) as directory:
            directory.ledger.revoke(leaf.serial_number, at=NOW, reason=reason)
    assert len(x509.load_pem_x509_crl(lists(ca).read_bytes())) == len(Reason)


def test_the_file_holds_the_lists_of_both_cas_and_each_is_there_in_der(ca: Path) -> None:
    text = lists(ca).read_bytes()
    end = b"-----END X509 CRL-----\n"
    first, second, rest = text.split(end)
    assert rest == b""
    both = [x509.load_pem_x509_crl(part + end) for part in (first, second)]
    with Directory(ca) as directory:
        names = [directory.issuing.certificate.subject, directory.root.certificate.subject]
    assert [crl.issuer for crl in both] == names
    assert x509.load_der_x509_crl((ca / "issuing.crl").read_bytes()) == both[0]
    assert x509.load_der_x509_crl((ca / "root.crl").read_bytes()) == both[1]
    assert both[0].next_update_utc == NOW + timedelta(days=7)
    assert (ca / "crl.pem").stat().st_mode & 0o777 == 0o644
