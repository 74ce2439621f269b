"""`handclasp init`.

A development CA (`--dev-ca DIR`, room `ca`) belongs between the text and the writing of it: make
the certificates, then give `starter` their paths.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handclasp.cli.options import DEFAULT_SPEC
from handclasp.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from handclasp.spec.starter import Kind


@click.command(epilog="Example: handclasp init egress -o handclasp.yaml")
@click.argument("kind", type=click.Choice(["egress", "ingress", "both"]))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=DEFAULT_SPEC,
    show_default=True,
    help="The file to write; - prints it.",
)
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
def init(kind: Kind, output: Path, *, force: bool) -> None:
    """Write a commented spec to start from.

    egress: an application here calls a service that wants a client certificate.
    ingress: callers must show a client certificate to reach an application here.
    both: the two in one file.
    """
    from handclasp.spec.starter import starter

    text = starter(kind)
    if str(output) == "-":
        click.echo(text, nl=False)
        return
    write_new(output, text, replace=force)
    click.echo(f"wrote {output}; put in your own names and paths, then:", err=True)
    click.echo(f"  handclasp check -c {output}", err=True)


def write_new(path: Path, text: str, *, replace: bool) -> None:
    """Write a file whole or not at all; without `replace` never over an existing one.

    Raises UsageError when the file exists, EnvironmentFault when the directory cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("x", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if replace:
            draft.replace(path)
        else:
            # A link, unlike a rename, fails when the name is taken, by whomever and however late.
            path.hardlink_to(draft)
    except FileExistsError:
        raise UsageError(
            f"{path} exists already", hint="Name another file with -o FILE, or add --force."
        ) from None
    except OSError as error:
        raise EnvironmentFault(
            f"{path} cannot be written: {error.strerror}",
            hint="Name a file in a directory that exists and that this user may write.",
        ) from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
