"""`handclasp cert bundle`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from handclasp.cli.cert.inputs import files_argument, password_options, read_inputs
from handclasp.cli.cert.outputs import force_option, put
from handclasp.cli.secrets import secret_of
from handclasp.errors import ExitCode, UsageError
from handclasp.findings.model import FindingsError, errors_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from handclasp.certs.chain import Ordered
    from handclasp.keys.assemble import ReadFile


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
@click.option(
    "--trust",
    multiple=True,
    type=click.Path(path_type=Path),
    help="CA certificates the other side believes: the chain must end at one. Can be repeated.",
)
@click.option("--incomplete", is_flag=True, help="Write the chain although a part is missing.")
@password_options
def bundle(
    files: tuple[Path, ...],
    output: Path | None,
    force: bool,
    with_root: bool,
    trust: tuple[Path, ...],
    incomplete: bool,
    password_file: Path | None,
    password_env: str | None,
) -> None:
    """Write leaf and intermediates as PEM in the order TLS wants, the root left out (RFC 8446, 4.4.2).

    A private key among the files says which certificate is the leaf; it is not written.
    """
    from handclasp.certs.chain import order
    from handclasp.certs.serialize import encode

    inputs = list(read_inputs(files, secret_of(password_file, password_env, what="password")))
    findings = errors_in(finding for one in inputs for finding in one.findings)
    if findings:
        raise FindingsError(findings, exit_code=ExitCode.USAGE)
    certificates = [cert for one in inputs for cert in one.contents.certificates]
    ordered = order(certificates, key=_key(inputs))
    if ordered is None:
        raise UsageError("there is no certificate among the files")
    links = _links(ordered, certificates, trust, incomplete=incomplete)
    if with_root:
        if ordered.root is None:
            raise UsageError("the root is not among the files", hint="Name its file as well.")
        links = [*links, ordered.root]
    from cryptography.hazmat.primitives.serialization import Encoding

    data = b"".join(encode(link, Encoding.PEM) for link in links)
    _tell(links, ordered)
    put(output, data, private=False, text=True, force=force)


def _key(inputs: Sequence[ReadFile]) -> PublicKeyTypes | None:
    keys = [found.key for one in inputs for found in one.contents.keys if found.key]
    return keys[0].reveal().public_key() if keys else None


def _links(
    ordered: Ordered,
    certificates: Sequence[x509.Certificate],
    trust: Sequence[Path],
    *,
    incomplete: bool,
) -> list[x509.Certificate]:
    """Leaf and intermediates. Raises UsageError where one is missing, unless that is wanted."""
    from handclasp.certs import facts
    from handclasp.certs.chain import build_path, self_signed
    from handclasp.certs.checks import fetch_hint
    from handclasp.certs.dn import issuer_text
    from handclasp.keys.load import load_trust

    links = [ordered.leaf, *ordered.chain]
    if trust:
        anchors = load_trust("the trust given", certificates=trust)
        if errors_in(anchors.findings):
            raise FindingsError(errors_in(anchors.findings), exit_code=ExitCode.USAGE)
        path = build_path(ordered.leaf, certificates, anchors.anchors)
        links = [link for link in path.links if link not in anchors.anchors]
        missing = path.anchor is None
    else:
        # Whether an issuer that was not given is a root cannot be seen; CAs left over speak against it.
        left = [one for one in ordered.unlinked if facts.is_ca(one)]
        missing = bool(left) and ordered.root is None and not self_signed(links[-1])
    if missing and not incomplete:
        top = links[-1]
        raise UsageError(
            f"the chain has a gap: '{issuer_text(top)}', which issued {facts.label(top)}, is missing",
            hint=f"{fetch_hint(top) or 'Name its file as well.'} --incomplete writes it as it is.",
        )
    return links


def _tell(links: Sequence[x509.Certificate], ordered: Ordered) -> None:
    from handclasp.certs import facts
    from handclasp.certs.chain import self_signed
    from handclasp.certs.dn import issuer_text

    for link in links:
        click.echo(f"written: {facts.label(link)}", err=True)
    if ordered.root is not None and ordered.root not in links:
        click.echo(f"left out: {facts.label(ordered.root)}, the root", err=True)
    for other in ordered.unlinked:
        if other not in links:
            click.echo(f"left out: {facts.label(other)}, not part of the chain", err=True)
    if ordered.root is None and not self_signed(links[-1]):
        told = f"the other side must know '{issuer_text(links[-1])}', or it is still missing here"
        click.echo(f"ends with {facts.label(links[-1])}: {told}", err=True)
