"""Passwords and PINs on the command line: by file or by environment variable, never as an argument."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handclasp.errors import UsageError
from handclasp.keys.files import check_secret_mode, read_file
from handclasp.keys.secret import Secret, SecretSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from handclasp.findings import Finding


def secret_options(what: str, of: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--WHAT-file FILE and --WHAT-env NAME; `of` says in the help what the secret opens."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        file = click.option(
            f"--{what}-file",
            type=click.Path(path_type=Path),
            help=f"File whose one line is the {of}.",
        )
        env = click.option(
            f"--{what}-env", metavar="NAME", help=f"Environment variable with the {of}."
        )
        return file(env(command))

    return decorate


def secret_of(file: Path | None, env: str | None, *, what: str) -> Secret[bytes] | None:
    """The secret of such a pair; None when neither is given. Raises UsageError."""
    if file is None and env is None:
        return None
    if file is not None and env is not None:
        raise UsageError(f"give --{what}-file or --{what}-env, not both")
    return SecretSource(file=file, env=env).read()


def asked_secret(prompt: str, *, new: bool = False) -> Secret[bytes] | None:
    """Asks on the terminal, where a new one is typed twice; None where there is no terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    typed = click.prompt(prompt, hide_input=True, confirmation_prompt=new, err=True)
    return Secret(str(typed).encode())


def check_secret_file(path: Path | None) -> tuple[Finding, ...]:
    """Whether others may read a file with a secret."""
    if path is None:
        return ()
    return check_secret_mode(read_file(path, unreadable="secret-unreadable"))
