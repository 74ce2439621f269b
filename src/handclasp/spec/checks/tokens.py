"""Keys in tokens: what belongs to them and what does not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from handclasp.findings import Finding, found
from handclasp.spec.pkcs11_uri import Pkcs11Uri

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.model import Identity

# What would change which code nginx loads, or is set by us.
_OURS = re.compile(r"(?:LD_|OPENSSL_|NGINX|PATH$)")
_SECRET = re.compile(r"PIN(?:$|_)|PASS|SECRET|TOKEN_KEY")


def check_tokens(loaded: LoadedSpec) -> Iterator[Finding]:
    """`pin` and `password` where they belong, one module, and variables that nginx may be given."""
    for name, identity in loaded.spec.identities.items():
        yield from _identity(loaded, name, identity)
    yield from _modules(loaded)
    yield from _environment(loaded)


def _identity(loaded: LoadedSpec, name: str, identity: Identity) -> Iterator[Finding]:
    place = ("identities", name)
    if not isinstance(identity.key, Pkcs11Uri):
        if identity.pin is not None:
            yield found(
                "spec-inconsistent",
                "`pin` is for a key in a token, and this key is a file",
                where=loaded.key(*place, "pin"),
                fix="Write `password` for an encrypted key, or `key: pkcs11:…`.",
            )
        return
    if identity.password is not None:
        yield found(
            "spec-inconsistent",
            "`password` is for an encrypted file, and this key is in a token",
            where=loaded.key(*place, "password"),
            fix="Write `pin: {file: PATH}`.",
        )
    if identity.pin is None:
        yield found(
            "spec-missing-key",
            f"identity '{name}' has its key in a token and no `pin`",
            where=loaded.where(*place, "key"),
            fix="Add `pin: {file: PATH}` or `pin: {env: NAME}`.",
        )


def _modules(loaded: LoadedSpec) -> Iterator[Finding]:
    first = str(loaded.spec.pkcs11.module) if loaded.spec.pkcs11.module else None
    for name, identity in loaded.spec.identities.items():
        if not isinstance(identity.key, Pkcs11Uri) or identity.key.module_path is None:
            continue
        first = first or identity.key.module_path
        if identity.key.module_path != first:
            yield found(
                "pkcs11-several-modules",
                f"this key needs the module {identity.key.module_path}, others {first}",
                where=loaded.where("identities", name, "key"),
            )


def _environment(loaded: LoadedSpec) -> Iterator[Finding]:
    for name in loaded.spec.pkcs11.environment:
        if _OURS.match(name):
            seen = f"the variable {name} is not one of a PKCS#11 module"
        elif _SECRET.search(name):
            seen = f"the variable {name} looks like a secret: the environment of nginx is no place for it"
        else:
            continue
        yield found(
            "spec-inconsistent",
            seen,
            where=loaded.key("pkcs11", "environment", name),
            fix="Leave it out; the PIN is given by `pin`.",
        )
