"""What the commands of `handclasp hsm` have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.output import printable
from handclasp.cli.secrets import asked_secret, check_secret_file, secret_of, secret_options
from handclasp.errors import EnvironmentFault, UsageError
from handclasp.keys.secret import SecretSource
from handclasp.spec.pkcs11_uri import Pkcs11Uri, Pkcs11UriError, parse_pkcs11_uri

if TYPE_CHECKING:
    from handclasp.certs.secret import Secret
    from handclasp.findings import Finding

pin_options = secret_options("pin", "PIN of the token")
"""--pin-file FILE, --pin-env NAME."""

module_option = click.option(
    "--module",
    type=click.Path(path_type=Path),
    help="The vendor's PKCS#11 library; default: module-path of the URI, $PKCS11_MODULE_PATH, SoftHSM's.",
)


class KeyUri(click.ParamType[Pkcs11Uri]):
    """A PKCS#11 URI (RFC 7512) that names a key."""

    name = "uri"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Pkcs11Uri:
        """The URI, or a usage error."""
        if isinstance(value, Pkcs11Uri):
            return value
        try:
            return parse_pkcs11_uri(value)
        except Pkcs11UriError as problem:
            self.fail(f"{value!r}: {problem}", param, ctx)


key_option = click.option(
    "--key",
    "uri",
    type=KeyUri(),
    required=True,
    metavar="URI",
    help="The key: pkcs11:token=LABEL;object=LABEL, or with id=%01 (RFC 7512).",
)


def module_for(chosen: Path | None, uri: Pkcs11Uri | None = None) -> Path:
    """The module, and the library that loads it. Raises EnvironmentFault."""
    from handclasp.hsm.modules import find_module

    try:
        import pkcs11  # noqa: F401
    except ImportError:
        raise EnvironmentFault(
            "the package python-pkcs11 is not installed",
            hint="Install handclasp with its extra: pip install 'handclasp[hsm]'.",
        ) from None
    return find_module(chosen, uri)


def pin_of(
    file: Path | None, env: str | None, *, prompt: str | None = "PIN"
) -> tuple[Secret[bytes] | None, tuple[Finding, ...]]:
    """The PIN, asked for on a terminal when `prompt` is given, and what is wrong with its file."""
    pin = secret_of(file, env, what="pin")
    source = str(SecretSource(file=file, env=env)) if pin is not None else "this terminal"
    if pin is None and prompt:
        pin = asked_secret(prompt)
    check_pin(pin, source, by_engine=has_engine())
    return pin, check_secret_file(file)


def check_pin(pin: Secret[bytes] | None, source: str, *, by_engine: bool = False) -> None:
    """Raises UsageError for a PIN that no token can be meant to have: it would count as a wrong one.

    `by_engine`: for a key that nginx will reach by the engine.
    """
    from handclasp.hsm.pins import pin_problem

    if pin is None or (problem := pin_problem(pin.reveal(), by_engine=by_engine)) is None:
        return
    only_too_long = pin_problem(pin.reveal()) is None
    raise UsageError(
        f"the PIN of {source} {problem}: it was not tried",
        hint="Give the token a shorter PIN, or use pkcs11-provider without the engine."
        if only_too_long
        else "Give the token's PIN, alone on one line.",
    )


def one_line(text: str) -> str:
    """What a token says of itself is not to steer the terminal, nor to make lines of its own."""
    return printable(text).replace("\n", "\\n")


def has_engine() -> bool:
    """OpenSSL's PKCS#11 engine is installed, and so nginx goes by it (handclasp.hsm.openssl_conf.choose)."""
    from handclasp.hsm.support import find_support

    return any(find_support(major).engine is not None for major in (3, 1))
