"""`handclasp cert split`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from handclasp.cli.cert.inputs import files_argument, password_options
from handclasp.cli.cert.outputs import (
    force_option,
    new_password,
    new_password_options,
    read_all,
    refuse_altered,
)
from handclasp.cli.options import folder_option
from handclasp.errors import UsageError
from handclasp.keys.output import Output, cannot_write, write_new, write_over

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from handclasp.certs.contents import Value
    from handclasp.certs.secret import Secret

_NOT_OVER = "Name another directory with -o, or give --force to have it replaced."
_LONGEST = 80  # of a name's stem; file systems take 255 bytes


@click.command(
    epilog="Example: handclasp cert split chain.p12 --password-file pw --no-password -o parts"
)
@files_argument
@folder_option
@force_option
@password_options
@new_password_options
def split(
    files: tuple[Path, ...],
    folder: Path,
    force: bool,
    password_file: Path | None,
    password_env: str | None,
    new_password_file: Path | None,
    new_password_env: str | None,
    no_password: bool,
) -> None:
    """Write each object of the files to a PEM file of its own, named after its subject.

    A key is named after its certificate and written with mode 0600. All files are written or none, and
    none that exists is replaced without --force.
    """
    read = read_all(files, password_file, password_env)
    values = _each_once(read)
    if not values:
        raise UsageError("there is nothing to write")
    refuse_altered(values)
    secret = new_password(new_password_file, new_password_env, no_password, values, always=False)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise cannot_write(problem, folder) from None
    outputs = _outputs(folder, values, secret)
    for path in write_over(outputs) if force else write_new(outputs, hint=_NOT_OVER):
        click.echo(path)


def _outputs(
    folder: Path, values: Sequence[Value], secret: Secret[bytes] | None
) -> Iterable[Output]:
    from cryptography.hazmat.primitives.serialization import Encoding

    from handclasp.certs.describe import kind_name
    from handclasp.certs.private_keys import FoundKey
    from handclasp.certs.serialize import encode

    endings = {
        "certificate": "pem",
        "private key": "key",
        "public key": "pub",
        "signing request": "csr",
        "revocation list": "crl",
    }
    taken: set[str] = set()
    for value in values:
        stem, ending = _stem(value, values), endings[kind_name(value)]
        name = f"{stem}.{ending}"
        number = 1
        while name.lower() in taken:  # some file systems do not tell Key from key
            number += 1
            name = f"{stem}-{number}.{ending}"
        taken.add(name.lower())
        yield Output(
            path=folder / name,
            data=encode(value, Encoding.PEM, password=secret),
            private=isinstance(value, FoundKey),
        )


def _stem(value: Value, values: Sequence[Value]) -> str:
    """The name's first part, of harmless characters: a subject may hold anything, `../` included."""
    from cryptography import x509

    if isinstance(value, x509.CertificateRevocationList):
        return _harmless(value.issuer) or "crl"
    if isinstance(value, (x509.Certificate, x509.CertificateSigningRequest)):
        return _harmless(value.subject) or "certificate"
    owner = next(
        (
            other
            for other in values
            if isinstance(other, (x509.Certificate, x509.CertificateSigningRequest))
            and _key_of(other) == _key_of(value)
        ),
        None,
    )
    return (_harmless(owner.subject) if owner else "") or "key"


def _harmless(name: object) -> str:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    assert isinstance(name, x509.Name)
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(common[-1].value) if common else name.rfc4514_string()
    text = text.replace("*", "wildcard")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:_LONGEST]


def _key_of(value: Value) -> bytes | None:
    from cryptography import x509

    from handclasp.certs.private_keys import FoundKey, FoundPublicKey, spki

    if isinstance(value, FoundKey):
        return spki(value.key.reveal().public_key()) if value.key else None
    if isinstance(value, FoundPublicKey):
        return spki(value.key)
    if isinstance(value, x509.CertificateRevocationList):
        return None
    return spki(value.public_key())


def _each_once(values: Iterable[Value]) -> list[Value]:
    from cryptography.hazmat.primitives.serialization import Encoding

    from handclasp.certs.serialize import encode

    # Not by equality: keys have none, and revocation lists no hash.
    return list({encode(value, Encoding.DER): value for value in values}.values())
