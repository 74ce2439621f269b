"""`handclasp ca crl`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.ca.options import (
    LIFETIME,
    directory_option,
    open_signer,
    password_of,
    password_options,
    pin_options,
    root_password_option,
)

if TYPE_CHECKING:
    from datetime import datetime

    from handclasp.ca.directory import Directory
    from handclasp.ca.lists import Listed


@click.command(epilog="Example: handclasp ca crl --password-file ca-password --next-update 7d")
@directory_option
@click.option(
    "--next-update",
    type=LIFETIME,
    default="7d",
    show_default=True,
    help="Until when the lists are good; make the next ones well before.",
)
@click.option(
    "--root-next-update",
    type=LIFETIME,
    help="The same for the root's list; default: --next-update.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where to; default: crl.pem in the CA."
)
@password_options
@root_password_option
@pin_options
def crl(directory: Path, output: Path | None, **given: Any) -> None:
    """Write the revocation lists of all CAs of the chain.

    Both go into one PEM file, as nginx's ssl_crl wants them, and each by itself in DER beside the CA.
    While the root's key is kept elsewhere its last list serves on, until that list ends.
    """
    from handclasp.agent.clock import SystemClock
    from handclasp.ca.directory import Directory
    from handclasp.ca.ledger import ISSUING, ROOT
    from handclasp.ca.lists import BUNDLE, renew_list, write_lists
    from handclasp.certs import facts

    now = SystemClock().now()
    password = password_of(given["password_file"], given["password_env"])
    root_password = password_of(given["root_password_file"], None, what="root-password")
    secrets = {ISSUING: password, ROOT: root_password or password}
    spans = {
        ISSUING: given["next_update"],
        ROOT: given["root_next_update"] or given["next_update"],
    }
    with Directory(directory) as opened:
        kept = _kept(opened, now)
        for role in (ISSUING, ROOT):
            if role == ROOT and kept is not None:
                end = kept.value.next_update_utc
                assert end is not None
                click.echo(
                    f"the root's key is not here: its list of before serves until {facts.date(end)}",
                    err=True,
                )
                continue
            with open_signer(opened, role, given, secrets[role]) as signer:
                renew_list(opened, role, signer, now=now, next_update=spans[role])
        lists = write_lists(opened, output or directory / BUNDLE)
    _say(lists)
    click.echo(output or directory / BUNDLE)


def _kept(directory: Directory, now: datetime) -> Listed | None:
    """The root's last list where the root's key is not there to sign another. Raises FindingsError when
    there is none that is still good, or when it does not name what was revoked since."""
    from handclasp.ca.ledger import ROOT
    from handclasp.ca.lists import listed
    from handclasp.errors import ExitCode
    from handclasp.findings import FindingsError, Where, found

    if directory.has_key(ROOT):
        return None
    where = Where(file=str(directory.path / "root.key"))
    last = next((one for one in listed(directory) if one.role == ROOT), None)
    if last is None:
        seen = "the root's key is not here, and there is no list of the root yet"
        raise FindingsError(
            [found("ca-key-not-here", seen, where=where)], exit_code=ExitCode.FINDINGS
        )
    revoked = {one.serial for one in directory.ledger.revoked(ROOT, ending_after=now)}
    if revoked - {entry.serial_number for entry in last.value}:
        seen = "the root's key is not here, and its last list lacks a CA that was revoked since"
        raise FindingsError(
            [found("ca-key-not-here", seen, where=where)], exit_code=ExitCode.FINDINGS
        )
    end = last.value.next_update_utc
    if end is None or end <= now:
        seen = "the root's key is not here, and its last list has ended"
        raise FindingsError(
            [found("ca-key-not-here", seen, where=where)], exit_code=ExitCode.FINDINGS
        )
    return last


def _say(lists: list[Listed]) -> None:
    from handclasp.certs import facts

    for one in lists:
        end = one.value.next_update_utc
        assert end is not None
        count = len(one.value)
        click.echo(
            f"{one.role}: list {one.number}, {count} revoked, good until {facts.date(end)}",
            err=True,
        )
