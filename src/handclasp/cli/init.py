"""`handclasp init`."""

from __future__ import annotations

import contextlib
import json
import os
import re
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
@click.option(
    "--dev-ca",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also make, in DIR, a CA for this machine and the certificates the spec names.",
)
def init(kind: Kind, output: Path, dev_ca: Path | None, *, force: bool) -> None:
    """Write a commented spec to start from.

    egress: an application here calls a service that wants a client certificate.
    ingress: callers must show a client certificate to reach an application here.
    both: the two in one file.
    """
    from handclasp.spec.starter import starter

    text = starter(kind)
    made: tuple[Path, ...] = ()
    printed = str(output) == "-"
    if not printed and not force and output.exists():
        raise _taken(output)
    if dev_ca is not None:
        text = _with_certificates_in(text, dev_ca, Path() if printed else output.parent)
        made = _make_certificates(kind, dev_ca)
    if printed:
        click.echo(text, nl=False)
    else:
        try:
            write_new(output, text, replace=force)
        except BaseException:
            from handclasp.keys.output import remove

            remove(made)
            raise
    if dev_ca is not None:
        click.echo(f"wrote {dev_ca}: a CA to try things with, and its certificates", err=True)
    if not printed:
        click.echo(f"wrote {output}; put in your own names and paths, then:", err=True)
        click.echo(f"  handclasp check -c {output}", err=True)


def _make_certificates(kind: Kind, folder: Path) -> tuple[Path, ...]:
    """The CA and the certificates that `starter` names, in the folder; returns the paths."""
    from handclasp.agent.clock import SystemClock
    from handclasp.ca.development import (
        LEAF_LIFETIME,
        ROOT_LIFETIME,
        Use,
        Validity,
        issue,
        make_root,
    )
    from handclasp.ca.files import write_new_pairs

    now = SystemClock().now()
    lifetime = Validity.starting(now, LEAF_LIFETIME)
    # A name of its own: roots of one name and different keys are hard to tell apart later.
    root = make_root(
        f"handclasp development CA {secrets.token_hex(4)}", Validity.starting(now, ROOT_LIFETIME)
    )
    pairs = {"ca": root}
    if kind != "ingress":
        pairs["client"] = issue(root, "client", Use.CLIENT, lifetime)
    if kind != "egress":
        names = ["server.example.com"]
        pairs["server"] = issue(root, names[0], Use.SERVER, lifetime, names=names)
    return write_new_pairs(folder, pairs)


def _with_certificates_in(text: str, folder: Path, beside: Path) -> str:
    """The text of `starter` with its `certs/` being `folder`, relative to `beside` where it is below."""
    place = folder.absolute()
    if place.is_relative_to(beside.absolute()):
        place = place.relative_to(beside.absolute())

    def path(match: re.Match[str]) -> str:
        written = str(place / match[1])
        # Anything YAML might read otherwise goes in quotes, which are JSON's.
        plain = re.fullmatch(r"[A-Za-z0-9._/-]+", written)
        return written if plain else json.dumps(written, ensure_ascii=False)

    return re.sub(r"certs/([\w.]+)", path, text)


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
        raise _taken(path) from None
    except OSError as error:
        raise EnvironmentFault(
            f"{path} cannot be written: {error.strerror}",
            hint="Name a file in a directory that exists and that this user may write.",
        ) from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _taken(path: Path) -> UsageError:
    return UsageError(
        f"{path} exists already", hint="Name another file with -o FILE, or add --force."
    )
