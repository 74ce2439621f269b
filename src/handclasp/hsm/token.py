"""A token through its PKCS#11 module: finding it, logging in, finding the key (edge: the module's code).

Everything here runs the module in this process. What may crash or hang goes through `isolated`.
The standard: PKCS #11 Cryptographic Token Interface Base Specification 2.40, OASIS.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509 import load_der_x509_certificate
from pkcs11.util.ec import encode_ec_public_key
from pkcs11.util.rsa import encode_rsa_public_key

from handclasp.certs.private_keys import describe_key
from handclasp.errors import ExitCode
from handclasp.findings import Finding, Where, found
from handclasp.findings.model import FindingsError

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.spec.pkcs11_uri import Pkcs11Uri

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def refused(
    slug: str, seen: str, *, where: Where | None = None, fix: str | None = None
) -> FindingsError:
    """What stands in the way of using a token."""
    # A token's label may have anything in it, and is not to make lines of its own.
    finding = found(slug, seen.replace("\n", "\\n"), where=where or Where(), fix=fix)
    return FindingsError([finding], exit_code=ExitCode.ENVIRONMENT)


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A private key of a token in an open, logged-in session, with its public key."""

    private: Any
    public: PublicKey
    warnings: tuple[Finding, ...] = ()


def load_module(module: Path) -> Any:
    """The module, initialised. Raises FindingsError when it cannot be loaded."""
    try:
        return pkcs11.lib(str(module))
    except (pkcs11.PKCS11Error, OSError, RuntimeError) as error:
        told = str(error) or type(error).__name__
        raise refused(
            "pkcs11-module-failed",
            f"the PKCS#11 module cannot be loaded: {told}",
            where=Where(file=str(module)),
        ) from None


def tokens(library: Any) -> list[Any]:
    """Every initialised token, by label and serial: a module's own order may change from run to run."""
    found_tokens = []
    for slot in library.get_slots(token_present=True):
        with contextlib.suppress(pkcs11.PKCS11Error):
            token = slot.get_token()
            if pkcs11.TokenFlag.TOKEN_INITIALIZED in token.flags:
                found_tokens.append(token)
    return sorted(found_tokens, key=lambda token: (token.label, _text(token.serial)))


def find_token(library: Any, uri: Pkcs11Uri, *, module: Path) -> Any:
    """The one token the URI describes. Raises FindingsError with the tokens there are."""
    there, where = tokens(library), Where(file=str(module))
    fitting = [token for token in there if _fits(token, uri)]
    if len(fitting) == 1:
        return fitting[0]
    held = ", ".join(f"'{token.label}' (serial {_text(token.serial)})" for token in there)
    if fitting:
        raise refused(
            "pkcs11-label-not-unique",
            f"{len(fitting)} tokens fit {uri.token_uri}: {held}",
            where=where,
            fix="Add serial=… to the URI.",
        )
    raise refused(
        "pkcs11-token-absent",
        f"there is no token {uri.token_uri}; there is {held or 'none at all'}",
        where=where,
    )


def token_name(token: Any) -> str:
    """One token's name among all, however a URI may describe it."""
    parts = (token.label, token.manufacturer_id, token.model, token.serial)
    return json.dumps([_text(part) for part in parts])


def find_key(opened: Any, uri: Pkcs11Uri, *, logged_in: bool) -> TokenKey:
    """The private key the URI names, with its public key. Raises FindingsError."""
    keys = list(opened.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}))
    fitting = [key for key in keys if _is(key, uri)]
    if not fitting:
        held = ", ".join(sorted(_named(key) for key in keys))
        note = "" if logged_in else "; private keys show after a login only, and no PIN is given"
        raise refused(
            "pkcs11-object-not-found",
            f"the token holds no private key {_wanted(uri)}; it holds {held or 'none'}{note}",
        )
    if len(fitting) > 1:
        held = ", ".join(sorted(_named(key) for key in fitting))
        raise refused(
            "pkcs11-label-not-unique",
            f"{len(fitting)} private keys fit {_wanted(uri)}: {held}",
            fix="Add id=%… to the URI.",
        )
    key = fitting[0]
    return TokenKey(key, public_key(opened, key), tuple(_exposure(key)))


def public_key(opened: Any, private: Any) -> PublicKey:
    """The public half: that of the private object where it tells, else of the public object or the
    certificate of one id or label. Raises FindingsError."""
    candidates = [private]
    for attribute in (pkcs11.Attribute.ID, pkcs11.Attribute.LABEL):
        value = _attribute(private, attribute)
        if value:
            candidates += opened.get_objects(
                {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY, attribute: value}
            )
    for candidate in candidates:
        with contextlib.suppress(pkcs11.PKCS11Error, ValueError, TypeError, KeyError):
            encode = (
                encode_ec_public_key
                if private.key_type is pkcs11.KeyType.EC
                else encode_rsa_public_key
            )
            loaded = load_der_public_key(encode(candidate))
            if isinstance(loaded, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
                return loaded
    if certified := _certified_key(opened, private):
        return certified
    raise refused(
        "pkcs11-object-not-found",
        f"the token does not tell the public key of {_named(private)}: there is no public key object or "
        "certificate of its label or id",
    )


def _certified_key(opened: Any, private: Any) -> PublicKey | None:
    kind = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.CERTIFICATE}
    for attribute in (pkcs11.Attribute.ID, pkcs11.Attribute.LABEL):
        value = _attribute(private, attribute)
        for held in opened.get_objects({**kind, attribute: value}) if value else ():
            with contextlib.suppress(pkcs11.PKCS11Error, ValueError, TypeError):
                loaded = load_der_x509_certificate(held[pkcs11.Attribute.VALUE]).public_key()
                if isinstance(loaded, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
                    return loaded
    return None


def _exposure(key: Any) -> list[Finding]:
    exposed = [
        told
        for attribute, safe, told in (
            (pkcs11.Attribute.SENSITIVE, True, "it is not marked sensitive"),
            (pkcs11.Attribute.EXTRACTABLE, False, "it may be exported"),
        )
        if _attribute(key, attribute) not in (safe, None)
    ]
    if not exposed:
        return []
    seen = f"{_named(key)} can leave the token: {' and '.join(exposed)}"
    return [found("pkcs11-key-exposed", seen)]


def _fits(token: Any, uri: Pkcs11Uri) -> bool:
    return all(
        wanted is None or wanted == actual
        for wanted, actual in (
            (uri.token, token.label),
            (uri.manufacturer, _text(token.manufacturer_id)),
            (uri.serial, _text(token.serial)),
            (uri.model, _text(token.model)),
            (uri.slot_id, token.slot.slot_id),
        )
    )


def _is(key: Any, uri: Pkcs11Uri) -> bool:
    label, number = _attribute(key, pkcs11.Attribute.LABEL), _attribute(key, pkcs11.Attribute.ID)
    return (uri.object is None or uri.object == label) and (uri.id is None or uri.id == number)


def _wanted(uri: Pkcs11Uri) -> str:
    label = f"labelled '{uri.object}'" if uri.object is not None else ""
    number = f"with id {uri.id.hex()}" if uri.id is not None else ""
    return " ".join(part for part in (label, number) if part)


def _named(key: Any) -> str:
    label, number = _attribute(key, pkcs11.Attribute.LABEL), _attribute(key, pkcs11.Attribute.ID)
    return f"'{label}' (id {number.hex() if number else 'none'})"


def _attribute(key: Any, attribute: Any) -> Any:
    try:
        return key[attribute]
    except pkcs11.PKCS11Error:
        return None


def _text(value: Any) -> str:
    return value.decode(errors="replace").strip("\x00 ") if isinstance(value, bytes) else str(value)


def token_facts(token: Any) -> dict[str, Any]:
    """What a token says of itself, for `list`."""
    flags = token.flags
    return {
        "label": token.label,
        "serial": _text(token.serial),
        "manufacturer": _text(token.manufacturer_id),
        "model": _text(token.model),
        "pin_locked": pkcs11.TokenFlag.USER_PIN_LOCKED in flags,
        "pin_tries_low": pkcs11.TokenFlag.USER_PIN_COUNT_LOW in flags
        or pkcs11.TokenFlag.USER_PIN_FINAL_TRY in flags,
    }


def key_facts(opened: Any, key: Any) -> dict[str, Any]:
    """A private key as the token shows it, for `list`."""
    number = _attribute(key, pkcs11.Attribute.ID)
    try:
        public: PublicKey | None = public_key(opened, key)
    except FindingsError:
        public = None
    return {
        "label": _attribute(key, pkcs11.Attribute.LABEL),
        "id": number.hex() if number else None,
        "type": describe_key(public) if public else key.key_type.name,
        "exposed": bool(_exposure(key)),
    }
