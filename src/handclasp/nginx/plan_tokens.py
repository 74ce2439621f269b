"""Deciding how this nginx reaches keys in tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.findings import found
from handclasp.hsm.openssl_conf import Way
from handclasp.nginx.parts import Tokens

if TYPE_CHECKING:
    from handclasp.certs.material import TokenKey
    from handclasp.nginx.plan import Draft, Inputs


_LONGEST_ENGINE_PIN = 31


def plan_tokens(inputs: Inputs, draft: Draft) -> Tokens | None:
    """None without a key in a token, and where this nginx or this machine cannot reach one."""
    keys = {
        name: token
        for name in sorted({*draft.client_uses, *draft.server_uses})
        if (identity := inputs.material.identities.get(name)) and (token := identity.token)
    }
    if not keys:
        return None
    leading = inputs.pkcs11
    if leading is None or inputs.pkcs11_module is None:
        return None  # findings of the identities say why
    if leading.way is Way.ENGINE:
        _short_pins(keys, inputs, draft)
    else:
        _one_pin(keys, inputs, draft)
        draft.findings.append(
            found(
                "pkcs11-provider-after-fork",
                f"this nginx goes to the token by OpenSSL's provider {leading.library}",
                where=inputs.loaded.where("identities", min(keys), "key"),
            )
        )
    pins = tuple(name for name, token in keys.items() if token.pin is not None)
    return Tokens(
        leading=leading,
        module=inputs.pkcs11_module,
        environment=tuple(sorted(inputs.loaded.spec.pkcs11.environment.items())),
        keys=tuple((name, token.uri) for name, token in keys.items()),
        pins=pins,
        single_pin=pins[0] if pins and leading.way is not Way.ENGINE else None,
    )


def _short_pins(keys: dict[str, TokenKey], inputs: Inputs, draft: Draft) -> None:
    """The engine cuts a PIN after 31 bytes (seen with libp11 0.4.12) and logs in with the rest missing."""
    for name, token in keys.items():
        if token.pin is not None and len(token.pin.reveal()) > _LONGEST_ENGINE_PIN:
            seen = f"the PIN of identity '{name}' is longer than {_LONGEST_ENGINE_PIN} bytes, which the"
            draft.findings.append(
                found(
                    "pkcs11-not-with-this-nginx",
                    f"{seen} PKCS#11 engine of OpenSSL cuts it to",
                    where=inputs.loaded.where("identities", name, "pin"),
                    fix="Give the token a shorter PIN, or use pkcs11-provider without the engine.",
                )
            )


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
