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
@directory_option
def revoke(which: str, reason: str, directory: Path) -> None:
    """Revoke a certificate.

    It is refused from the next list on: make that with `handclasp ca crl` and give it out. A revocation
    is not taken back. No key is needed.
    """
    from handclasp.agent.clock import SystemClock
    from handclasp.ca.directory import Directory
    from handclasp.ca.ledger import ISSUING, ROOT
    from handclasp.ca.revocation import Reason
    from handclasp.ca.status import same_key
    from handclasp.certs import facts

    now = SystemClock().now()
    with Directory(directory) as opened, opened.ledger.turn():
        record = wanted(opened, which)
        if record.authority == ROOT and which == ISSUING and record.revoked_at is None:
            raise UsageError(
                f"{which!r} is the issuing CA: everything it issued would be refused with it",
                hint=f"If that is meant, name it by its file: `ca revoke {directory / 'issuing.pem'}"
                " --reason cACompromise`.",
            )
        if record.serial == opened.root.certificate.serial_number:
            raise UsageError(
                "a root cannot be revoked: its own list would be signed with the key in doubt",
                hint="Take root.pem out of every trust bundle.",
            )
        if record.revoked_at is not None and record.reason is not None:
            since = f"{record.serial:x} is revoked since {facts.date(record.revoked_at)}"
            if record.reason.value != reason:
                raise UsageError(f"{since}, for another reason: {record.reason.value}")
            click.echo(since, err=True)
            return
        opened.ledger.revoke(record.serial, at=now, reason=Reason(reason))
        others = same_key(opened.ledger, record, now) if reason == "keyCompromise" else []
    what = "the issuing CA" if record.authority == ROOT else record.name
    click.echo(f"revoked {record.serial:x} ({what}): {reason}", err=True)
    click.echo(
        f"now run `handclasp ca crl --directory {directory}` and give the list out", err=True
    )
    for other in others:
        click.echo(f"warning: {other.serial:x} has the same key and is still valid", err=True)
    click.echo(f"{record.serial:x}")


def wanted(directory: Directory, which: str) -> Record:
    """The one certificate that a serial, a file or a name means. Raises UsageError."""
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
        serials = ", ".join(f"{one.serial:x}" for one in found)
        raise UsageError(
            f"{which!r} was issued {len(found)} times", hint=f"Name one by its serial: {serials}"
        )
    return found[0]


def is_file(directory: Directory, which: str) -> bool:
    """It names a file, and no serial or name of the ledger."""
    from handclasp.ca.status import candidates

    return not candidates(directory.ledger, which) and os.path.lexists(which)


def _of_file(directory: Directory, path: Path) -> Record:
    from handclasp.certs.read import read_objects
    from handclasp.errors import ExitCode
    from handclasp.findings import FindingsError
    from handclasp.keys.files import read_file

    read = read_file(path)
    if read.problem is not None:
        raise FindingsError([read.problem], exit_code=ExitCode.USAGE)
    contents = read_objects(read.data or b"", source=str(path))
    if not contents.certificates:
        what = "a private key and no certificate" if contents.keys else "no certificate"
        raise UsageError(
            f"{path} holds {what}",
            hint="Name the certificate's file, its serial or its name; `handclasp ca list` shows both.",
        )
    leaf = contents.certificates[0]
    record = directory.ledger.by_serial(leaf.serial_number)
    if record is None or record.certificate != leaf:
        raise UsageError(f"{path} was not issued by {directory.path}")
    return record
