"""`handclasp ca crl`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.ca.options import (
    LIFETIME,
    directory_option,
    open_signer,
    password_of,
    password_options,
    pin_for,
    pin_options,
    root_password_option,
    root_pin_options,
)
from handclasp.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from handclasp.ca.directory import Directory
    from handclasp.ca.lists import Listed
    from handclasp.ca.profile import Signer
    from handclasp.errors import HandclaspError
    from handclasp.keys.secret import Secret

_NOT_PLUGGED = frozenset(["pkcs11-token-absent"])


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
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Where to, `-` for standard output; default: crl.pem in the CA. Only lists are replaced.",
)
@click.option(
    "--adopt",
    is_flag=True,
    help="After an older ledger was put back: take the revocations of the newer lists over.",
)
@click.option(
    "--clock-is-right",
    is_flag=True,
    help="The last list was made while the clock was ahead: make one that is older.",
)
@password_options
@root_password_option
@pin_options
@root_pin_options
def crl(directory: Path, output: Path | None, **given: Any) -> None:
    """Write the revocation lists of all CAs of the chain.

    Both go into one PEM file, as nginx's ssl_crl wants them, and each by itself in DER beside the CA.
    While the root's key is kept elsewhere its last list serves on, until that list ends. A list ends
    with its CA at the latest.
    """
    from handclasp.agent.clock import SystemClock
    from handclasp.ca.directory import Directory
    from handclasp.ca.issuing import check_term
    from handclasp.ca.lists import BUNDLE, adopt_lists, check_place, pem_of, write_lists

    now = SystemClock().now()
    place = output or directory / BUNDLE
    aloud = str(place) == "-"
    with Directory(directory) as opened:
        check_term(opened, now)
        check_place(opened, directory / BUNDLE if aloud else place)
        if given["adopt"]:
            adopt_lists(opened)
        _renew(opened, given, now)
        lists = write_lists(opened, None if aloud else place)
    _say(lists)
    if aloud:
        click.echo(pem_of(lists).decode(), nl=False)
    else:
        click.echo(place)


def _renew(directory: Directory, given: dict[str, Any], now: datetime) -> None:
    """Signs both lists, or none: one key that cannot be had takes no number from the other's."""
    from handclasp.ca.lists import renew_list
    from handclasp.spec.pkcs11_uri import is_pkcs11

    password = password_of(given["password_file"], given["password_env"])
    root = password_of(given["root_password_file"], None, what="root-password") or password
    passwords = {"issuing": password, "root": root}
    spans = {
        "issuing": given["next_update"],
        "root": given["root_next_update"] or given["next_update"],
    }
    # Passwords and PINs first: they may be asked for, and nobody is to wait for the ledger meanwhile.
    keys = {role: directory.authority(role).key for role in passwords}
    pins = _pins({role: key for role, key in keys.items() if is_pkcs11(key)}, given)
    typed: list[Secret[bytes]] = []
    with contextlib.ExitStack() as files:
        early = {
            role: _signer(files, directory, role, given, passwords[role], now, typed)
            for role in passwords
            if role not in pins
        }
    with directory.ledger.turn():
        for role, span in spans.items():
            # One by one: a token takes no second login of one process.
            with contextlib.ExitStack() as stack:
                signer = (
                    early[role]
                    if role in early
                    else _signer(stack, directory, role, given, pins[role], now)
                )
                if signer is None:
                    continue
                made = renew_list(
                    directory,
                    role,
                    signer,
                    now=now,
                    next_update=span,
                    clock_is_right=given["clock_is_right"],
                )
            end = made.value.next_update_utc
            if end is not None and end < now + span:
                click.echo(f"note: the {role} CA's list ends with the CA", err=True)


def _pins(keys: Mapping[str, str], given: dict[str, Any]) -> dict[str, Secret[bytes] | None]:
    """The PINs of keys in tokens, by role; that of one token is asked for once."""
    from handclasp.spec.pkcs11_uri import parse_pkcs11_uri

    known: dict[str, Secret[bytes] | None] = {}
    pins = {}
    for role, uri in keys.items():
        token = parse_pkcs11_uri(uri).token_uri
        own = role == "root" and (given["root_pin_file"] or given["root_pin_env"])
        pins[role] = known[token] if token in known and not own else pin_for(role, uri, given)
        known.setdefault(token, pins[role])
    return pins


def _signer(
    stack: contextlib.ExitStack,
    directory: Directory,
    role: str,
    given: dict[str, Any],
    secret: Secret[bytes] | None,
    now: datetime,
    typed: list[Secret[bytes]] | None = None,
) -> Signer | None:
    """A CA with its key, which `secret` (password or PIN) opens; None when the root's key is away and its
    last list serves on. `typed`: passwords that were typed before."""
    from handclasp.findings import FindingsError

    gone: HandclaspError | None = None
    if directory.has_key(role) or role != "root":
        try:
            return stack.enter_context(
                open_signer(directory, role, given, secret, pin=lambda _: secret, typed=typed)
            )
        except (FindingsError, EnvironmentFault) as problem:
            if role != "root" or not _unplugged(directory, problem):
                raise
            gone = problem
    _serve_on(directory, given, now, gone)
    return None


def _serve_on(
    directory: Directory, given: dict[str, Any], now: datetime, gone: HandclaspError | None
) -> None:
    from handclasp.certs import facts
    from handclasp.findings import FindingsError

    if given["root_next_update"] is not None:
        raise UsageError(
            "--root-next-update is for a new list of the root, and the root's key is not here",
            hint="Bring the key to its place, or leave the option out.",
        )
    try:
        kept = _kept(directory, now)
    except FindingsError as problem:
        more = gone.findings if isinstance(gone, FindingsError) else ()
        raise FindingsError(
            [*more, *problem.findings], exit_code=gone.exit_code if gone else problem.exit_code
        ) from None
    if gone is not None and not isinstance(gone, FindingsError):
        click.echo(f"note: {gone.message}", err=True)
    end = kept.value.next_update_utc
    assert end is not None
    click.echo(
        f"the root's key is not here: its list of before serves until {facts.date(end)}", err=True
    )


def _unplugged(directory: Directory, problem: HandclaspError) -> bool:
    """The root's key is in a token, and the token or its module is not here; a wrong PIN is another
    matter."""
    from handclasp.findings import FindingsError
    from handclasp.spec.pkcs11_uri import is_pkcs11

    if not is_pkcs11(directory.authority("root").key):
        return False
    if not isinstance(problem, FindingsError):
        return True
    return bool({one.slug for one in problem.findings} & _NOT_PLUGGED)


def _kept(directory: Directory, now: datetime) -> Listed:
    """The root's last list where the root's key is not there to sign another. Raises FindingsError when
    there is none that is still good, or when it does not name what was revoked since."""
    from handclasp.ca.ledger import ROOT
    from handclasp.ca.lists import listed
    from handclasp.errors import ExitCode
    from handclasp.findings import FindingsError, Where, found

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
