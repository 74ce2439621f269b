"""`handclasp hsm init`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from urllib.parse import quote

import click

from handclasp.cli.hsm.options import has_engine, module_for, module_option
from handclasp.cli.secrets import secret_of, secret_options
from handclasp.errors import EnvironmentFault, UsageError


@click.command(epilog="Example: handclasp hsm init --directory softhsm --label dev")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path("softhsm"),
    show_default=True,
    help="Where the token is kept, with its configuration and PINs.",
)
@click.option("--label", default="handclasp", show_default=True, help="Label of the token.")
@secret_options("pin", "PIN; default: a random one, in DIRECTORY/pin (a further token: pin-LABEL)")
@secret_options("so-pin", "security officer's PIN; default: a random one, in DIRECTORY/so-pin")
@module_option
def init(
    directory: Path,
    label: str,
    pin_file: Path | None,
    pin_env: str | None,
    so_pin_file: Path | None,
    so_pin_env: str | None,
    module: Path | None,
) -> None:
    """Make a SoftHSM token for trying: keys in files, but used like those of a real one.

    A directory may hold several; one whose label is there already is refused.

    A real token is initialised with its vendor's tool; `handclasp hsm list --module PATH` shows it then.
    """
    from handclasp.hsm.pins import LONGEST_BY_ENGINE, pin_problem
    from handclasp.hsm.softhsm import (
        CONFIGURATION,
        check_new,
        has_token,
        initialise,
        prepare_directory,
    )
    from handclasp.keys.output import remove

    library = module_for(module)
    if "softhsm" not in library.name:
        raise UsageError(
            f"{library} is not SoftHSM's module",
            hint="Initialise a real token with its vendor's tool, then look: handclasp hsm list --module "
            f"{library}",
        )
    given_pin = secret_of(pin_file, pin_env, what="pin")
    given_so_pin = secret_of(so_pin_file, so_pin_env, what="so-pin")
    configuration = directory.absolute() / CONFIGURATION
    check_new(label, {"PIN": given_pin, "SO PIN": given_so_pin})
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    if configuration.exists() and has_token(library, label):
        raise UsageError(
            f"{directory} has a token '{label}' already, and a token is never initialised anew",
            hint="Give another --label for a second token, or another --directory.",
        )
    made, written, pin, so_pin = prepare_directory(
        directory, label, pin=given_pin, so_pin=given_so_pin
    )
    try:
        initialise(library, label, pin, so_pin)
    except EnvironmentFault:
        if not has_token(library, label):
            remove(written)
        raise
    if pin_problem(pin.reveal(), by_engine=has_engine()):
        click.echo(
            f"note: the PIN is longer than the {LONGEST_BY_ENGINE} bytes OpenSSL's PKCS#11 engine takes",
            err=True,
        )
    pin_place = (pin_file or made.pin_file).absolute()
    click.echo(f"token '{label}' in {directory}", err=True)
    click.echo(f"export SOFTHSM2_CONF={shlex.quote(str(configuration))}")
    click.echo(f"export PKCS11_MODULE_PATH={shlex.quote(str(library))}")
    uri = f"pkcs11:token={quote(label, safe='')}"
    how = f"--pin-file {shlex.quote(str(pin_place))}" if pin_env is None else f"--pin-env {pin_env}"
    click.echo(f"next: handclasp hsm keygen --key '{uri};object=NAME' {how}", err=True)
