"""`handclasp ca issue`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.ca.options import (
    LIFETIME,
    Parsed,
    directory_option,
    open_issuing,
    password_options,
    pin_options,
    without_common_name,
)
from handclasp.cli.options import folder_option
from handclasp.cli.output import printable
from handclasp.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography import x509

    from handclasp.ca.delivery import Parcel
    from handclasp.ca.directory import Directory
    from handclasp.ca.requests import Request

_MOST_SAID = 100  # names of a request that are repeated
_KINDS = ("p256", "p384", "rsa2048", "rsa3072", "rsa4096", "ed25519")


def _name(kind: str) -> Parsed:
    def parse(text: str) -> Any:
        from handclasp.ca import names

        return {
            "dns": names.dns_name,
            "ip": names.ip_address,
            "uri": names.uri,
            "email": names.email,
        }[kind](text)

    return Parsed(kind, parse)


@click.command(
    epilog="Example: handclasp ca issue svc-b.internal --use client --lifetime 30d"
    " --password-file ca-password"
)
@click.argument("name", required=False)
@click.option(
    "--use",
    type=click.Choice(["client", "server", "both"]),
    default="client",
    show_default=True,
    help="What the certificate is for.",
)
@click.option(
    "--dns", type=_name("dns"), multiple=True, help="A further DNS name, or `*.` and one."
)
@click.option("--ip", type=_name("ip"), multiple=True, help="An IP address.")
@click.option(
    "--uri", type=_name("uri"), multiple=True, help="A URI, as spiffe://example.org/svc-b."
)
@click.option("--email", type=_name("email"), multiple=True, help="An e-mail address.")
@click.option("--lifetime", type=LIFETIME, help="As 24h or 90d; default 90d, or until the CA ends.")
@click.option(
    "--csr",
    "requests",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A signing request; several are issued in one go.",
)
@click.option("--csr-names", is_flag=True, help="Take the names from the request as well.")
@click.option(
    "--key-type", "kind", type=click.Choice(_KINDS), help="Kind of the new key; default p256."
)
@folder_option
@directory_option
@password_options
@pin_options
def issue(name: str | None, directory: Path, requests: tuple[Path, ...], **given: Any) -> None:
    """Issue a certificate, with a new key or for a signing request.

    Writes NAME.pem, the certificate with the issuing CA's below it, and for a new key NAME.key (mode
    0600). Nothing that exists is written over. --dns, --ip, --uri, --email and --csr can be repeated. A
    name with a dot becomes a DNS name of the certificate;
    a bare word does where no other name is given. Of a request the key is taken, and with --csr-names
    its names; whatever else it asks for is dropped, and said.
    """
    from handclasp.agent.clock import SystemClock
    from handclasp.ca.delivery import deliver
    from handclasp.ca.issuing import check_authority

    if name is None and not (requests and given["csr_names"]):
        raise UsageError("give the NAME, or --csr FILE with --csr-names to take it from there")
    if name is not None and len(requests) > 1:
        raise UsageError("several requests have several names: leave NAME out, with --csr-names")
    if requests and given["kind"]:
        raise UsageError("a signing request has its key: give --csr or --key-type, not both")
    if given["csr_names"] and not requests:
        raise UsageError("--csr-names needs --csr FILE")
    now = SystemClock().now()
    from handclasp.ca.directory import Directory

    with Directory(directory) as opened:
        check_authority(opened, now)
        parcels = (
            [_for_request(opened, path, name, given, now) for path in requests]
            if requests
            else [_with_new_key(opened, name or "", given, now)]
        )
        with open_issuing(opened, given) as signer:
            made = deliver(opened, signer, parcels)
    _say(parcels, made)


def _with_new_key(directory: Directory, name: str, given: dict[str, Any], now: datetime) -> Parcel:
    from handclasp.ca.delivery import Parcel
    from handclasp.ca.issuing import draw_up, files_of
    from handclasp.ca.newkeys import new_key
    from handclasp.certs.secret import Secret

    key = new_key(given["kind"] or "p256")
    order = _order(name, key.public_key(), (), given)
    drawn = draw_up(directory, order, now)
    certificate_path, key_path = files_of(given["folder"], name)
    return Parcel(
        drawn=drawn, certificate_path=certificate_path, key_path=key_path, key=Secret(key)
    )


def _for_request(
    directory: Directory, path: Path, name: str | None, given: dict[str, Any], now: datetime
) -> Parcel:
    from handclasp.ca.delivery import Parcel
    from handclasp.ca.issuing import draw_up, files_of
    from handclasp.ca.names import shown_name
    from handclasp.ca.requests import read_request
    from handclasp.errors import ExitCode
    from handclasp.findings import FindingsError
    from handclasp.keys.files import read_file

    read = read_file(path, unreadable="csr-unusable", pipes=True)
    if read.problem is not None or read.data is None:
        raise FindingsError([read.problem] if read.problem else [], exit_code=ExitCode.USAGE)
    request = read_request(read.data, source=str(path))
    taken = request.names if given["csr_names"] else ()
    called = name or request.common_name or (_bare(request) if taken else None)
    granted = _granted(called, request, taken, given)
    left = [shown_name(one) for one in request.names if one not in granted]
    told, dropped = ["the key", *map(shown_name, taken)], [*left, *request.extras]
    said = f"{path}: taken {_listed(told)}; dropped {_listed(dropped) or 'nothing'}"
    # What a stranger put into a request is not to steer the terminal.
    click.echo(_line(said), err=True)
    if called is None:
        raise UsageError(f"{path} has no name: give NAME on the command line")
    drawn = draw_up(directory, _order(called, request.public_key, taken, given), now)
    return Parcel(drawn=drawn, certificate_path=files_of(given["folder"], called)[0])


def _granted(
    called: str | None, request: Request, taken: Sequence[x509.GeneralName], given: dict[str, Any]
) -> Sequence[x509.GeneralName]:
    """The names the certificate will have: one that is asked for on the command line too is not dropped."""
    if called is None:
        return taken
    try:
        return tuple(_order(called, request.public_key, taken, given).names)
    except UsageError:  # said by whoever draws the certificate up
        return taken


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _MOST_SAID} more" if len(words) > _MOST_SAID else ""
    return ", ".join(words[:_MOST_SAID]) + more


def _bare(request: Request) -> str:
    return str(getattr(request.names[0], "value", ""))


def _order(
    name: str, public_key: Any, taken: Sequence[x509.GeneralName], given: dict[str, Any]
) -> Any:
    from handclasp.ca.issuing import Order
    from handclasp.ca.names import leaf_names
    from handclasp.ca.profile import Use

    named = [*given["dns"], *given["ip"], *given["uri"], *given["email"]]
    try:
        names = leaf_names(name, named, taken)
    except ValueError as problem:
        raise UsageError(
            str(problem), hint="Give a name with --dns, --ip, --uri or --email."
        ) from None
    return Order(
        name=name,
        public_key=public_key,
        names=names,
        use=Use(given["use"]),
        lifetime=given["lifetime"],
    )


def _say(parcels: Sequence[Parcel], made: Sequence[x509.Certificate]) -> None:
    from handclasp.backend.certificate import serial_text
    from handclasp.ca.names import shown_name
    from handclasp.certs import facts

    for parcel, certificate in zip(parcels, made, strict=True):
        for note in parcel.drawn.notes:
            click.echo(_line(f"note: {note}"), err=True)
        if certificate.subject != parcel.drawn.leaf.subject:
            click.echo(_line(without_common_name(parcel.drawn.order.name)), err=True)
        names = ", ".join(map(shown_name, parcel.drawn.leaf.names))
        said = (
            f"issued {serial_text(certificate.serial_number)} for {names},"
            f" {parcel.drawn.leaf.use.value}, until {facts.date(certificate.not_valid_after_utc)}"
        )
        click.echo(_line(said), err=True)
        click.echo(parcel.certificate_path)
        if parcel.key_path is not None:
            click.echo(parcel.key_path)


def _line(text: str) -> str:
    """What a stranger put into a request is not to steer the terminal, nor to make lines of its own."""
    return printable(text).replace("\n", "\\n")
