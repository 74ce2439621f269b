"""`handclasp hsm list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.hsm.options import module_for, module_option, pin_of, pin_options
from handclasp.cli.options import format_option
from handclasp.cli.output import echo_findings, echo_json, table
from handclasp.errors import ExitCode
from handclasp.findings.model import Severity

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog="Example: handclasp hsm list --pin-file softhsm/pin")
@pin_options
@module_option
@format_option
def list(  # noqa: A001  the command's name
    pin_file: Path | None, pin_env: str | None, module: Path | None, form: str
) -> int:
    """List tokens and, with the PIN, the private keys in them. The PIN is tried on every token shown."""
    from handclasp.hsm.isolated import ask

    library = module_for(module)
    pin, findings = pin_of(pin_file, pin_env, prompt=None)
    answer = ask("list", module=library, pin=pin)
    tokens = [result["token"] for result in answer.results if "token" in result]
    findings = (*findings, *answer.findings)
    code = ExitCode.OK if answer.ok else ExitCode.FINDINGS
    if form == "json":
        echo_json(
            {
                "module": str(library),
                "logged_in": pin is not None,
                "tokens": tokens,
                "findings": [finding.as_json() for finding in findings],
            }
        )
        return int(code)
    for token in tokens:
        _print(token, logged_in=pin is not None)
    if not tokens:
        click.echo(f"{library} shows no token")
    echo_findings(findings, to_stdout=True, least=Severity.INFO)
    return int(code)


def _print(token: dict[str, Any], *, logged_in: bool) -> None:
    locked = ", PIN LOCKED" if token["pin_locked"] else ""
    low = ", a wrong PIN was tried" if token["pin_tries_low"] and not locked else ""
    click.echo(
        f"token '{token['label']}', serial {token['serial']}, {token['model']} of "
        f"{token['manufacturer']}{locked}{low}"
    )
    keys = token.get("keys", ())
    if keys:
        rows = [
            (
                key["label"] or "",
                key["id"] or "",
                key["type"],
                "can leave" if key["exposed"] else "",
            )
            for key in keys
        ]
        text = table([("LABEL", "ID", "TYPE", ""), *rows])
        click.echo("".join(f"  {line}\n" for line in text.splitlines()), nl=False)
    elif logged_in:
        click.echo("  no private keys" if "keys" in token else "  keys are not seen: no login")
    else:
        click.echo(
            f"  {token.get('public_keys', 0)} public keys; private ones show with --pin-file only"
        )
