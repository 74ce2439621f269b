"""`handclasp ca list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from handclasp.certs.counting import counted
from handclasp.cli.ca.options import directory_option
from handclasp.cli.options import format_option

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from handclasp.ca.ledger import Record
    from handclasp.ca.status import Standing


@click.command(epilog="Example: handclasp ca list --revoked --format json")
@directory_option
@click.option("--expired", is_flag=True, help="Only those that have ended.")
@click.option("--revoked", is_flag=True, help="Only those that were revoked.")
@format_option
def list(directory: Path, expired: bool, revoked: bool, form: str) -> None:  # noqa: A001  its name
    """List what was issued, oldest first, the CAs themselves included."""
    from handclasp.agent.clock import SystemClock
    from handclasp.ca.directory import Directory
    from handclasp.ca.status import Standing, standing
    from handclasp.cli.output import echo_json, table

    now = SystemClock().now()
    wanted = {Standing.EXPIRED: expired, Standing.REVOKED: revoked}
    with Directory(directory) as opened:
        records = opened.ledger.records()
        issuing = opened.ledger.by_serial(opened.issuing.certificate.serial_number)
        gone = issuing is not None and issuing.revoked_at is not None
    rows = [
        _row(one, state, now)
        for one in records
        for state in (standing(one, now, issuer_revoked=gone),)
        if not (expired or revoked) or wanted.get(state, False)
    ]
    if form == "json":
        echo_json({"directory": str(directory), "certificates": rows})
        return
    head = ("SERIAL", "NAME", "USE", "ENDS", "STATE")
    cells = [
        (
            row["serial"],
            row["name"],
            row["use"],
            row["not_after"][:16].replace("T", " "),
            _state(row),
        )
        for row in rows
    ]
    click.echo(table([head, *cells]))


def _state(row: dict[str, Any]) -> str:
    if row["state"] == "revoked":
        return f"revoked: {row['reason']}"
    return (
        f"{counted(row['days_left'], 'day')} left" if row["state"] == "valid" else str(row["state"])
    )


def _row(record: Record, state: Standing, now: datetime) -> dict[str, Any]:
    from cryptography.hazmat.primitives.hashes import SHA256

    from handclasp.backend.certificate import serial_text
    from handclasp.ca.profile import use_of
    from handclasp.ca.status import is_leaf
    from handclasp.certs.dn import subject_text
    from handclasp.certs.names import subject_alt_names

    certificate = record.certificate
    end = certificate.not_valid_after_utc
    return {
        "serial": serial_text(record.serial),
        "name": record.name,
        "subject": subject_text(certificate),
        "sans": [*subject_alt_names(certificate)],
        "use": use_of(certificate).value if is_leaf(record) else "ca",
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": end.isoformat(),
        "days_left": (end - now).days,
        "state": state.value,
        "revoked_at": record.revoked_at.isoformat() if record.revoked_at else None,
        "reason": record.reason.value if record.reason else None,
        "renews": serial_text(record.renews) if record.renews is not None else None,
        "sha256": certificate.fingerprint(SHA256()).hex(),
    }
