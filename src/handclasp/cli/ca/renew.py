"""`handclasp ca renew`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.ca.options import (
    LIFETIME,
    directory_option,
    open_issuing,
    password_options,
    pin_options,
    without_common_name,
)
from handclasp.cli.ca.revoke import is_file
from handclasp.cli.output import printable
from handclasp.errors import UsageError

_KINDS = ("p256", "p384", "rsa2048", "rsa3072", "rsa4096", "ed25519")

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from handclasp.ca.delivery import Parcel
    from handclasp.ca.directory import Directory
    from handclasp.ca.ledger import Record


@click.command(
    epilog="Example: handclasp ca renew svc-b.internal --new-key -o new --password-file ca-password"
)
@click.argument("which", metavar="SERIAL|FILE|NAME")
@click.option("--new-key", is_flag=True, help="With a new key of the same kind.")
@click.option("--key-type", "kind", type=click.Choice(_KINDS), help="Another kind, with --new-key.")
@click.option("--lifetime", type=LIFETIME, help="Default: as long as before.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    help="Directory to write NAME.pem to; default: for a FILE where it is.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Replace the certificate file, where it is this CA's for the same key; never a key.",
)
@directory_option
@password_options
@pin_options
def renew(which: str, directory: Path, **given: Any) -> None:
    """Issue again what was issued before, for a new time.

    Names, use and key stay as they are; of a NAME the newest certificate is meant. The old certificate
    stays valid to its end. A revoked one is renewed with a new key only. Of a FILE with a chain the one leaf
    of this CA is meant. A FILE is replaced with --force, else the new one goes to the directory that -o
    names; a SERIAL or NAME says not where, and a pipe neither, so -o must.
    """
    from handclasp.agent.clock import SystemClock
    from handclasp.backend.certificate import serial_text
    from handclasp.ca.delivery import deliver
    from handclasp.ca.directory import Directory
    from handclasp.ca.issuing import check_authority
    from handclasp.certs import facts

    if given["new_key"] and given["force"]:
        raise UsageError(
            "--force replaces a certificate of the same key, and --new-key makes another",
            hint="Name a new directory with -o and switch over to it whole.",
        )
    if given["kind"] and not given["new_key"]:
        raise UsageError("--key-type is for --new-key")
    now = SystemClock().now()
    with Directory(directory) as opened:
        record = _newest(opened, which)
        given["target"] = _target(opened, which, record, given)
        if record.revoked_at is not None and not given["new_key"]:
            raise UsageError(
                f"{serial_text(record.serial)} is revoked ({record.reason})", hint="Give --new-key."
            )
        check_authority(opened, now)
        parcel = _parcel(opened, record, given, now)
        with open_issuing(opened, given) as signer:
            made = deliver(opened, signer, [parcel])[0]
    for note in parcel.drawn.notes:
        click.echo(f"note: {note}", err=True)
    if made.subject != parcel.drawn.leaf.subject:
        click.echo(printable(without_common_name(record.name)), err=True)
    click.echo(
        f"issued {serial_text(made.serial_number)} in the place of {serial_text(record.serial)}, until"
        f" {facts.date(made.not_valid_after_utc)}",
        err=True,
    )
    click.echo(parcel.certificate_path)
    if parcel.key_path is not None:
        click.echo(parcel.key_path)


def _newest(directory: Directory, which: str) -> Record:
    from handclasp.ca.status import is_leaf
    from handclasp.cli.ca.revoke import wanted

    by_name = directory.ledger.by_name(which)
    record = by_name[-1] if by_name else wanted(directory, which)
    if not is_leaf(record):
        raise UsageError("a CA is not renewed: make a new one with `handclasp ca init`")
    return record


def _target(
    directory: Directory, which: str, record: Record, given: dict[str, Any]
) -> tuple[Path, Path]:
    """Where the certificate, and a new key, go."""
    from handclasp.ca.issuing import files_of

    folder: Path | None = given["folder"]
    if folder is not None:
        return files_of(folder, record.name)
    if not is_file(directory, which) or Path(which).is_fifo():
        raise UsageError(
            "it is not said where the certificate goes",
            hint="Give -o DIRECTORY, or in the place of SERIAL, NAME or a pipe the certificate's file.",
        )
    if given["new_key"]:
        return files_of(Path(which).parent, record.name)
    if not given["force"]:
        raise UsageError(
            f"{which} exists already",
            hint="--force replaces a certificate of the same key; or give another directory with -o.",
        )
    return Path(which), Path(which)


def _kind(public_key: object, wanted: str | None) -> str:
    from handclasp.ca.newkeys import kind_of_key

    kind = wanted or kind_of_key(public_key)
    if kind not in _KINDS:
        raise UsageError(
            f"the old key is of a kind that is not made here ({kind})",
            hint=f"Say with --key-type which the new one shall be: {', '.join(_KINDS)}.",
        )
    return kind


def _parcel(directory: Directory, record: Record, given: dict[str, Any], now: datetime) -> Parcel:
    from handclasp.ca.delivery import Parcel
    from handclasp.ca.issuing import Order, draw_up
    from handclasp.ca.newkeys import new_key
    from handclasp.ca.profile import general_names, use_of
    from handclasp.certs.secret import Secret

    old = record.certificate
    key = new_key(_kind(old.public_key(), given["kind"])) if given["new_key"] else None
    order = Order(
        name=record.name,
        public_key=key.public_key() if key else old.public_key(),
        names=tuple(general_names(old)),
        use=use_of(old),
        lifetime=given["lifetime"],
        usual=_span(record),
        renews=record.serial,
    )
    drawn = draw_up(directory, order, now)
    certificate_path, key_path = given["target"]
    return Parcel(
        drawn=drawn,
        certificate_path=certificate_path,
        key_path=key_path if key else None,
        key=Secret(key) if key else None,
        replace=given["force"],
    )


def _span(record: Record) -> timedelta:
    from handclasp.ca.profile import BACKDATED

    old = record.certificate
    return old.not_valid_after_utc - old.not_valid_before_utc - BACKDATED
