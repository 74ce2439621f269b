"""Distinguished names compared by structure: types, values, and the order of relative names.

Values compare as the characters they stand for, whichever string type holds them, and with case and
blanks as written: stricter than caseIgnoreMatch (RFC 4517 section 4.2.11), so that stock nginx and the
authorizer give one answer to one rule. Denials compare loosely instead: a name that another CA program
wrote in other case is the same issuer.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.certs import der, dn

if TYPE_CHECKING:
    from handclasp.certs.dn import Attribute

_REMEMBERED = 4096
_CODECS = {12: "utf-8", 28: "utf-32-be", 30: "utf-16-be"} | dict.fromkeys(
    (18, 19, 20, 22, 23, 24, 26), "latin-1"
)
"""How the characters of each ASN.1 string type are written."""

COMMON_NAME, ORGANIZATIONAL_UNIT = "2.5.4.3", "2.5.4.11"


@dataclass(frozen=True, slots=True)
class Name:
    """Relative names, most specific first; the attributes of each sorted, since they are a set."""

    rdns: tuple[tuple[str, ...], ...]
    attributes: tuple[Attribute, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Name) and self.rdns == other.rdns

    def __hash__(self) -> int:
        return hash(self.rdns)

    def values(self, oid: str) -> tuple[str, ...]:
        """The text values of one attribute type, in text order."""
        return tuple(
            attribute.value
            for attribute in self.attributes
            if attribute.oid == oid and isinstance(attribute.value, str)
        )

    def count(self, oid: str) -> int:
        """How many attributes of a type there are, unreadable ones included."""
        return sum(attribute.oid == oid for attribute in self.attributes)


def read_name(text: str) -> Name:
    """From RFC 4514 text. Raises DistinguishedNameError, a ValueError."""
    parsed = dn.parse(text)
    return Name(
        rdns=tuple(tuple(sorted(str(one) for one in rdn)) for rdn in parsed.rdns),
        attributes=tuple(attribute for rdn in parsed.rdns for attribute in rdn),
    )


@functools.lru_cache(_REMEMBERED)
def loose_key(text: str) -> str:
    """What all spellings of one name have in common: no two names that OpenSSL takes for the same
    (X509_NAME_cmp) have different ones. String types, case, outer blanks and runs of blanks are ignored.

    Made from RFC 4514 text; one that cannot be read keeps its spelling.
    """
    try:
        name = dn.parse(text)
    except dn.DistinguishedNameError:
        return text
    return ",".join("+".join(sorted(_loose(one) for one in rdn)) for rdn in name.rdns)


def _loose(attribute: Attribute) -> str:
    text = attribute.value if isinstance(attribute.value, str) else _characters(attribute.value)
    if text is None:
        return str(attribute)
    return f"{attribute.oid}={dn.escape_value(' '.join(text.casefold().split()))}"


def _characters(value: bytes) -> str | None:
    """Those of the DER of a string, as the value of an attribute whose type has no name is shown."""
    try:
        element = der.read_element(value)
        codec = _CODECS.get(element.tag) if element.end == len(value) else None
        return None if codec is None else element.content(value).decode(codec)
    except (der.DerError, UnicodeDecodeError):
        return None
