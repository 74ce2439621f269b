"""New keys that are made in the token and cannot leave it (edge: the module's code)."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pkcs11
from pkcs11 import Attribute, KeyType, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters

from handclasp.hsm.token import TokenKey, find_key, refused

if TYPE_CHECKING:
    from handclasp.spec.pkcs11_uri import Pkcs11Uri

CURVES = {"p256": "secp256r1", "p384": "secp384r1"}
RSA_BITS = {"rsa2048": 2048, "rsa3072": 3072}
KINDS = (*CURVES, *RSA_BITS)

_PRIVATE = {
    Attribute.TOKEN: True,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.SIGN: True,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}
_PUBLIC = {
    Attribute.TOKEN: True,
    Attribute.VERIFY: True,
    Attribute.ENCRYPT: False,
    Attribute.WRAP: False,
}


def generate_key(opened: Any, uri: Pkcs11Uri, kind: str) -> tuple[TokenKey, Pkcs11Uri]:
    """A key of `kind` (one of KINDS) with the label and id of the URI, an id of its own where none is given.

    Returns it and the URI that names it alone. Raises FindingsError when there is one of that label or id,
    when the token refuses, and when what it made could leave it.
    """
    uri = replace(uri, id=uri.id or secrets.token_bytes(8), object=uri.object or kind)
    _free(opened, uri)
    try:
        _generate(opened, uri, kind)
    except pkcs11.PKCS11Error as error:
        raise refused(
            "pkcs11-signing-failed",
            f"the token makes no {kind} key: {type(error).__name__} {error}",
        ) from None
    made = find_key(opened, uri, logged_in=True)
    problem = _can_leave(made)
    if problem:
        raise refused("pkcs11-key-exposed", f"the new key {uri} {problem}")
    return made, uri


def _generate(opened: Any, uri: Pkcs11Uri, kind: str) -> None:
    common = {
        "id": uri.id,
        "label": uri.object,
        "store": True,
        "private_template": _PRIVATE,
        "public_template": _PUBLIC,
    }
    if kind in RSA_BITS:
        opened.generate_keypair(KeyType.RSA, RSA_BITS[kind], **common)
        return
    parameters = opened.create_domain_parameters(
        KeyType.EC,
        {Attribute.EC_PARAMS: encode_named_curve_parameters(CURVES[kind])},
        local=True,
    )
    parameters.generate_keypair(**common)


def _free(opened: Any, uri: Pkcs11Uri) -> None:
    for attribute, value, told in (
        (Attribute.LABEL, uri.object, f"label '{uri.object}'"),
        (Attribute.ID, uri.id, f"id {uri.id.hex() if uri.id else ''}"),
    ):
        for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
            if list(opened.get_objects({Attribute.CLASS: kind, attribute: value})):
                raise refused(
                    "pkcs11-label-not-unique",
                    f"the token already holds a key with {told}",
                    fix="Choose another label or id: keys are never written over.",
                )


def _can_leave(made: TokenKey) -> str | None:
    """Looked at, not believed: the attributes as the token tells them, and an attempt to read it."""
    if made.warnings:
        return made.warnings[0].seen
    attribute = (
        Attribute.PRIVATE_EXPONENT if made.private.key_type is KeyType.RSA else Attribute.VALUE
    )
    try:
        value = made.private[attribute]
    except pkcs11.PKCS11Error:
        return None
    return "could be read out of the token" if value else None
