"""Which shared library speaks to the token (edge: looks which of the usual ones is there)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.errors import EnvironmentFault

if TYPE_CHECKING:
    from handclasp.spec.pkcs11_uri import Pkcs11Uri

VARIABLE = "PKCS11_MODULE_PATH"
"""As libp11 and OpenSC's tools have it."""

# Debian and Ubuntu (and the multiarch name of theirs), Fedora, Homebrew and Alpine.
SOFTHSM = tuple(
    Path(path)
    for path in (
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
        "/usr/lib/pkcs11/libsofthsm2.so",
        "/usr/local/lib/softhsm/libsofthsm2.so",
    )
)


def find_module(chosen: Path | None = None, uri: Pkcs11Uri | None = None) -> Path:
    """The one chosen, that of the URI (`module-path`), $PKCS11_MODULE_PATH, else SoftHSM's if it is there.

    Raises EnvironmentFault.
    """
    named = (
        chosen
        or (Path(uri.module_path) if uri and uri.module_path else None)
        or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    )
    if named is not None:
        if not str(named).isprintable():
            raise EnvironmentFault(
                f"the path of the PKCS#11 module, {str(named)!r}, holds a character that cannot be printed, "
                "and OpenSSL's configuration cannot hold it",
                hint="Name the library by another path, a symbolic link for example.",
            )
        if not named.is_file():
            raise EnvironmentFault(
                f"there is no PKCS#11 module {named}",
                hint="Give the path of the vendor's shared library.",
            )
        return named
    for path in SOFTHSM:
        if path.is_file():
            return path
    raise EnvironmentFault(
        "no PKCS#11 module is named, and SoftHSM is not installed",
        hint=f"Give --module PATH or set {VARIABLE}; for trying: apt install softhsm2.",
    )
