"""`handclasp cert bundle`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from handclasp.cli.cert.inputs import files_argument, password_options
from handclasp.cli.cert.outputs import (
    force_option,
    new_password,
    new_password_options,
    put,
    read_all,
    refuse_altered,
)
from handclasp.errors import ExitCode, UsageError
from handclasp.findings.model import FindingsError, errors_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509

    from handclasp.certs.bundles import Bundle
    from handclasp.certs.contents import Value
    from handclasp.certs.private_keys import FoundKey


@click.command(
    epilog="Example: handclasp cert bundle server.pem intermediate.cer root.pem -o fullchain.pem"
)
@files_argument
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where to; default: standard output."
)
@force_option
@click.option(
    "--with-root", is_flag=True, help="Put the root at the end, for programs that want it."
)
@click.option("--key", "with_key", is_flag=True, help="Put the leaf's private key after the chain.")
@click.option(
    "--trust",
    multiple=True,
    type=click.Path(path_type=Path),
    help="CA certificates the other side believes: the chain must end at one. Can be repeated.",
)
@click.option("--incomplete", is_flag=True, help="Write the chain although a part is missing.")
@password_options
@new_password_options
def bundle(
    files: tuple[Path, ...],
    output: Path | None,
    force: bool,
    with_root: bool,
    with_key: bool,
    trust: tuple[Path, ...],
    incomplete: bool,
    password_file: Path | None,
    password_env: str | None,
    new_password_file: Path | None,
    new_password_env: str | None,
    no_password: bool,
) -> None:
    """Write leaf and intermediates as PEM in the order TLS wants, the root left out (RFC 8446, 4.4.2).

    A private key among the files says which certificate is the leaf; it is written with --key only.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    from handclasp.certs.serialize import encode

    values = read_all(files, password_file, password_env)
    made, key = _bundle(values, trust)
    _refuse_gap(made, incomplete=incomplete)
    links = list(made.links)
    if with_root:
        if made.root is None:
            raise UsageError("the root is not among the files", hint="Name its file as well.")
        links.append(made.root)
    keys = [_wanted(key)] if with_key else []
    refuse_altered([*links, *keys])
    secret = new_password(new_password_file, new_password_env, no_password, keys, always=False)
    written: list[Value] = [*links, *keys]
    data = b"".join(encode(one, Encoding.PEM, password=secret) for one in written)
    _tell(links, made)
    put(output, data, private=with_key, text=True, force=force)


def _bundle(values: Sequence[object], trust: Sequence[Path]) -> tuple[Bundle, FoundKey | None]:
    from cryptography import x509

    from handclasp.certs import bundles
    from handclasp.certs.private_keys import FoundKey
    from handclasp.keys.load import load_trust

    certificates = [value for value in values if isinstance(value, x509.Certificate)]
    keys = [value for value in values if isinstance(value, FoundKey)]
    key = bundles.fitting_key(keys, certificates)
    if keys and key is None and certificates:
        click.echo("left out: a private key that is not that of any of the certificates", err=True)
    anchors: Sequence[x509.Certificate] = ()
    if trust:
        loaded = load_trust("the trust given", certificates=trust, pipes=True)
        if errors_in(loaded.findings):
            raise FindingsError(errors_in(loaded.findings), exit_code=ExitCode.USAGE)
        anchors = loaded.anchors
    made = bundles.bundle(certificates, key=key, anchors=anchors)
    if made is None:
        raise UsageError("there is no certificate among the files")
    return made, key


def _wanted(key: FoundKey | None) -> FoundKey:
    if key is None:
        raise UsageError(
            "--key is given, and no private key of the leaf is among the files",
            hint="Name the key's file as well.",
        )
    return key


def _refuse_gap(made: Bundle, *, incomplete: bool) -> None:
    from handclasp.certs import facts
    from handclasp.certs.checks import fetch_hint
    from handclasp.certs.dn import issuer_text

    if not made.gap or incomplete:
        return
    top = made.links[-1]
    raise UsageError(
        f"the chain has a gap: '{issuer_text(top)}', which issued {facts.label(top)}, is missing",
        hint=f"{fetch_hint(top) or 'Name its file as well.'} --incomplete writes it as it is.",
    )


def _tell(links: Sequence[x509.Certificate], made: Bundle) -> None:
    from handclasp.certs import facts
    from handclasp.certs.chain import self_signed
    from handclasp.certs.dn import issuer_text

    for link in links:
        click.echo(f"written: {facts.label(link)}", err=True)
    if made.root is not None and made.root not in links:
        click.echo(f"left out: {facts.label(made.root)}, the root", err=True)
    for other in made.left_out:
        click.echo(f"left out: {facts.label(other)}, not part of the chain", err=True)
    if made.root is None and not self_signed(links[-1]):
        told = f"the other side must know '{issuer_text(links[-1])}', or it is still missing here"
        click.echo(f"ends with {facts.label(links[-1])}: {told}", err=True)
