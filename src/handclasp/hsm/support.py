"""What of the system lets nginx's OpenSSL use a token: a provider or an engine (edge: looks for files)."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PROVIDERS = ("/usr/lib/*/ossl-modules", "/usr/lib64/ossl-modules", "/usr/lib/ossl-modules")
_ENGINES = {
    3: ("/usr/lib/*/engines-3", "/usr/lib64/engines-3", "/usr/lib/engines-3"),
    1: ("/usr/lib/*/engines-1.1", "/usr/lib64/engines-1.1", "/usr/lib/engines-1.1"),
}
_LIBRARY = "pkcs11.so"
_URI_LABEL = b"PKCS#11 PROVIDER URI"
PROVIDER_PACKAGE, ENGINE_PACKAGE = "pkcs11-provider", "libengine-pkcs11-openssl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """Shared libraries that the system's OpenSSL loads; None for what is not installed.

    `uri_files`: the provider reads PEM files that hold the URI of a key. Ubuntu 24.04's, 0.3, does not.
    """

    provider: Path | None = None
    engine: Path | None = None
    uri_files: bool = True


def find_support(openssl_major: int) -> Support:
    """What is installed for the system's OpenSSL of this major version (3 or 1).

    OpenSSL's own variables, $OPENSSL_MODULES and $OPENSSL_ENGINES, name another place, as for OpenSSL.
    """
    providers = (_named("OPENSSL_MODULES") or _PROVIDERS) if openssl_major >= 3 else ()
    engines = _named("OPENSSL_ENGINES") or _ENGINES.get(openssl_major, ())
    provider = _first(providers)
    return Support(
        provider=provider,
        engine=_first(engines),
        uri_files=provider is not None and _reads_uri_files(provider),
    )


def _reads_uri_files(provider: Path) -> bool:
    """Whether the label that such a PEM file has stands in the library: it tells its version nowhere."""
    try:
        return _URI_LABEL in provider.read_bytes()
    except OSError:
        return False


def _named(variable: str) -> tuple[str, ...]:
    value = os.environ.get(variable)
    return (value,) if value else ()


def _first(patterns: Iterable[str]) -> Path | None:
    for pattern in patterns:
        folders = sorted(Path("/").glob(pattern.removeprefix("/")))
        # On a machine with libraries for several processors the one for this is wanted.
        folders.sort(key=lambda folder: platform.machine() not in str(folder))
        for folder in folders:
            if (folder / _LIBRARY).is_file():
                return folder / _LIBRARY
    return None
