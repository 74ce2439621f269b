"""What the commands of `handclasp ca` have in common."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.output import echo_findings
from handclasp.cli.secrets import asked_secret, check_secret_file, secret_of, secret_options
from handclasp.errors import UsageError
from handclasp.findings import FindingsError
from handclasp.keys.secret import SecretSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import timedelta

    from handclasp.ca.directory import Directory, TokenKey
    from handclasp.ca.profile import Signer
    from handclasp.keys.secret import Secret


def directory_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--directory DIR."""
    return click.option(
        "--directory",
        type=click.Path(path_type=Path, readable=False),
        default=Path("ca"),
        show_default=True,
        help="The CA's directory.",
    )(command)


password_options = secret_options("password", "password of the CA's keys")


def root_password_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--root-password-file FILE."""
    return click.option(
        "--root-password-file",
        type=click.Path(path_type=Path),
        help="The root key's own password file; default: the same password.",
    )(command)


def pin_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--module PATH, --pin-file FILE, --pin-env NAME."""
    module = click.option(
        "--module", type=click.Path(path_type=Path), help="PKCS#11 module of keys in a token."
    )
    return module(secret_options("pin", "PIN of the token")(command))


def root_pin_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--root-pin-file FILE, --root-pin-env NAME."""
    return secret_options("root-pin", "PIN of the root's token; default: the same PIN")(command)


def password_of(
    file: Path | None, env: str | None, *, what: str = "password"
) -> Secret[bytes] | None:
    """The secret of an option pair, None when neither is given; says when others may read the file.

    Raises UsageError.
    """
    password = secret_of(file, env, what=what)
    if password is not None and not password.reveal():
        raise UsageError(f"the {what} of {SecretSource(file=file, env=env)} is empty")
    echo_findings(check_secret_file(file))
    return password


@contextlib.contextmanager
def open_issuing(directory: Directory, given: Mapping[str, Any]) -> Iterator[Signer]:
    """The issuing CA with its key, by the options of the command line."""
    from handclasp.ca.ledger import ISSUING

    password = password_of(given["password_file"], given["password_env"])
    with open_signer(directory, ISSUING, given, password) as signer:
        yield signer


def pin_for(role: str, uri: str, given: Mapping[str, Any]) -> Secret[bytes] | None:
    """The PIN of a CA's token, asked for on a terminal where it is not given."""
    from handclasp.cli.ca.token import pin_of

    if role == "root" and (given.get("root_pin_file") or given.get("root_pin_env")):
        return pin_of(uri, given["root_pin_file"], given["root_pin_env"])
    return pin_of(uri, given["pin_file"], given["pin_env"])


@contextlib.contextmanager
def open_signer(
    directory: Directory,
    role: str,
    given: Mapping[str, Any],
    password: Secret[bytes] | None,
    *,
    pin: Callable[[str], Secret[bytes] | None] | None = None,
    typed: list[Secret[bytes]] | None = None,
) -> Iterator[Signer]:
    """A CA with its key; a password or PIN that is needed and not given is asked for on a terminal.

    `pin` is for those who have asked before. `typed` are passwords that were typed for other keys: they
    are tried first, and what is typed now is added.
    """
    from handclasp.cli.ca.token import token_key

    token = token_key(given["module"], pin or (lambda uri: pin_for(role, uri, given)))
    with contextlib.ExitStack() as opened:
        try:
            signer = opened.enter_context(
                directory.signer(role, password=password, token_key=token)
            )
        except FindingsError as problem:
            if not any(one.slug == "key-encrypted-no-passphrase" for one in problem.findings):
                raise _by_our_options(problem, role) from None
            signer = _with_typed(
                opened, directory, role, token, [] if typed is None else typed, problem
            )
        yield signer


def _with_typed(
    opened: contextlib.ExitStack,
    directory: Directory,
    role: str,
    token: TokenKey,
    typed: list[Secret[bytes]],
    problem: FindingsError,
) -> Signer:
    """The CA whose key needs a password: one typed before, else one that is asked for now."""
    for one in typed:
        with contextlib.suppress(FindingsError):
            return opened.enter_context(directory.signer(role, password=one, token_key=token))
    password = asked_secret(f"Password of the {role} key")
    if password is None:
        raise _by_our_options(problem, role) from None
    typed.append(password)
    try:
        return opened.enter_context(directory.signer(role, password=password, token_key=token))
    except FindingsError as refusal:
        raise _by_our_options(refusal, role) from None


def _by_our_options(problem: FindingsError, role: str) -> FindingsError:
    """The way out in the options of these commands; the catalogue speaks of nginx and the spec."""
    option = "--root-password-file or --password-file" if role == "root" else "--password-file"
    fixes = {
        "key-wrong-passphrase": f"Give the right password of the {role} key with {option}.",
        "key-encrypted-no-passphrase": f"Give the password of the {role} key with {option}.",
    }
    return FindingsError(
        [dataclasses.replace(one, fix=fixes.get(one.slug, one.fix)) for one in problem.findings],
        exit_code=problem.exit_code,
    )


class Parsed(click.ParamType[Any]):
    """A value that a function reads from text; its ValueError is the message."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self.parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What `parse` makes of it."""
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except ValueError as problem:
            self.fail(str(problem), param, ctx)


def _lifetime(text: str) -> timedelta:
    from handclasp.ca.lifetimes import parse_lifetime

    return parse_lifetime(text)


LIFETIME = Parsed("lifetime", _lifetime)


def without_common_name(name: str) -> str:
    """The note about a subject that had to do without its common name."""
    return (
        f"note: the subject has no common name: {name} is outside the DNS names of this CA's name"
        " constraints, and programs hold a common name to them where there is no DNS name; to have it,"
        " name the certificate with a DNS name this CA may issue for"
    )
