"""`handclasp hsm init`."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import click

from handclasp.cli.hsm.options import module_for, module_option
from handclasp.cli.secrets import secret_of, secret_options
from handclasp.errors import UsageError


@click.command(epilog="Example: handclasp hsm init --directory softhsm --label dev")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path("softhsm"),
    show_default=True,
    help="Where the token is kept, with its configuration and PINs.",
)
@click.option("--label", default="handclasp", show_default=True, help="Label of the token.")
@secret_options("pin", "PIN; default: a random one, in DIRECTORY/pin")
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

    A real token is initialised with its vendor's tool; `handclasp hsm list --module PATH` shows it then.
    """
    from handclasp.hsm.softhsm import initialise, prepare_directory

    library = module_for(module)
    if "softhsm" not in library.name:
        raise UsageError(
            f"{library} is not SoftHSM's module",
            hint="Initialise a real token with its vendor's tool, then look: handclasp hsm list --module "
            f"{library}",
        )
    made, pin, so_pin = prepare_directory(
        directory,
        pin=secret_of(pin_file, pin_env, what="pin"),
        so_pin=secret_of(so_pin_file, so_pin_env, what="so-pin"),
    )
    configuration = made.configuration.absolute()
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    initialise(library, label, pin, so_pin)
    pin_place = (pin_file or made.pin_file).absolute() if pin_env is None else f"${pin_env}"
    click.echo(f"token '{label}' in {directory}", err=True)
    click.echo(f"export SOFTHSM2_CONF={configuration}")
    click.echo(f"export PKCS11_MODULE_PATH={library}")
    uri = f"pkcs11:token={quote(label, safe='')}"
    click.echo(
        f"next: handclasp hsm keygen --key '{uri};object=NAME' --pin-file {pin_place}", err=True
    )
