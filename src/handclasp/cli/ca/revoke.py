"""`handclasp ca revoke`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handclasp.cli.ca.options import directory_option
from handclasp.errors import UsageError

if TYPE_CHECKING:
    from handclasp.ca.directory import Directory
    from handclasp.ca.ledger import Record

_REASONS = (
    "unspecified",
    "keyCompromise",
    "cACompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)


@click.command(epilog="Example: handclasp ca revoke svc-b.pem --reason keyCompromise")
@click.argument("which", metavar="SERIAL|FILE|NAME")
@click.option("--reason", required=True, type=click.Choice(_REASONS), help="In RFC 5280's words.")
@click.option(
    "--issuing-ca",
    "whole",
    is_flag=True,
    help="Revoke the issuing CA itself, and with it everything it issued: the name, file or serial is its.",
)
@directory_option
def revoke(which: str, reason: str, whole: bool, directory: Path) -> None:
    """Revoke a certificate.

    It is refused from the next list on: make that with `handclasp ca crl` and give it out. An agent on
    this machine whose trust names a list in the CA's directory refuses it at once. A revocation is not
    taken back. No key is needed. Of a FILE with a chain the one leaf of this CA is meant, wherever it
    stands; the issuing CA is revoked with --issuing-ca only.
    """
    from handclasp.agent.clock import SystemClock
    from handclasp.backend.certificate import serial_text
    from handclasp.ca.directory import Directory
    from handclasp.ca.ledger import ROOT
    from handclasp.ca.revocation import Reason
    from handclasp.ca.status import same_key

    now = SystemClock().now()
    with Directory(directory) as opened:
        # Before the ledger's turn: a pipe may take its time, and nobody is to wait meanwhile.
        serial = wanted(opened, which).serial
        with opened.ledger.turn():
            record = opened.ledger.by_serial(serial)
            assert record is not None  # nothing is ever taken out of the ledger
            if not _to_be_revoked(opened, record, reason, whole=whole):
                return
            opened.ledger.revoke(serial, at=now, reason=Reason(reason))
            others = same_key(opened.ledger, record, now) if reason == "keyCompromise" else []
    what = "the issuing CA" if record.authority == ROOT else record.name
    click.echo(f"revoked {serial_text(serial)} ({what}): {reason}", err=True)
    click.echo(
        f"now run `handclasp ca crl --directory {directory}` and give the list out", err=True
    )
    for other in others:
        click.echo(
            f"warning: {serial_text(other.serial)} has the same key and is still valid", err=True
        )
    click.echo(serial_text(serial))


def _to_be_revoked(directory: Directory, record: Record, reason: str, *, whole: bool) -> bool:
    """False when it is revoked already, which is said. Raises UsageError for what must not be, or was not
    asked for in so many words."""
    from handclasp.backend.certificate import serial_text
    from handclasp.ca.ledger import ROOT
    from handclasp.certs import facts

    told = serial_text(record.serial)
    if record.serial == directory.root.certificate.serial_number:
        raise UsageError(
            "a root cannot be revoked: its own list would be signed with the key in doubt",
            hint="Take root.pem out of every trust bundle.",
        )
    if whole and record.authority != ROOT:
        raise UsageError(
            f"{told} ({record.name}) is a leaf, and --issuing-ca is for the issuing CA",
            hint="Leave --issuing-ca out to revoke that leaf.",
        )
    if record.revoked_at is not None and record.reason is not None:
        since = f"{told} is revoked since {facts.date(record.revoked_at)}"
        if record.reason.value != reason:
            raise UsageError(f"{since}, for another reason: {record.reason.value}")
        click.echo(since, err=True)
        return False
    if record.authority == ROOT and not whole:
        raise UsageError(
            f"{told} is the issuing CA: everything it issued would be refused with it, for good",
            hint="To revoke one certificate, name it by its serial or name (`handclasp ca list`). If the CA"
            " is meant, add --issuing-ca.",
        )
    return True


def wanted(directory: Directory, which: str) -> Record:
    """The one certificate that a serial, a file or a name means. Raises UsageError."""
    from handclasp.backend.certificate import serial_text
    from handclasp.ca.ledger import ISSUING, ROOT
    from handclasp.ca.status import candidates

    if is_file(directory, which):
        return _of_file(directory, Path(which))
    found = [*candidates(directory.ledger, which)]
    if not found and which in (ROOT, ISSUING):
        serial = directory.authority(which).certificate.serial_number
        found = [one for one in directory.ledger.records() if one.serial == serial]
    if not found:
        raise UsageError(
            f"{directory.path} has issued nothing with the serial, file or name {which!r}",
            hint="`handclasp ca list` shows serials and names.",
        )
    if len(found) > 1:
        serials = ", ".join(serial_text(one.serial) for one in found)
        raise UsageError(
            f"{which!r} was issued {len(found)} times", hint=f"Name one by its serial: {serials}"
        )
    return found[0]


def is_file(directory: Directory, which: str) -> bool:
    """It names a file, and no serial or name of the ledger."""
    from handclasp.ca.status import candidates

    return not candidates(directory.ledger, which) and os.path.lexists(which)


def _of_file(directory: Directory, path: Path) -> Record:
    from handclasp.backend.certificate import serial_text
    from handclasp.ca.status import issued_leaves
    from handclasp.certs.read import read_objects
    from handclasp.errors import ExitCode
    from handclasp.findings import FindingsError
    from handclasp.keys.files import read_file

    read = read_file(path, pipes=True)
    if read.problem is not None:
        raise FindingsError([read.problem], exit_code=ExitCode.USAGE)
    contents = read_objects(read.data or b"", source=str(path))
    if not contents.certificates:
        what = "a private key and no certificate" if contents.keys else "no certificate"
        raise UsageError(
            f"{path} holds {what}",
            hint="Name the certificate's file, its serial or its name; `handclasp ca list` shows both.",
        )
    leaves = issued_leaves(directory.ledger, contents.certificates)
    if len(leaves) == 1:
        return leaves[0]
    if leaves:
        serials = ", ".join(serial_text(one.serial) for one in leaves)
        raise UsageError(
            f"{path} holds {len(leaves)} certificates that {directory.path} issued",
            hint=f"Name one by its serial: {serials}",
        )
    different = {*contents.certificates}
    if len(different) > 1:
        raise UsageError(
            f"{path} holds {len(different)} certificates, and none is a leaf that {directory.path} issued",
            hint="Name the certificate's own file, its serial or its name.",
        )
    (only,) = different
    record = directory.ledger.by_serial(only.serial_number)
    if record is None or record.certificate != only:
        raise UsageError(f"{path} was not issued by {directory.path}")
    return record
