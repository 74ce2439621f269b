"""`handclasp ca init`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.ca.options import (
    LIFETIME,
    Parsed,
    directory_option,
    password_of,
    password_options,
    pin_options,
    root_password_option,
)
from handclasp.cli.secrets import asked_secret
from handclasp.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import timedelta
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    from handclasp.ca.creation import Wishes
    from handclasp.ca.directory import TokenKey
    from handclasp.certs.secret import Secret

_KINDS = ("p256", "p384", "rsa2048", "rsa3072", "rsa4096", "ed25519")
_LONGEST_PASSWORD = 1023  # bytes that PEM encryption takes
_KINDS_OF_NAMES = ("dns", "ip", "uri", "email")


def _constraint(text: str) -> Any:
    from handclasp.ca.names import constraint

    kind, _, value = text.partition(":")
    return constraint(kind, value)


def _permitted(kind: str) -> Parsed:
    return Parsed(kind, lambda text: _constraint(f"{kind}:{text}"))


@click.command(
    epilog="Example: handclasp ca init --name 'Example Org' --password-file ca-password"
    " --permit-dns example.internal"
)
@click.option("--name", required=True, help="Organisation; the CAs are called after it.")
@directory_option
@click.option(
    "--key",
    "kind",
    type=click.Choice(_KINDS),
    default="p256",
    show_default=True,
    help="Kind of both keys.",
)
@click.option(
    "--permit-dns", type=_permitted("dns"), multiple=True, help="Only names at and below it."
)
@click.option(
    "--permit-ip", type=_permitted("ip"), multiple=True, help="Only addresses of this network."
)
@click.option(
    "--permit-uri", type=_permitted("uri"), multiple=True, help="Only URIs with this host."
)
@click.option(
    "--permit-email", type=_permitted("email"), multiple=True, help="Only mail of this host."
)
@click.option(
    "--exclude",
    type=Parsed("name", _constraint),
    multiple=True,
    metavar="KIND:NAME",
    help="Never for these: dns:NAME, ip:NETWORK, uri:HOST, email:HOST.",
)
@click.option("--constrain-root", is_flag=True, help="Put the constraints into the root as well.")
@click.option(
    "--root-lifetime", type=LIFETIME, default="10y", show_default=True, help="Of the root."
)
@click.option(
    "--lifetime", type=LIFETIME, default="3y", show_default=True, help="Of the issuing CA."
)
@click.option(
    "--crl-url",
    metavar="URL",
    help="Where root.crl and issuing.crl are to be had, for certificates to say.",
)
@click.option("--root-key", metavar="PKCS11-URI", help="The root's key in a token.")
@click.option("--issuer-key", metavar="PKCS11-URI", help="The issuing CA's key in a token.")
@pin_options
@password_options
@root_password_option
@click.option("--no-password", is_flag=True, help="Keep the keys unencrypted.")
def init(name: str, directory: Path, kind: str, **given: Any) -> None:
    """Make a root and an issuing intermediate.

    Both keys are encrypted with a password, files are for their owner alone, and the directory is
    written whole or not at all. Give root.pem to those who shall trust the CA. --permit-… and --exclude
    limit the names it may issue for, and can be repeated.
    """
    from handclasp.agent.clock import SystemClock
    from handclasp.ca.creation import make_certificates
    from handclasp.ca.directory import NewAuthority, make_directory
    from handclasp.ca.ledger import ISSUING, ROOT
    from handclasp.ca.newkeys import new_key
    from handclasp.certs.private_keys import spki
    from handclasp.certs.secret import Secret as Sealed
    from handclasp.cli.ca.token import pin_of, token_key

    _check_given(directory, given)
    wishes = _wishes(name, given)
    uris = {ROOT: given["root_key"], ISSUING: given["issuer_key"]}
    passwords = _passwords(given, in_files=[role for role, uri in uris.items() if uri is None])
    pins = given["pin_file"], given["pin_env"]
    open_key = token_key(given["module"], lambda uri: pin_of(uri, *pins))
    keys = {role: Sealed(new_key(kind)) for role, uri in uris.items() if uri is None}
    # One after the other: a token takes one login of a process at a time.
    with _opened(keys.get(ISSUING), uris[ISSUING], open_key) as issuing_key:
        issuing_public = issuing_key.public_key()
        _check_key("issuing CA", issuing_public)
    with _opened(keys.get(ROOT), uris[ROOT], open_key) as root_key:
        _check_key("root", root_key.public_key())
        if spki(root_key.public_key()) == spki(issuing_public):
            raise UsageError("--root-key and --issuer-key are one key: each CA needs its own")
        certificates = make_certificates(
            wishes, SystemClock().now(), root_key=root_key, issuing_key=issuing_public
        )
    made = {
        role: NewAuthority(
            certificate=certificates[role],
            key=keys.get(role),
            password=passwords.get(role),
            uri=uri,
        )
        for role, uri in uris.items()
    }
    make_directory(directory, wishes.settings(), made)
    _say(directory, given)


def _check_given(directory: Path, given: dict[str, Any]) -> None:
    """Options that do not go together, and a directory that cannot be made."""
    if directory.name in ("", ".."):
        raise UsageError(f"--directory {directory} exists: give the name of a new one")
    source = click.get_current_context().get_parameter_source("kind")
    in_tokens = given["root_key"] is not None and given["issuer_key"] is not None
    if in_tokens and source is click.core.ParameterSource.COMMANDLINE:
        raise UsageError("both keys are in a token, so there is none to make: leave --key out")


def _check_key(role: str, key: object) -> None:
    from handclasp.ca.requests import key_weakness

    if (weakness := key_weakness(key)) is not None:
        raise UsageError(
            f"the key of the {role} is {weakness}",
            hint="Make a key in the token that verifiers take, EC P-256 for one.",
        )


def _opened(
    key: Secret[CertificateIssuerPrivateKeyTypes] | None, uri: str | None, open_key: TokenKey
) -> AbstractContextManager[CertificateIssuerPrivateKeyTypes]:
    if key is not None:
        return contextlib.nullcontext(key.reveal())
    assert uri is not None
    return open_key(uri)


def _wishes(name: str, given: dict[str, Any]) -> Wishes:
    from handclasp.ca.creation import Wishes
    from handclasp.ca.names import constraints_of
    from handclasp.ca.uris import check_list_url

    permitted = [one for kind in _KINDS_OF_NAMES for one in given[f"permit_{kind}"]]
    constraints = constraints_of(permitted, given["exclude"])
    if given["constrain_root"] and constraints is None:
        raise UsageError(
            "--constrain-root needs something to constrain: give --permit-… or --exclude"
        )
    root_lifetime: timedelta = given["root_lifetime"]
    try:
        if given["crl_url"] is not None:
            check_list_url(given["crl_url"])
        return Wishes(
            organisation=name,
            root_lifetime=root_lifetime,
            lifetime=given["lifetime"],
            constraints=constraints,
            constrain_root=given["constrain_root"],
            crl_base=given["crl_url"],
        )
    except ValueError as problem:
        raise UsageError(str(problem)) from None


def _passwords(given: dict[str, Any], *, in_files: list[str]) -> dict[str, Secret[bytes]]:
    """By role; empty where --no-password is spelled or no key is in a file."""
    from handclasp.ca.ledger import ROOT

    password = password_of(given["password_file"], given["password_env"])
    root_password = password_of(given["root_password_file"], None, what="root-password")
    if given["no_password"]:
        if password or root_password:
            raise UsageError("give a password or --no-password, not both")
        return {}
    if in_files and password is None and (root_password is None or in_files != [ROOT]):
        password = asked_secret("Password for the CA's keys", new=True)
        if password is None:
            raise UsageError(
                "the CA's keys need a password",
                hint="Give --password-file FILE, or --no-password to keep them unencrypted.",
            )
    if any(one and len(one.reveal()) > _LONGEST_PASSWORD for one in (password, root_password)):
        raise UsageError(f"a password has at most {_LONGEST_PASSWORD} bytes")
    chosen = {role: root_password or password if role == ROOT else password for role in in_files}
    return {role: secret for role, secret in chosen.items() if secret is not None}


def _say(directory: Path, given: dict[str, Any]) -> None:
    click.echo(directory / "root.pem")
    click.echo(
        f"made the CA in {directory}. Give {directory / 'root.pem'} to those who shall trust it.",
        err=True,
    )
    if given["root_key"] is None:
        click.echo(
            f"{directory / 'root.key'} is needed for `ca crl` only: it can be kept elsewhere meanwhile.",
            err=True,
        )
