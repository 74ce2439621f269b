"""`handclasp cert convert`."""

from __future__ import annotations

from collections import Counter
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
from handclasp.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.certs.contents import Value
    from handclasp.certs.secret import Secret

_TOLD = 5  # certificates named in a message
_FORMATS = ("pem", "der", "p12", "p7b", "pkcs8")


@click.command(
    epilog="Example: handclasp cert convert client.p12 --password-file old --to pem --no-password"
    " -o client.pem"
)
@files_argument
@click.option("--to", "target", required=True, type=click.Choice(_FORMATS), help="The new format.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where to; default: standard output, for a private key only as `-`.",
)
@force_option
@click.option("--certificates-only", is_flag=True, help="Leave out what is no certificate.")
@click.option("--key-only", is_flag=True, help="Leave out what is no private key.")
@click.option("--name", help="Friendly name (alias) in a PKCS#12 file.")
@click.option(
    "--legacy", is_flag=True, help="PKCS#12 with 3DES and SHA-1, for old Java and Windows."
)
@password_options
@new_password_options
def convert(
    files: tuple[Path, ...],
    target: str,
    output: Path | None,
    force: bool,
    certificates_only: bool,
    key_only: bool,
    name: str | None,
    legacy: bool,
    password_file: Path | None,
    password_env: str | None,
    new_password_file: Path | None,
    new_password_env: str | None,
    no_password: bool,
) -> None:
    """Write certificates and keys in another format; several files are put together.

    Certificates are ordered leaf first. What holds a private key is written with mode 0600, and what
    the new format cannot hold is refused, never left out unasked.
    """
    if certificates_only and key_only:
        raise UsageError("give --certificates-only or --key-only, not both")
    if target != "p12" and (name or legacy):
        raise UsageError("--name and --legacy are for --to p12")
    read = read_all(files, password_file, password_env)
    values = _ordered(_wanted(read, certificates_only, key_only))
    if not values:
        raise UsageError("nothing is left to write")
    refuse_altered(values)
    secret = new_password(
        new_password_file, new_password_env, no_password, values, always=target == "p12"
    )
    data = _encoded(target, values, secret, name, legacy)
    put(output, data, private=_has_key(values), text=target in ("pem", "p7b", "pkcs8"), force=force)


def _encoded(
    target: str,
    values: Sequence[Value],
    secret: Secret[bytes] | None,
    name: str | None,
    legacy: bool,
) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from handclasp.certs.private_keys import FoundKey
    from handclasp.certs.serialize import encode, encode_pkcs7, encode_pkcs12

    certificates = [value for value in values if isinstance(value, x509.Certificate)]
    keys = [value for value in values if isinstance(value, FoundKey)]
    others = len(values) - len(certificates) - len(keys)
    match target:
        case "pem":
            return b"".join(encode(value, Encoding.PEM, password=secret) for value in values)
        case "der":
            if len(values) > 1:
                raise _refused(values, "a DER file holds one object", "`handclasp cert split`")
            return encode(values[0], Encoding.DER, password=secret)
        case "pkcs8":
            if len(values) > 1 or not keys:
                raise _refused(values, "PKCS#8 holds one private key", "--key-only")
            return encode(keys[0], Encoding.PEM, password=secret)
        case "p7b":
            lists = [one for one in values if isinstance(one, x509.CertificateRevocationList)]
            if keys or others > len(lists):
                rule = "PKCS#7 holds certificates and revocation lists"
                raise _refused(values, rule, "--certificates-only")
            return encode_pkcs7(certificates, Encoding.PEM, lists)
        case _:
            if others or len(keys) > 1:
                raise _refused(values, "PKCS#12 holds one key and certificates", "`cert split`")
            _fitting(keys, certificates)
            key = keys[0].key if keys else None
            alias = name or (keys[0].name if keys else None)
            return encode_pkcs12(key, certificates, password=secret, name=alias, legacy=legacy)


def _fitting(keys: Sequence[object], certificates: Sequence[object]) -> None:
    """A PKCS#12 file whose key is not that of its certificate opens nowhere."""
    from cryptography import x509

    from handclasp.certs.private_keys import FoundKey, spki

    if not (keys and certificates):
        return
    key, leaf = keys[0], certificates[0]
    assert isinstance(key, FoundKey)
    assert isinstance(leaf, x509.Certificate)
    if key.key and spki(key.key.reveal().public_key()) != spki(leaf.public_key()):
        raise UsageError(
            "the private key is not that of any of the certificates",
            hint="`handclasp cert show FILE...` says which belong together.",
        )


def _wanted(values: Sequence[Value], certificates_only: bool, key_only: bool) -> list[Value]:
    from cryptography import x509

    from handclasp.certs.private_keys import FoundKey

    if certificates_only:
        return [value for value in values if isinstance(value, x509.Certificate)]
    if key_only:
        return [value for value in values if isinstance(value, FoundKey)]
    return list(values)


def _ordered(values: Sequence[Value]) -> list[Value]:
    """Certificates first, leaf to root, each once; then the rest as it came, the keys last."""
    from cryptography import x509

    from handclasp.certs.bundles import fitting_key
    from handclasp.certs.chain import order
    from handclasp.certs.private_keys import FoundKey, spki

    certificates = [value for value in values if isinstance(value, x509.Certificate)]
    keys: dict[bytes, FoundKey] = {}
    for value in values:
        if isinstance(value, FoundKey) and value.key is not None:
            keys.setdefault(spki(value.key.reveal().public_key()), value)
    fitting = fitting_key(keys.values(), certificates)
    public = fitting.key.reveal().public_key() if fitting and fitting.key else None
    chain = order(certificates, key=public)
    if chain is None:
        first: list[x509.Certificate] = []
    else:
        root = [] if chain.root is None else [chain.root]
        first = [chain.leaf, *chain.chain, *root, *chain.unlinked]
    rest = [value for value in values if not isinstance(value, (x509.Certificate, FoundKey))]
    return [*first, *rest, *keys.values()]


def _has_key(values: Sequence[Value]) -> bool:
    from handclasp.certs.private_keys import FoundKey

    return any(isinstance(value, FoundKey) for value in values)


def _refused(values: Sequence[Value], rule: str, way_out: str) -> UsageError:
    from cryptography import x509

    from handclasp.certs import facts
    from handclasp.certs.counting import counted
    from handclasp.certs.describe import kind_name

    counts = Counter(kind_name(value) for value in values)
    held = ", ".join(counted(count, kind) for kind, count in counts.items())
    names = [facts.label(value) for value in values if isinstance(value, x509.Certificate)]
    told = f" ({', '.join(names[:_TOLD])}{', …' if len(names) > _TOLD else ''})" if names else ""
    return UsageError(f"{rule}, and there are {held}{told}", hint=f"See {way_out}.")
