"""Where `handclasp cert` puts what it makes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.cert.inputs import read_inputs
from handclasp.cli.output import echo_findings
from handclasp.cli.secrets import check_secret_file, secret_of, secret_options
from handclasp.errors import ExitCode, UsageError
from handclasp.findings.model import FindingsError, errors_in
from handclasp.keys.output import Output, write_new, write_over

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handclasp.certs.contents import Value
    from handclasp.certs.secret import Secret

STANDARD_OUTPUT = Path("-")


def new_password_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--new-password-file, --new-password-env, --no-password."""
    unencrypted = click.option(
        "--no-password", is_flag=True, help="Write the private key unencrypted."
    )
    return secret_options("new-password", "password of what is written")(unencrypted(command))


def force_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--force."""
    return click.option("--force", is_flag=True, help="Replace a file that exists.")(command)


def new_password(
    file: Path | None, env: str | None, no_password: bool, values: Sequence[Value], *, always: bool
) -> Secret[bytes] | None:
    """The password of the keys to be written, or None for unencrypted ones.

    An encrypted key is never written unencrypted without that being spelled, and with `always` none is.
    Raises UsageError.
    """
    from handclasp.certs.private_keys import FoundKey

    password = secret_of(file, env, what="new-password")
    echo_findings(check_secret_file(file))
    if password is not None:
        if no_password:
            raise UsageError("give a new password or --no-password, not both")
        if not password.reveal():
            raise UsageError(
                "the new password is empty", hint="Give --no-password if none is meant."
            )
        return password
    keys = [value for value in values if isinstance(value, FoundKey)]
    if not keys or no_password:
        return None
    if always or any(key.encrypted for key in keys):
        told = "a PKCS#12 file has a password" if always else "the private key is encrypted"
        raise UsageError(
            f"{told}, and no password is given for what is to be written",
            hint="Give --new-password-file FILE, or --no-password to write the key unencrypted.",
        )
    return None


def refuse_altered(values: Sequence[Value]) -> None:
    """Refuses a key that would be written as one of another kind. Raises UsageError.

    The library reads an RSA-PSS key (RFC 4055) as a plain RSA one, and OpenSSL does not take that for
    the key of a certificate that says RSA-PSS. One that was encrypted is known by such a certificate only.
    """
    from cryptography import x509
    from cryptography.x509.oid import PublicKeyAlgorithmOID

    from handclasp.certs.private_keys import FoundKey, spki

    restricted = {
        spki(value.public_key())
        for value in values
        if isinstance(value, x509.Certificate)
        and value.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS
    }
    keys = [value for value in values if isinstance(value, FoundKey)]
    if any(
        one.pss or (one.key and spki(one.key.reveal().public_key()) in restricted) for one in keys
    ):
        raise UsageError(
            "the private key is for RSA-PSS alone, which would be lost in writing it",
            hint="Use `openssl pkcs12` or `openssl pkey` for it.",
        )


def read_all(
    files: Sequence[Path], password_file: Path | None, password_env: str | None
) -> list[Value]:
    """Everything in the files; says when others may read the password's.

    Raises FindingsError when something could not be read: it would be lost.
    """
    password = secret_of(password_file, password_env, what="password")
    echo_findings(check_secret_file(password_file))
    read = list(read_inputs(files, password))
    findings = [finding for one in read for finding in one.findings]
    if errors_in(findings):
        raise FindingsError(errors_in(findings), exit_code=ExitCode.USAGE)
    return [found.value for one in read for found in one.contents.objects]


def put(output: Path | None, data: bytes, *, private: bool, text: bool, force: bool) -> None:
    """Writes a file, or standard output where nothing is given away by that. Raises UsageError."""
    if output is not None and output != STANDARD_OUTPUT:
        _put_file(Output(path=output, data=data, private=private), force=force)
        return
    terminal = sys.stdout.isatty()
    if private and (output is None or terminal):
        raise UsageError(
            "a private key is in it, which is not printed",
            hint="Name a file with -o FILE; `-o -` writes it to a pipe.",
        )
    if terminal and not text:
        raise UsageError("the result is binary", hint="Name a file with -o FILE.")
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


def _put_file(output: Output, *, force: bool) -> None:
    if output.path.is_dir():
        raise UsageError(f"{output.path} is a directory", hint="Name the file to write.")
    if force:
        write_over([output])
    else:
        write_new([output])
    click.echo(f"wrote {output.path} (mode {output.mode:04o})", err=True)
