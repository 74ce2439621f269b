"""`handclasp hsm list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.hsm.options import module_for, module_option, one_line, pin_of, pin_options
from handclasp.cli.options import format_option
from handclasp.cli.output import echo_findings, echo_json, printable, table
from handclasp.errors import ExitCode, UsageError
from handclasp.findings.model import Severity, errors_in

if TYPE_CHECKING:
    from pathlib import Path

_AWAY = frozenset({"pkcs11-module-failed", "pkcs11-token-absent"})
"""As with `run`, the machine is at fault and neither the command nor the token: exit code 3."""


@click.command(epilog="Example: handclasp hsm list --token dev --pin-file softhsm/pin")
@click.option(
    "--token", "label", metavar="LABEL", help="The token the PIN is for, where there are several."
)
@pin_options
@module_option
@format_option
def list(  # noqa: A001  the command's name
    label: str | None, pin_file: Path | None, pin_env: str | None, module: Path | None, form: str
) -> int:
    """List tokens and, with the PIN, the private keys of one of them.

    The PIN is tried on the token that --token names, or on the only one there is; on no other.
    """
    from handclasp.hsm.isolated import ask

    library = module_for(module)
    # Without --token nothing is asked: a list without a login is of use too.
    prompt = f"PIN of token '{printable(label)}'" if label is not None else None
    pin, findings = pin_of(pin_file, pin_env, prompt=prompt)
    if label is not None and pin is None:
        raise UsageError("--token says which token a PIN is for", hint="Give --pin-file FILE too.")
    answer = ask("list", module=library, pin=pin, label=label)
    tokens = [result["token"] for result in answer.results if "token" in result]
    findings = (*findings, *answer.findings)
    code = ExitCode.OK
    if not answer.ok:
        away = any(one.slug in _AWAY for one in errors_in(answer.findings))
        code = ExitCode.ENVIRONMENT if away else ExitCode.FINDINGS
    if pin is not None and label is None and len(tokens) > 1:
        click.echo(
            f"the PIN was not tried, for there are {len(tokens)} tokens: name one with --token LABEL",
            err=True,
        )
    if form == "json":
        echo_json(
            {
                "module": str(library),
                "logged_in": any(token.get("logged_in") for token in tokens),
                "tokens": tokens,
                "findings": [finding.as_json() for finding in findings],
            }
        )
        return int(code)
    for token in tokens:
        _print(token)
    if not tokens and answer.ok:
        click.echo(f"{library} shows no token")
    echo_findings(findings, to_stdout=True, least=Severity.INFO)
    return int(code)


def _print(token: dict[str, Any]) -> None:
    locked = ", PIN LOCKED" if token["pin_locked"] else ""
    low = ", a wrong PIN was tried" if token["pin_tries_low"] and not locked else ""
    click.echo(
        one_line(
            f"token '{token['label']}', serial {token['serial']}, {token['model']} of "
            f"{token['manufacturer']}{locked}{low}"
        )
    )
    keys = token.get("keys", ())
    if keys:
        rows = [
            (
                one_line(key["label"] or ""),
                key["id"] or "",
                key["type"],
                "can leave" if key["exposed"] else "",
            )
            for key in keys
        ]
        text = table([("LABEL", "ID", "TYPE", ""), *rows])
        click.echo("".join(f"  {line}\n" for line in text.splitlines()), nl=False)
    elif token.get("logged_in"):
        click.echo("  no private keys")
    elif "keys" in token:
        click.echo(f"  {token['public_keys']} public keys; private ones show with --pin-file only")
    else:
        click.echo("  keys are not seen: no login")
