"""PKCS#11 URIs (RFC 7512): which key of which token."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote_from_bytes, unquote_to_bytes

SCHEME = "pkcs11:"

_TEXT = ("token", "manufacturer", "serial", "model", "object")
_PATH = (*_TEXT, "id", "type", "slot-id")
# RFC 7512 section 2.3: what may stand in a value without being percent-encoded.
_VALUE = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=/&]|%[0-9A-Fa-f]{2})*")
_SAFE = "-._~:[]@!'()*+,="  # and `$`, which nginx would read as a variable's


class Pkcs11UriError(ValueError):
    """Not a PKCS#11 URI that names a key; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Uri:
    """The attributes that are given; None for the others. `id` are bytes (CKA_ID), `object` the label."""

    token: str | None = None
    manufacturer: str | None = None
    serial: str | None = None
    model: str | None = None
    object: str | None = None
    id: bytes | None = None
    slot_id: int | None = None
    module_path: str | None = None

    @property
    def token_uri(self) -> str:
        """The token alone."""
        return SCHEME + ";".join(self._token_parts())

    def __str__(self) -> str:
        """In the order of the RFC's examples, without the type: that of the private key is meant."""
        return SCHEME + ";".join([*self._token_parts(), *self._object_parts()])

    def for_openssl(self) -> str:
        """The private key, as providers and engines read it; no PIN is in it.

        By its id alone where that is given: libp11 before 0.4.12 goes by the label when it has both, and
        takes the first of two keys with one label.
        """
        named = self._object_parts() if self.id is None else self._object_parts()[-1:]
        return SCHEME + ";".join([*self._token_parts(), *named, "type=private"])

    def _token_parts(self) -> list[str]:
        named = (
            ("token", self.token),
            ("manufacturer", self.manufacturer),
            ("serial", self.serial),
            ("model", self.model),
        )
        parts = [f"{name}={_encoded(value.encode())}" for name, value in named if value is not None]
        return parts if self.slot_id is None else [*parts, f"slot-id={self.slot_id}"]

    def _object_parts(self) -> list[str]:
        parts = [] if self.object is None else [f"object={_encoded(self.object.encode())}"]
        # Each byte encoded, as section 2.3 recommends: programs differ in what they take unencoded.
        return parts if self.id is None else [*parts, "id=" + "".join(f"%{b:02X}" for b in self.id)]


def is_pkcs11(text: str) -> bool:
    """It is meant as a PKCS#11 URI (schemes are not case-sensitive, RFC 3986 section 3.1)."""
    return text[: len(SCHEME)].lower() == SCHEME


def parse_pkcs11_uri(text: str, *, key: bool = True) -> Pkcs11Uri:
    """The URI of a private key; with `key` False that of a token is enough.

    Raises Pkcs11UriError for what RFC 7512 does not allow, for attributes that are not supported, and
    for PINs, which belong into a file.
    """
    if not is_pkcs11(text):
        raise Pkcs11UriError(f"it does not begin with {SCHEME!r}")
    path, _, query = text[len(SCHEME) :].partition("?")
    given = _attributes(path, ";", _PATH)
    asked = _attributes(query, "&", ("module-path", "module-name", "pin-source", "pin-value"))
    for name in ("pin-value", "pin-source"):
        if name in asked:
            raise Pkcs11UriError(
                f"a PIN is not given in the URI ({name}): use `pin: {{file: PATH}}` or --pin-file"
            )
    if "module-name" in asked:
        raise Pkcs11UriError("module-name is not supported: give module-path=/path/of/module.so")
    if given.get("type", b"private") != b"private":
        raise Pkcs11UriError(
            f"type={given['type'].decode(errors='replace')} is no private key; leave `type` out"
        )
    if key and not {"object", "id"} & given.keys():
        raise Pkcs11UriError("it names no key: add object=LABEL or id=%01")
    if not key and not given:
        raise Pkcs11UriError("it names no token: add token=LABEL")
    texts = {name: _text(name, given[name]) for name in _TEXT if name in given}
    module = asked.get("module-path")
    return Pkcs11Uri(
        **texts,
        id=given.get("id"),
        slot_id=_number(given["slot-id"]) if "slot-id" in given else None,
        module_path=_text("module-path", module) if module else None,
    )


def _attributes(text: str, separator: str, known: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if not equals:
            raise Pkcs11UriError(f"{part!r} is not NAME=VALUE")
        if name not in known:
            raise Pkcs11UriError(
                f"{name!r} is not known or not supported; known: {', '.join(known)}"
            )
        if name in found:
            raise Pkcs11UriError(f"{name!r} stands twice in it")
        allowed = value.replace("&", "") if separator == ";" else value.replace("?", "")
        if not _VALUE.fullmatch(allowed):
            raise Pkcs11UriError(
                f"the value of {name!r} has characters that must be percent-encoded"
            )
        found[name] = unquote_to_bytes(value)
        if not found[name]:
            raise Pkcs11UriError(f"the value of {name!r} is empty")
    return found


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Pkcs11UriError(f"the value of {name!r} is not UTF-8") from None
    if any(character < " " or character == "\x7f" for character in text):
        raise Pkcs11UriError(f"the value of {name!r} holds a control character")
    return text


def _number(value: bytes) -> int:
    text = value.decode(errors="replace")
    if not re.fullmatch(r"[0-9]{1,10}", text):
        raise Pkcs11UriError(f"slot-id={text} is no number")
    return int(text)


def _encoded(value: bytes) -> str:
    return quote_from_bytes(value, safe=_SAFE)
