"""Keys of a CA in a token: how the command line opens them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from handclasp.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    from handclasp.ca.directory import TokenKey
    from handclasp.keys.secret import Secret


def pin_of(uri: str, pin_file: Path | None, pin_env: str | None) -> Secret[bytes] | None:
    """The PIN of a pair of options, else asked for on a terminal, else None."""
    from handclasp.cli.ca.options import password_of
    from handclasp.cli.hsm.options import check_pin
    from handclasp.cli.secrets import asked_secret
    from handclasp.keys.secret import SecretSource

    given = password_of(pin_file, pin_env, what="pin")
    pin = given or asked_secret(f"PIN for {uri}")
    check_pin(pin, str(SecretSource(file=pin_file, env=pin_env)) if given else "this terminal")
    return pin


def token_key(module: Path | None, pin: Callable[[str], Secret[bytes] | None]) -> TokenKey:
    """Opens keys by their pkcs11: URI. Nothing is loaded, and no PIN wanted, until then."""

    @contextlib.contextmanager
    def open_key(uri: str) -> Iterator[CertificateIssuerPrivateKeyTypes]:
        from handclasp.spec.pkcs11_uri import parse_pkcs11_uri

        try:
            from handclasp.hsm.modules import find_module
            from handclasp.hsm.signing import open_signing_key
        except ImportError:
            raise EnvironmentFault(
                "keys in a token need the package python-pkcs11",
                hint="Install handclasp with its extra: handclasp[hsm].",
            ) from None
        try:
            parsed = parse_pkcs11_uri(uri)
        except ValueError as problem:
            raise UsageError(f"that is no PKCS#11 URI of a key: {problem}") from None
        known = pin(uri)
        with open_signing_key(parsed, module=find_module(module, parsed), pin=known) as key:
            yield key

    return open_key
