"""`handclasp hsm keygen`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from handclasp.cli.hsm.options import key_option, module_for, module_option, pin_of, pin_options
from handclasp.cli.output import echo_findings
from handclasp.errors import ExitCode, UsageError
from handclasp.findings.model import FindingsError, errors_in

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.spec.pkcs11_uri import Pkcs11Uri

_KINDS = ("p256", "p384", "rsa2048", "rsa3072")


@click.command(
    epilog="Example: handclasp hsm keygen --key 'pkcs11:token=dev;object=svc-b' --pin-file softhsm/pin"
)
@key_option
@click.option(
    "--type", "kind", type=click.Choice(_KINDS), default="p256", show_default=True, help="Its kind."
)
@pin_options
@module_option
def keygen(
    uri: Pkcs11Uri, kind: str, pin_file: Path | None, pin_env: str | None, module: Path | None
) -> int:
    """Generate a key in the token that cannot leave it; prints the URI that names it alone.

    The label and, where one is given, the id are those of the URI; a label or id that is taken is refused.
    """
    from handclasp.hsm.isolated import ask

    library = module_for(module, uri)
    if uri.object is None:
        raise UsageError("the URI has no label for the new key", hint="Add object=LABEL to it.")
    pin, findings = pin_of(pin_file, pin_env)
    if pin is None:
        raise UsageError("a new key needs the PIN", hint="Give --pin-file FILE.")
    answer = ask("generate", module=library, uri=uri, pin=pin, kind=kind)
    if not answer.ok:
        problems = errors_in(answer.findings)
        taken = any(one.slug == "pkcs11-label-not-unique" for one in problems)
        raise FindingsError(problems, exit_code=ExitCode.USAGE if taken else ExitCode.ENVIRONMENT)
    echo_findings([*findings, *answer.findings])
    click.echo(answer.results[-1]["uri"])
    return int(ExitCode.OK)
