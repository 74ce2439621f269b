"""Distinguished names compared by structure: types, values, and the order of relative names.

Values compare as the characters they stand for, whichever string type holds them, and with case and
blanks as written: stricter than caseIgnoreMatch (RFC 4517 section 4.2.11), so that stock nginx and the
authorizer give one answer to one rule. Denials compare loosely instead: a name that another CA program
wrote in other case is the same issuer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.certs import dn

if TYPE_CHECKING:
    from handclasp.certs.dn import Attribute

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


def loose_key(text: str) -> str:
    """What two spellings of one name have in common: case and runs of blanks are ignored.

    Made from RFC 4514 text; one that cannot be read keeps its spelling.
    """
    try:
        name = dn.parse(text)
    except dn.DistinguishedNameError:
        return text
    return ",".join("+".join(sorted(_loose(one) for one in rdn)) for rdn in name.rdns)


def _loose(attribute: Attribute) -> str:
    if isinstance(attribute.value, bytes):
        return str(attribute)
    value = " ".join(attribute.value.casefold().split())
    return f"{attribute.oid}={dn.escape_value(value)}"
