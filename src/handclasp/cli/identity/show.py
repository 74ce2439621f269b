"""`handclasp identity show`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handclasp.backend.dialects import DIALECTS
from handclasp.cli.options import Moment, format_option
from handclasp.cli.output import echo_json
from handclasp.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from handclasp.backend.identity import ClientIdentity
    from handclasp.identity.examine import Examination, Reading

_LIMIT = 1024 * 1024


@click.command(
    epilog='Example: echo "$HTTP_X_CLIENT_CERT" | handclasp identity show --dialect x-client-cert'
)
@click.argument("file", type=click.Path(path_type=Path), default="-", metavar="[FILE]")
@click.option(
    "--dialect",
    type=click.Choice(sorted(DIALECTS)),
    help="Read it as this dialect; default: told from the names and the form.",
)
@click.option("--at", type=Moment(), metavar="DATE", help="Judge dates as of DATE, not of now.")
@format_option
def show(file: Path, dialect: str | None, at: datetime | None, form: str) -> int:
    """Say what a backend would see in identity headers, and what is odd about them.

    FILE holds header lines as copied from a log or from curl, or the value of one header; without it,
    standard input is read. The dialect is guessed, which a backend must never do.
    """
    from handclasp.identity.examine import examine

    now = at or datetime.now(UTC)  # noqa: TID251  the command line owns the clock
    found = examine(_read(file), dialect=dialect, now=now)
    if form == "json":
        echo_json(_as_json(found))
    else:
        _print_text(found)
    if not found.understood:
        return int(ExitCode.USAGE)
    return int(ExitCode.OK if found.accepted else ExitCode.FINDINGS)


def _read(file: Path) -> bytes:
    if str(file) == "-":
        if sys.stdin.isatty():
            raise UsageError("nothing was given", hint="Name a file, or pipe the headers in.")
        data = sys.stdin.buffer.read(_LIMIT + 1)
    else:
        try:
            with file.open("rb") as stream:
                data = stream.read(_LIMIT + 1)
        except OSError as error:
            raise UsageError(f"cannot read {file}: {error.strerror}") from None
    if len(data) > _LIMIT:
        raise UsageError("more than 1 MiB; identity headers are a few KiB")
    return data


def _print_text(found: Examination) -> None:
    if not found.understood:
        click.echo("No identity header and no value of one was recognised.")
    for reading in found.readings:
        click.echo("\n".join(_reading_lines(reading)))
    if found.certificate is not None:
        click.echo("Found in it all the same, and not to be believed:")
        click.echo("\n".join(_identity_lines(found.certificate)))
    for one in found.odd:
        click.echo(f"odd: {one.sentence} [{one.code}]")


def _reading_lines(reading: Reading) -> list[str]:
    lines = [f"{reading.dialect}: {', '.join(reading.headers)}"]
    if reading.assumed:
        lines.append(f"  assumed    {', '.join(reading.assumed)} (a value by itself does not say)")
    if reading.identity is not None:
        return lines + _identity_lines(reading.identity)
    if reading.reason is not None:
        return [*lines, f"  refused    {reading.sentence} [{reading.reason}]"]
    return [*lines, "  nobody     no certificate is told of"]


def _identity_lines(identity: ClientIdentity) -> list[str]:
    chain = f"{len(identity.chain)} more certificate(s)" if identity.chain else ""
    rows = (
        ("subject", identity.subject),
        ("spiffe id", identity.spiffe_id),
        ("names", ", ".join(identity.sans.typed)),
        ("issuer", identity.issuer),
        ("serial", identity.serial),
        ("sha256", identity.sha256),
        ("valid", _validity(identity)),
        ("chain", chain),
        ("verify", identity.verify),
    )
    # What stands in a certificate is written by whoever made it: no control characters go out.
    return [f"  {name:<10} {_printable(text)}" for name, text in rows if text]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _validity(identity: ClientIdentity) -> str:
    start, end = (_time(moment) for moment in (identity.not_before, identity.not_after))
    return f"{start or '?'} to {end or '?'}" if start or end else ""


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _as_json(found: Examination) -> dict[str, Any]:
    return {
        "guessed": found.guessed,
        "readings": [
            {
                "dialect": reading.dialect,
                "headers": list(reading.headers),
                "assumed": list(reading.assumed),
                "verdict": _verdict(reading),
                "reason": reading.reason,
                "sentence": reading.sentence,
                "identity": _identity_json(reading.identity),
            }
            for reading in found.readings
        ],
        "certificate": _identity_json(found.certificate),
        "odd": [{"code": one.code, "sentence": one.sentence} for one in found.odd],
    }


def _verdict(reading: Reading) -> str:
    if reading.identity is not None:
        return "identity"
    return "nobody" if reading.reason is None else "refused"


def _identity_json(identity: ClientIdentity | None) -> dict[str, Any] | None:
    if identity is None:
        return None
    return {
        "subject": identity.subject,
        "spiffe_id": identity.spiffe_id,
        "sans": list(identity.sans.typed),
        "issuer": identity.issuer,
        "serial": identity.serial,
        "sha256": identity.sha256,
        "not_before": _time(identity.not_before),
        "not_after": _time(identity.not_after),
        "verify": identity.verify,
        "chain": len(identity.chain),
    }
