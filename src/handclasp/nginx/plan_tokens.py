"""Deciding how this nginx reaches keys in tokens, or why it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.findings import found
from handclasp.hsm.openssl_conf import Way, choose
from handclasp.hsm.support import ENGINE_PACKAGE, PROVIDER_PACKAGE
from handclasp.nginx.features import Feature
from handclasp.nginx.parts import Tokens

if TYPE_CHECKING:
    from handclasp.certs.material import TokenKey
    from handclasp.hsm.openssl_conf import Leading
    from handclasp.nginx.plan import Draft, Inputs

_SLUG = "pkcs11-not-with-this-nginx"
_LAST_WITH_ENGINES = 3  # OpenSSL 4 has none
_DISTRIBUTION_S = "Use the distribution's nginx: `nginx: {binary: /usr/sbin/nginx}`."


def plan_tokens(inputs: Inputs, draft: Draft) -> Tokens | None:
    """None without a key in a token, and where a finding forbids one."""
    keys = {
        name: token
        for name in sorted({*draft.client_uses, *draft.server_uses})
        if (identity := inputs.material.identities.get(name)) and (token := identity.token)
    }
    if not keys:
        return None
    leading = _leading(inputs, draft, min(keys))
    if leading is None or inputs.pkcs11_module is None:
        return None
    if leading.way is not Way.ENGINE:
        _one_pin(keys, inputs, draft)
    pins = tuple(name for name, token in keys.items() if token.pin is not None)
    return Tokens(
        leading=leading,
        module=inputs.pkcs11_module,
        environment=tuple(sorted(inputs.loaded.spec.pkcs11.environment.items())),
        keys=tuple((name, token.uri) for name, token in keys.items()),
        pins=pins,
        single_pin=pins[0] if pins and leading.way is not Way.ENGINE else None,
    )


def _leading(inputs: Inputs, draft: Draft, name: str) -> Leading | None:
    facts, support = inputs.facts, inputs.pkcs11_support
    library = facts.tls_library
    seen, fix = "", None
    if facts.static:
        seen = f"{facts.binary} is linked statically, so its OpenSSL can load nothing"
        fix = _DISTRIBUTION_S
    elif library.name != "OpenSSL":
        seen = f"{facts.binary} uses {library.name}, which loads neither providers nor engines"
        fix = _DISTRIBUTION_S
    elif support is not None:
        leading = choose(
            support,
            store=facts.has(Feature.STORE_KEYS),
            engines=library.number[0] <= _LAST_WITH_ENGINES,
        )
        if leading is not None:
            return leading
        seen = (
            "neither the PKCS#11 provider nor the PKCS#11 engine is installed for OpenSSL"
            f" {library.running}, which {facts.binary} uses"
        )
        fix = f"Install {_packages(library.number[0])} (the names are those of Debian and Ubuntu)."
    if seen:
        where = inputs.loaded.where("identities", name, "key")
        draft.findings.append(found(_SLUG, seen, where=where, fix=fix))
    return None


def _packages(major: int) -> str:
    provider = f"{PROVIDER_PACKAGE}, or, where there is none, " if major >= 3 else ""
    return f"{provider}{ENGINE_PACKAGE}"


def _one_pin(keys: dict[str, TokenKey], inputs: Inputs, draft: Draft) -> None:
    """The provider is given one PIN, for whatever token it opens (pkcs11-module-token-pin)."""
    first: bytes | None = None
    for name, token in keys.items():
        pin = token.pin.reveal() if token.pin else None
        if pin is None:
            continue
        if first is not None and pin != first:
            draft.findings.append(
                found(
                    "pkcs11-several-pins",
                    f"identity '{name}' has another PIN than those before it",
                    where=inputs.loaded.where("identities", name, "pin"),
                )
            )
        first = first or pin
