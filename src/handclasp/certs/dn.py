"""Distinguished names as text, exactly as nginx shows them in `$ssl_client_s_dn`.

nginx (1.11.6 and later) prints names with OpenSSL's X509_NAME_print_ex and XN_FLAG_RFC2253: most
specific attribute first, short names, `\\,` escapes, every byte beyond ASCII as `\\C3`. The rules
here follow OpenSSL's crypto/asn1/a_strex.c, which is what a `dn:` rule is compared with; where
RFC 4514 differs (a lone `#` is not escaped, for one), OpenSSL wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.certs import der
from handclasp.certs.dn_attributes import OIDS, SHORT_NAMES

if TYPE_CHECKING:
    from cryptography import x509

_ALWAYS_ESCAPED = frozenset(b',+"\\<>;')
_UTF8, _UNIVERSAL, _BMP = 12, 28, 30
# Bytes per character of each string type; 0 is UTF-8 (a_strex.c, tag2nbyte).
_WIDTHS = {_UTF8: 0, 18: 1, 19: 1, 20: 1, 22: 1, 23: 1, 24: 1, 26: 1, _UNIVERSAL: 4, _BMP: 2}


class DistinguishedNameError(ValueError):
    """The text is not an RFC 4514 string; the message says what is wrong and at which character."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its type as dotted OID, and its value (bytes when written as `#hex`)."""

    oid: str
    value: str | bytes

    def __str__(self) -> str:
        if isinstance(self.value, bytes):
            return f"{SHORT_NAMES.get(self.oid, self.oid)}=#{self.value.hex().upper()}"
        if self.oid not in SHORT_NAMES:
            value = self.value.encode()
            # OpenSSL dumps the DER of values whose type it has no name for; UTF8String is assumed.
            return f"{self.oid}=#{der.encoded(_UTF8, value).hex().upper()}"
        return f"{SHORT_NAMES[self.oid]}={escape_value(self.value)}"


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """Relative names in text order (most specific first); each is one or more attributes."""

    rdns: tuple[tuple[Attribute, ...], ...] = ()

    def __str__(self) -> str:
        return ",".join("+".join(str(attribute) for attribute in rdn) for rdn in self.rdns)


def subject_text(certificate: x509.Certificate) -> str:
    """The subject as `$ssl_client_s_dn` shows it."""
    return _from_der(_tbs_names(certificate)[1])


def issuer_text(certificate: x509.Certificate) -> str:
    """The issuer as `$ssl_client_i_dn` shows it."""
    return _from_der(_tbs_names(certificate)[0])


def name_text(name: x509.Name) -> str:
    """Any name, for instance of a CRL's issuer."""
    return _from_der(name.public_bytes())


def escape_value(text: str) -> str:
    """One attribute value as it stands in the text form."""
    return _escape(text.encode("utf-8", "surrogatepass"))


def parse(text: str) -> DistinguishedName:
    """An RFC 4514 (or RFC 2253) string, blanks around separators allowed.

    Attribute types are known short or long names in any case, or dotted OIDs. `str()` of the result
    is the canonical form to compare with `$ssl_client_s_dn`.
    """
    if not text.strip(" "):
        return DistinguishedName()
    rdns: list[tuple[Attribute, ...]] = []
    current: list[Attribute] = []
    position = 0
    while True:
        attribute, position, separator = _attribute(text, position)
        current.append(attribute)
        if separator != "+":
            rdns.append(tuple(current))
            current = []
        if not separator:
            return DistinguishedName(tuple(rdns))


def _attribute(text: str, position: int) -> tuple[Attribute, int, str]:
    equals = text.find("=", position)
    kind = text[position : equals if equals >= 0 else len(text)].strip(" ")
    if equals < 0:
        raise DistinguishedNameError(f"there is no '=' after {kind!r} (character {position + 1})")
    oid = OIDS.get(kind.lower()) or _dotted(kind.upper().removeprefix("OID."))
    if oid is None:
        raise DistinguishedNameError(f"unknown attribute type {kind!r} (character {position + 1})")
    raw, end, separator = _value(text, equals + 1)
    if isinstance(raw, bytes):
        try:
            return Attribute(oid, raw.decode("utf-8")), end, separator
        except UnicodeDecodeError:
            raise DistinguishedNameError(
                f"the escapes of {kind} are not UTF-8 (character {equals + 2})"
            ) from None
    return Attribute(oid, raw.data), end, separator


@dataclass(frozen=True, slots=True)
class _Hex:
    data: bytes


def _value(text: str, start: int) -> tuple[bytes | _Hex, int, str]:
    position = start
    while position < len(text) and text[position] == " ":
        position += 1
    if text[position : position + 1] == "#":
        end = next((i for i in range(position, len(text)) if text[i] in ",+;"), len(text))
        try:
            data = bytes.fromhex(text[position + 1 : end].strip(" "))
        except ValueError:
            data = b""
        # OpenSSL leaves a lone '#' unescaped, so only real hex is hex.
        if data:
            return _Hex(data), end + 1, _separator(text, end)
    if text[position : position + 1] == '"':
        return _quoted(text, position + 1)
    value = bytearray()
    keep = 0  # up to here blanks at the end were escaped, hence meant
    while position < len(text) and text[position] not in ",+;":
        if text[position] == "\\":
            byte, position = _escaped(text, position + 1)
            value += byte
            keep = len(value)
            continue
        value += text[position].encode("utf-8", "surrogatepass")
        position += 1
    stripped = bytes(value[:keep]) + bytes(value[keep:]).rstrip(b" ")
    return stripped, position + 1, _separator(text, position)


def _quoted(text: str, position: int) -> tuple[bytes, int, str]:
    value = bytearray()
    while position < len(text) and text[position] != '"':
        if text[position] == "\\":
            byte, position = _escaped(text, position + 1)
            value += byte
            continue
        value += text[position].encode("utf-8", "surrogatepass")
        position += 1
    if position >= len(text):
        raise DistinguishedNameError("a quoted value has no closing quote")
    position += 1
    while position < len(text) and text[position] == " ":
        position += 1
    if position < len(text) and text[position] not in ",+;":
        raise DistinguishedNameError(f"text after a closing quote (character {position + 1})")
    return bytes(value), position + 1, _separator(text, position)


def _escaped(text: str, position: int) -> tuple[bytes, int]:
    pair = text[position : position + 2]
    if len(pair) == 2 and all(c in "0123456789abcdefABCDEF" for c in pair):
        return bytes.fromhex(pair), position + 2
    if not pair:
        raise DistinguishedNameError("the text ends in a backslash")
    return pair[0].encode("utf-8", "surrogatepass"), position + 1


def _separator(text: str, position: int) -> str:
    if position >= len(text):
        return ""
    return "+" if text[position] == "+" else ","


def _dotted(kind: str) -> str | None:
    arcs = kind.split(".")
    plain = len(arcs) > 1 and all(a.isascii() and a.isdigit() and str(int(a)) == a for a in arcs)
    return kind if plain else None


def _tbs_names(certificate: x509.Certificate) -> tuple[bytes, bytes]:
    """DER of issuer and subject: the library's own strings lose what OpenSSL prints (T61, BMP)."""
    data = certificate.tbs_certificate_bytes
    fields = der.children(data, der.read_element(data))
    if fields[0].tag == der.CONTEXT_0:
        fields = fields[1:]
    return fields[2].whole(data), fields[4].whole(data)


def _from_der(data: bytes) -> str:
    parts: list[str] = []
    for rdn in reversed(der.children(data, der.read_element(data))):
        attributes = reversed(der.children(data, rdn))
        parts.append("+".join(_attribute_text(data, attribute) for attribute in attributes))
    return ",".join(parts)


def _attribute_text(data: bytes, attribute: der.Element) -> str:
    kind, value = der.children(data, attribute)[:2]
    oid = der.oid_text(kind.content(data))
    width = _WIDTHS.get(value.tag)
    if oid not in SHORT_NAMES or width is None:
        return f"{SHORT_NAMES.get(oid, oid)}=#{value.whole(data).hex().upper()}"
    content = value.content(data)
    if width == 1:
        content = content.decode("latin-1").encode()
    elif width:
        codes = (content[i : i + width] for i in range(0, len(content), width))
        content = b"".join(
            chr(min(int.from_bytes(code, "big"), 0x10FFFF)).encode("utf-8", "surrogatepass")
            for code in codes
        )
    return f"{SHORT_NAMES[oid]}={_escape(content)}"


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
