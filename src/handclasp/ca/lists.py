"""The revocation lists of both CAs, kept in the ledger and written out (edge).

A list's number is taken, the list signed and the row written in one transaction, so numbers only rise.
The files are written in a turn of their own, from what the ledger holds by then: of two processes the
slower one cannot put an older list over a newer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.ca.ledger import ISSUING, ROOT
from handclasp.ca.profile import BACKDATED
from handclasp.ca.revocation import Reason, Revoked, revocation_list
from handclasp.certs import facts
from handclasp.certs.counting import counted
from handclasp.certs.read import read_objects
from handclasp.certs.signatures import list_signed_by
from handclasp.errors import ExitCode, InternalFault, UsageError
from handclasp.findings import FindingsError, Where, found
from handclasp.keys.files import read_file, replace_file
from handclasp.keys.output import PUBLIC, cannot_write

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

    from handclasp.ca.directory import Directory
    from handclasp.ca.profile import Signer

BUNDLE = "crl.pem"
"""Both lists, for nginx's `ssl_crl`, which wants one of each CA of the chain."""


_ELSEWHERE = "Name another file with -o; `-o -` is standard output."


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A CA's list in effect."""

    role: str
    number: int
    value: x509.CertificateRevocationList


def renew_list(
    directory: Directory,
    role: str,
    signer: Signer,
    *,
    now: datetime,
    next_update: timedelta,
    clock_is_right: bool = False,
) -> Listed:
    """Signs a CA's next list into the ledger; it ends with the CA's certificate at the latest.

    What has expired is named once more after its end and then no more (RFC 5280 section 3.3). What is on
    the last list and not in the ledger stays on it. `clock_is_right`: the last list may be from the
    future.

    Raises UsageError for a list that is newer than the ledger, FindingsError for one from the future.
    """
    ledger = directory.ledger
    with ledger.turn():
        last = ledger.last_list(role)
        _refuse_older_ledger(directory, role)
        begin, number, since = now, 1, now
        entries: list[Revoked] = []
        if last is not None:
            number, since = last[0] + 1, last[1].last_update_utc
            begin = now if clock_is_right else _not_before(directory, role, last[1], now)
            entries = [
                _revoked(one) for one in last[1] if ledger.by_serial(one.serial_number) is None
            ]
        entries += ledger.revoked(role, ending_after=min(since, begin))
        end = min(now + next_update, signer.certificate.not_valid_after_utc)
        made = revocation_list(signer, entries, number=number, now=begin, next_update=end - begin)
        ledger.keep_list(role, number, made)
        return Listed(role=role, number=number, value=made)


def _written(directory: Directory, role: str) -> tuple[int, x509.CertificateRevocationList] | None:
    """Number and value of the list beside the CA, None where there is none of this CA."""
    data = read_file(directory.path / f"{role}.crl").data
    try:
        value = x509.load_der_x509_crl(data or b"")
        key = directory.authority(role).certificate.public_key()
        if not list_signed_by(value, key):
            return None
        number = value.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return None
    return number, value


def _newer(directory: Directory, role: str) -> tuple[int, x509.CertificateRevocationList] | None:
    """The list beside the CA where the ledger does not reach so far."""
    written, last = _written(directory, role), directory.ledger.last_list(role)
    return written if written and (last is None or written[0] > last[0]) else None


def _refuse_older_ledger(directory: Directory, role: str) -> None:
    written, last = _newer(directory, role), directory.ledger.last_list(role)
    if written is None:
        return
    knows = "of none" if last is None else f"the lists to {last[0]} only"
    lost = sum(directory.ledger.by_serial(one.serial_number) is None for one in written[1])
    also = (
        f"; {counted(lost, 'certificate')} on it {'is' if lost == 1 else 'are'} not in the ledger"
        if lost
        else ""
    )
    raise UsageError(
        f"{directory.path / f'{role}.crl'} is list {written[0]}, and the ledger knows {knows}: an older"
        f" copy of the ledger was put back{also}",
        hint="Put the newest ledger in its place. If there is none, --adopt takes over the revocations of"
        " that list and goes on from its number; what was issued since and not revoked stays unknown.",
    )


def adopt_lists(directory: Directory) -> None:
    """Takes lists beside the CA that are newer than the ledger into it, with their revocations."""
    ledger = directory.ledger
    with ledger.turn():
        for role in (ISSUING, ROOT):
            if (newer := _newer(directory, role)) is None:
                continue
            ledger.keep_list(role, *newer)
            for entry in map(_revoked, newer[1]):
                record = ledger.by_serial(entry.serial)
                if record is not None and record.revoked_at is None:
                    ledger.revoke(entry.serial, at=entry.at, reason=entry.reason)


def _revoked(entry: x509.RevokedCertificate) -> Revoked:
    try:
        reason = Reason(entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value)
    except x509.ExtensionNotFound:
        reason = Reason.UNSPECIFIED
    return Revoked(serial=entry.serial_number, at=entry.revocation_date_utc, reason=reason)


def _not_before(
    directory: Directory, role: str, last: x509.CertificateRevocationList, now: datetime
) -> datetime:
    """The moment of a list after `last`. A process that waited for its turn may be a little late; a clock
    that was put back would make a list that ends before the one it replaces."""
    made = last.last_update_utc + BACKDATED
    if now >= made - BACKDATED:
        return max(now, made)
    seen = (
        f"it is {facts.date(now)} by this machine, and the last list was made on {facts.date(made)}"
    )
    fix = (
        "Set the clock right. If it is right and was wrong when that list was made, give"
        " --clock-is-right."
    )
    where = Where(file=str(directory.path / f"{role}.crl"))
    raise FindingsError(
        [found("clock-skew", seen, where=where, fix=fix)], exit_code=ExitCode.FINDINGS
    )


def listed(directory: Directory) -> list[Listed]:
    """The lists in the ledger, the issuing CA's first."""
    lists = []
    for role in (ISSUING, ROOT):
        last = directory.ledger.last_list(role)
        if last is not None:
            lists.append(Listed(role=role, number=last[0], value=last[1]))
    return lists


def pem_of(lists: list[Listed]) -> bytes:
    """All of them, one after the other."""
    return b"".join(one.value.public_bytes(Encoding.PEM) for one in lists)


def check_place(directory: Directory, output: Path) -> None:
    """Raises UsageError when the file there is anything but revocation lists, which alone are replaced."""
    for path in (output, *(directory.path / f"{role}.crl" for role in (ISSUING, ROOT))):
        _refuse_other(path)
    if output.absolute() in {
        (directory.path / f"{role}.crl").absolute() for role in (ISSUING, ROOT)
    }:
        raise UsageError(f"{output} is where one of the lists goes by itself", hint=_ELSEWHERE)


def _refuse_other(path: Path) -> None:
    read = read_file(path)
    if read.problem is not None and read.problem.slug == "file-not-found":
        return
    if read.problem is not None:
        raise UsageError(f"{path} is not replaced: {read.problem.seen}", hint=_ELSEWHERE)
    contents = read_objects(read.data, source=str(path)) if read.data else None
    if contents is not None and (
        not contents.crls or len(contents.crls) < len(contents.objects) or _private(read.data)
    ):
        raise UsageError(
            f"{path} is not replaced: it holds something other than revocation lists",
            hint=_ELSEWHERE,
        )


def _private(data: bytes | None) -> bool:
    return b"PRIVATE KEY" in (data or b"")


def write_lists(directory: Directory, output: Path | None) -> list[Listed]:
    """Writes both lists as one PEM file, where `output` is given, and each as DER beside the CA for those
    who fetch it.

    Raises UsageError when something else is in their place, EnvironmentFault when one cannot be written.
    """
    with directory.ledger.turn():
        lists = listed(directory)
        if len(lists) < len((ISSUING, ROOT)):
            raise InternalFault("a CA of the chain has no revocation list yet")
        for role in (ISSUING, ROOT):
            _refuse_older_ledger(directory, role)
        check_place(directory, output or directory.path / BUNDLE)
        files = {
            directory.path / f"{one.role}.crl": one.value.public_bytes(Encoding.DER)
            for one in lists
        }
        if output is not None:
            files[output] = pem_of(lists)
        for path, data in files.items():
            try:
                replace_file(path, data, PUBLIC)
            except OSError as problem:
                raise cannot_write(problem, path) from None
    return lists
