"""The ledger: what a CA has issued, revoked and listed (edge: an SQLite file).

A certificate leaves the process only after the transaction that records it is on disk, so no crash
loses a serial; the serial is unique by the table's definition, so none is there twice. The journal is
the rollback journal, synced to the last step (`synchronous=EXTRA`): the whole state is one file at
rest, that can be copied, on any file system with locks, and a committed row outlives a power cut.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.ca.revocation import Reason, Revoked
from handclasp.errors import EnvironmentFault, InternalFault, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

APPLICATION = 0x68636361  # "hcca", in SQLite's application_id: tells a ledger from other databases
VERSION = 1
ROOT, ISSUING = "root", "issuing"
_COLUMNS = "serial, name, authority, certificate, renews, revoked_at, reason"
_PATIENCE = 60.0  # seconds to wait for other processes; a turn takes milliseconds

_SCHEMA = f"""
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE authorities (
  role TEXT PRIMARY KEY CHECK (role IN ('{ROOT}', '{ISSUING}')),
  certificate BLOB NOT NULL,
  key TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE certificates (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  serial TEXT NOT NULL UNIQUE,
  authority TEXT NOT NULL,
  name TEXT NOT NULL,
  not_after INTEGER NOT NULL,
  certificate BLOB NOT NULL,
  renews TEXT,
  revoked_at INTEGER,
  reason TEXT,
  CHECK ((revoked_at IS NULL) = (reason IS NULL))
);
CREATE INDEX certificates_by_name ON certificates (name);
CREATE TABLE lists (
  authority TEXT NOT NULL,
  number INTEGER NOT NULL,
  list BLOB NOT NULL,
  PRIMARY KEY (authority, number)
) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityRecord:
    """A CA of the chain: its certificate, and where its key is: a file name or a pkcs11: URI."""

    certificate: x509.Certificate
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecord:
    """A certificate to be recorded."""

    certificate: x509.Certificate
    name: str
    authority: str = ISSUING
    renews: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A certificate that was issued."""

    serial: int
    name: str
    authority: str
    certificate: x509.Certificate = field(repr=False)
    renews: int | None
    revoked_at: datetime | None
    reason: Reason | None


class Ledger:
    """An open ledger. Every method is one transaction, unless called within `turn()`."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError when it is no ledger or of a newer version, EnvironmentFault when it cannot
        be read."""
        self.path = path
        with _told(self.path):
            # rw: never made anew; where it may not be written SQLite opens it for reading.
            address = f"{path.absolute().as_uri()}?mode=rw"
            self._database = sqlite3.connect(
                address, timeout=_PATIENCE, isolation_level=None, uri=True
            )
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise

    def _prepare(self) -> None:
        if self._number("PRAGMA application_id") != APPLICATION:
            raise UsageError(f"{self.path} is not a ledger of handclasp")
        version = self._number("PRAGMA user_version")
        if version > VERSION:
            raise UsageError(
                f"{self.path} was written by a newer handclasp (ledger version {version}, this one"
                f" knows {VERSION})",
                hint="Use that handclasp, or a newer one.",
            )
        self._database.execute("PRAGMA synchronous = EXTRA")

    @classmethod
    def create(
        cls, path: Path, settings: Mapping[str, str], authorities: Mapping[str, AuthorityRecord]
    ) -> None:
        """A new ledger that knows its CAs; `path` is an empty file."""
        with (
            _told(path),
            contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database,
        ):
            database.execute("PRAGMA synchronous = EXTRA")
            database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            database.executemany("INSERT INTO settings VALUES (?, ?)", settings.items())
            database.executemany(
                "INSERT INTO authorities VALUES (?, ?, ?)",
                [(role, _der(one.certificate), one.key) for role, one in authorities.items()],
            )
        with contextlib.closing(cls(path)) as ledger:
            root, issuing = (authorities[role].certificate for role in (ROOT, ISSUING))
            ledger.record([NewRecord(certificate=root, name="root", authority=ROOT)])
            ledger.record([NewRecord(certificate=issuing, name="issuing", authority=ROOT)])

    def close(self) -> None:
        """Ends the connection."""
        self._database.close()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """All that is done inside is done at once or not at all, and nobody writes in between."""
        if self._database.in_transaction:
            yield
            return
        with _told(self.path):
            self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            with _told(self.path):
                self._database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise

    def setting(self, key: str) -> str | None:
        """A setting made at the CA's making."""
        row = self._row("SELECT value FROM settings WHERE key = ?", key)
        return None if row is None else str(row[0])

    def authority(self, role: str) -> AuthorityRecord:
        """ROOT or ISSUING."""
        row = self._row("SELECT certificate, key FROM authorities WHERE role = ?", role)
        if row is None:
            raise UsageError(f"{self.path} knows no {role} CA", hint="Its making was not finished.")
        with _told(self.path):
            certificate = x509.load_der_x509_certificate(row[0])
        return AuthorityRecord(certificate=certificate, key=str(row[1]))

    def record(self, records: Sequence[NewRecord]) -> None:
        """Records certificates; only then may anybody see them. Raises InternalFault for a serial that
        was issued before."""
        rows = [
            (
                _hexadecimal(one.certificate.serial_number),
                one.authority,
                one.name,
                int(one.certificate.not_valid_after_utc.timestamp()),
                _der(one.certificate),
                None if one.renews is None else _hexadecimal(one.renews),
            )
            for one in records
        ]
        with self.turn(), _told(self.path):
            try:
                self._database.executemany(
                    "INSERT INTO certificates (serial, authority, name, not_after, certificate,"
                    " renews) VALUES (?, ?, ?, ?, ?, ?)",
                    rows,
                )
            except sqlite3.IntegrityError as problem:
                raise InternalFault(f"the ledger refuses the certificate: {problem}") from None

    def records(self) -> list[Record]:
        """All certificates, in the order of issue; the root's own is the first."""
        return self._records("", ())

    def by_serial(self, serial: int) -> Record | None:
        """The certificate with that serial."""
        found = self._records("WHERE serial = ?", (_hexadecimal(serial),))
        return found[0] if found else None

    def by_name(self, name: str) -> list[Record]:
        """The leaves issued under a name, in the order of issue."""
        return self._records("WHERE name = ? AND authority = ?", (name, ISSUING))

    def compromised(self) -> list[Record]:
        """What was revoked because others have its key."""
        return self._records("WHERE reason = ?", (Reason.KEY_COMPROMISE.value,))

    def revoke(self, serial: int, *, at: datetime, reason: Reason) -> None:
        """Marks a certificate as revoked."""
        with self.turn(), _told(self.path):
            self._database.execute(
                "UPDATE certificates SET revoked_at = ?, reason = ? WHERE serial = ?",
                (int(at.timestamp()), reason.value, _hexadecimal(serial)),
            )

    def revoked(self, authority: str, *, ending_after: datetime) -> list[Revoked]:
        """What a CA's next list names: revoked, and not expired at `ending_after`."""
        rows = self._rows(
            "SELECT serial, revoked_at, reason FROM certificates WHERE authority = ?"
            " AND revoked_at IS NOT NULL AND not_after >= ? ORDER BY number",
            (authority, int(ending_after.timestamp())),
        )
        with _told(self.path):
            return [
                Revoked(serial=int(row[0], 16), at=_moment(row[1]), reason=Reason(row[2]))
                for row in rows
            ]

    def last_list(self, authority: str) -> tuple[int, x509.CertificateRevocationList] | None:
        """Number and value of a CA's newest revocation list."""
        row = self._row(
            "SELECT number, list FROM lists WHERE authority = ? ORDER BY number DESC LIMIT 1",
            authority,
        )
        with _told(self.path):
            return None if row is None else (int(row[0]), x509.load_der_x509_crl(row[1]))

    def keep_list(self, authority: str, number: int, made: x509.CertificateRevocationList) -> None:
        """Takes a new list into the ledger, in the place of those before."""
        with self.turn(), _told(self.path):
            data = made.public_bytes(Encoding.DER)
            try:
                self._database.execute(
                    "INSERT INTO lists VALUES (?, ?, ?)", (authority, number, data)
                )
            except sqlite3.IntegrityError as problem:
                raise InternalFault(f"the ledger refuses the revocation list: {problem}") from None
            self._database.execute(
                "DELETE FROM lists WHERE authority = ? AND number < ?", (authority, number)
            )

    def _records(self, where: str, arguments: tuple[str, ...]) -> list[Record]:
        rows = self._rows(
            " ".join(("SELECT", _COLUMNS, "FROM certificates", where, "ORDER BY number")),
            arguments,
        )
        with _told(self.path):
            return [_record(row) for row in rows]

    def _number(self, statement: str) -> int:
        return int(self._database.execute(statement).fetchone()[0])

    def _row(self, statement: str, *arguments: str) -> sqlite3.Row | None:
        rows = self._rows(statement, arguments)
        return rows[0] if rows else None

    def _rows(self, statement: str, arguments: tuple[str | int, ...]) -> list[sqlite3.Row]:
        with _told(self.path):
            return self._database.execute(statement, arguments).fetchall()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """What SQLite says, and what a damaged row makes of its value, as an error for the user."""
    try:
        yield
    except sqlite3.OperationalError as problem:
        if getattr(problem, "sqlite_errorcode", 0) & 0xFF in (
            sqlite3.SQLITE_BUSY,
            sqlite3.SQLITE_LOCKED,
        ):
            raise EnvironmentFault(
                f"the ledger {path} was held by another process for {_PATIENCE:.0f} seconds",
                hint="See which one (`fuser` names it), and run the command again when it is done.",
            ) from None
        raise EnvironmentFault(
            f"the ledger {path} cannot be used: {problem}",
            hint="The directory and the files in it must be this user's to write, on a disk with"
            " space left.",
        ) from None
    except sqlite3.IntegrityError:
        raise
    except (sqlite3.DatabaseError, ValueError) as problem:
        raise UsageError(
            f"{path} is not a ledger, or damaged: {problem}",
            hint="Put the last good copy of the whole directory in its place.",
        ) from None


def _record(row: sqlite3.Row) -> Record:
    """From the columns of _COLUMNS."""
    return Record(
        serial=int(row[0], 16),
        name=str(row[1]),
        authority=str(row[2]),
        certificate=x509.load_der_x509_certificate(row[3]),
        renews=int(row[4], 16) if row[4] else None,
        revoked_at=None if row[5] is None else _moment(row[5]),
        reason=None if row[6] is None else Reason(row[6]),
    )


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _hexadecimal(serial: int) -> str:
    return f"{serial:x}"


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
