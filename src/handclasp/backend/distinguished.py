"""Distinguished names for the application's side: the text of one, and whether a text means one.

The text is the form of OpenSSL's XN_FLAG_RFC2253 (crypto/asn1/a_strex.c), which nginx, Envoy and
HAProxy (`rfc2253`) send. Texts are compared by structure, never as strings: order and grouping of
the relative names, attribute types as far as both sides name them, and the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from handclasp.backend.identity import IdentityError, Reason, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography import x509

# What OpenSSL prints, and RFC 4514 section 3 or AWS write, for the types that subjects use.
SHORT_NAMES: Final[dict[str, str]] = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.13": "description",
    "2.5.4.15": "businessCategory",
    "2.5.4.17": "postalCode",
    "2.5.4.41": "name",
    "2.5.4.42": "GN",
    "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier",
    "2.5.4.46": "dnQualifier",
    "2.5.4.65": "pseudonym",
    "2.5.4.97": "organizationIdentifier",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
    "1.2.840.113549.1.9.2": "unstructuredName",
}
_OTHER_NAMES: Final = {"S": "2.5.4.8", "E": "1.2.840.113549.1.9.1", "EMAIL": "1.2.840.113549.1.9.1"}
_OIDS: Final = {name.upper(): oid for oid, name in SHORT_NAMES.items()} | _OTHER_NAMES
_ALWAYS_ESCAPED: Final = frozenset(b',+"\\<>;')
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_LONGEST: Final = 16384


@dataclass(frozen=True, slots=True)
class Attribute:
    """`oid` is None where the text names a type that is not in the table. `value` is UTF-8."""

    oid: str | None
    value: bytes


Name = tuple[tuple[Attribute, ...], ...]
"""Relative names, most specific first; each of one or more attributes."""


def name_of(name: x509.Name) -> Name:
    """The structure of a name in a certificate."""
    return tuple(
        tuple(
            Attribute(attribute.oid.dotted_string, _value_of(attribute))
            for attribute in reversed(list(rdn))
        )
        for rdn in reversed(name.rdns)
    )


def name_text(name: x509.Name) -> str:
    """RFC 4514 text, ASCII, as `$ssl_client_s_dn` shows it.

    A type without a short name here prints as OID and hex of the value's DER, UTF8String assumed.
    """
    return ",".join("+".join(_attribute_text(one) for one in rdn) for rdn in name_of(name))


def same_name(told: Name, actual: Name) -> bool:
    """Whether a told name is the certificate's. Attributes of one relative name have no order."""
    return len(told) == len(actual) and all(map(_same_rdn, told, actual))


def parse_name(text: str) -> Name:
    """RFC 4514 and RFC 2253 text. Raises IdentityError (malformed)."""
    if len(text) > _LONGEST:
        raise IdentityError(Reason.OVERSIZED, "a distinguished name is too long")
    if not text.strip(" "):
        return ()
    rdns: list[tuple[Attribute, ...]] = []
    current: list[Attribute] = []
    position = 0
    while True:
        attribute, position = _attribute(text, position)
        current.append(attribute)
        separator = text[position : position + 1]
        if separator != "+":
            rdns.append(tuple(current))
            current = []
        if not separator:
            return tuple(rdns)
        position += 1


def _same_rdn(told: Iterable[Attribute], actual: tuple[Attribute, ...]) -> bool:
    left = list(actual)
    for attribute in told:
        match = next((one for one in left if _same_attribute(attribute, one)), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def _same_attribute(told: Attribute, actual: Attribute) -> bool:
    return told.value == actual.value and told.oid in (None, actual.oid)


def _attribute(text: str, position: int) -> tuple[Attribute, int]:
    equals = text.find("=", position)
    if equals < 0:
        raise _malformed(text, "has a part without '='")
    kind = text[position:equals].strip(" ").upper().removeprefix("OID.")
    if not kind or not all(c.isascii() and (c.isalnum() or c in ".-") for c in kind):
        raise _malformed(text, "has a part without a type")
    value, end = _value(text, equals + 1)
    dotted = kind if kind[0].isdigit() else None
    return Attribute(_OIDS.get(kind, dotted), value), end


def _value(text: str, position: int) -> tuple[bytes, int]:
    """The value as UTF-8, and where its separator (or the end) is."""
    while text[position : position + 1] == " ":
        position += 1
    if text[position : position + 1] == '"':
        value, position = _until(text, position + 1, '"')
        if position >= len(text):
            raise _malformed(text, "has an open quote")
        position += 1
        while text[position : position + 1] == " ":
            position += 1
        if position < len(text) and text[position] not in ",+;":
            raise _malformed(text, "goes on after a closing quote")
        return value, position
    value, end = _until(text, position, ",+;")
    raw = text[position:end].strip(" ")
    # OpenSSL leaves a lone '#' unescaped, so only real hex is hex.
    if raw.startswith("#") and (decoded := _der_text(raw[1:])) is not None:
        return decoded, end
    return value, end


def _until(text: str, position: int, stops: str) -> tuple[bytes, int]:
    """Unescapes up to one of `stops`; blanks at the end count only if they were escaped."""
    value = bytearray()
    meant = 0
    while position < len(text) and text[position] not in stops:
        if text[position] != "\\":
            value += text[position].encode("utf-8", "surrogatepass")
            position += 1
            continue
        pair = text[position + 1 : position + 3]
        if not pair:  # an escaped blank at the end, which HTTP cuts off as white space
            pair = " "
        if len(pair) == 2 and _HEX.issuperset(pair):
            value += bytes.fromhex(pair)
            position += 3
        else:
            value += pair[0].encode("utf-8", "surrogatepass")
            position += 2
        meant = len(value)
    if stops == '"':
        return bytes(value), position
    return bytes(value[:meant]) + bytes(value[meant:]).rstrip(b" "), position


def _der_text(digits: str) -> bytes | None:
    """The content of a DER string written in hex; None if that is not what it is."""
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        return None
    if len(data) < 2:
        return None
    start = 2 if data[1] < 0x80 else 2 + (data[1] & 0x7F)
    content = data[start:]
    encoding = {30: "utf-16-be", 28: "utf-32-be", 20: "latin-1"}.get(data[0])
    if encoding is None:
        return content
    try:
        return content.decode(encoding).encode()
    except UnicodeError:
        return None


def _value_of(attribute: x509.NameAttribute[str | bytes]) -> bytes:
    value = attribute.value
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")


def _attribute_text(attribute: Attribute) -> str:
    assert attribute.oid is not None, "a name of a certificate"
    short = SHORT_NAMES.get(attribute.oid)
    if short is None:
        return f"{attribute.oid}=#{_der_utf8(attribute.value).hex().upper()}"
    return f"{short}={_escape(attribute.value)}"


def _der_utf8(content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((12, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((12, 0x80 | len(length))) + length + content


def _escape(data: bytes) -> str:
    text: list[str] = []
    last = len(data) - 1
    for index, byte in enumerate(data):
        # The last character's rule replaces the first's, so a lone '#' goes through (do_buf).
        at_edge = (byte == 0x20 and index in (0, last)) or (byte == 0x23 and index == 0 != last)
        if byte in _ALWAYS_ESCAPED or at_edge:
            text.append("\\" + chr(byte))
        elif byte < 0x20 or byte >= 0x7F:
            text.append(f"\\{byte:02X}")
        else:
            text.append(chr(byte))
    return "".join(text)


def _malformed(text: str, why: str) -> IdentityError:
    return IdentityError(Reason.MALFORMED, f"the distinguished name {shown(text)} {why}")
