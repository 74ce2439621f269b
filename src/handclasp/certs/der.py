"""Just enough DER to tell what a file is without knowing how to load it (X.690)."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, OID, SEQUENCE, SET = (
    0x01,
    0x02,
    0x03,
    0x04,
    0x06,
    0x30,
    0x31,
)
CONTEXT_0, CONTEXT_0_PRIMITIVE = 0xA0, 0x80
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
MOST_ELEMENTS = 500_000
"""A key store of a thousand certificates has about a hundred thousand; more would only take time."""


class DerError(ValueError):
    """Not DER: cut off, lengths that do not add up, or an indefinite length (BER)."""


class IndefiniteLengthError(DerError):
    """BER as some PKCS#12 and PKCS#7 writers make it; DER readers refuse it."""


@dataclass(frozen=True, slots=True)
class Element:
    """One tag-length-value; `start` is the first content byte, `end` one past the last."""

    tag: int
    offset: int
    start: int
    end: int

    def content(self, data: bytes) -> bytes:
        return data[self.start : self.end]

    def whole(self, data: bytes) -> bytes:
        return data[self.offset : self.end]


def read_element(data: bytes, offset: int = 0, limit: int | None = None) -> Element:
    """The element at `offset`, which must end at or before `limit`."""
    tag, start, length = head(data, offset, len(data) if limit is None else limit)
    if length is None:
        raise IndefiniteLengthError("indefinite length")
    return Element(tag, offset, start, start + length)


def head(data: bytes, offset: int, limit: int) -> tuple[int, int, int | None]:
    """Tag, start of the content and its length, None where that is indefinite (BER). Raises DerError."""
    if offset + 2 > limit:
        raise DerError("cut off")
    tag, length = data[offset], data[offset + 1]
    if tag & 0x1F == 0x1F:
        raise DerError("multi-byte tag")  # nothing we read has one
    start = offset + 2
    if length == 0x80:
        return tag, start, None
    if length > 0x80:
        size = length & 0x7F
        if size > 4 or start + size > limit:
            raise DerError("bad length")
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > limit:
        raise DerError("cut off")
    return tag, start, length


def encoded(tag: int, content: bytes) -> bytes:
    """One tag-length-value."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def children(data: bytes, parent: Element, *, most: int = sys.maxsize) -> list[Element]:
    """The elements directly inside a constructed one, the first `most` of them."""
    found: list[Element] = []
    offset = parent.start
    while offset < parent.end and len(found) < most:
        element = read_element(data, offset, parent.end)
        found.append(element)
        offset = element.end
    return found


def oid_text(content: bytes) -> str:
    """Dotted text of an OBJECT IDENTIFIER's content bytes."""
    arcs: list[int] = []
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(value)
            value = 0
    if not arcs:
        raise DerError("empty object identifier")
    root = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (root, arcs[0] - 40 * root, *arcs[1:]))


def walk(data: bytes, *, into_octet_strings: bool = False) -> Iterator[Element]:
    """Every element in document order; with the flag also DER wrapped in OCTET STRINGs.

    Raises DerError where the structure breaks, and for more elements than any real file has.
    """
    pending = [read_element(data)]
    seen = 0
    while pending:
        element = pending.pop()
        seen += 1
        if seen > MOST_ELEMENTS:
            raise DerError("too many elements")
        yield element
        if element.tag & 0x20:
            pending.extend(reversed(children(data, element, most=MOST_ELEMENTS)))
        elif into_octet_strings and element.tag in (OCTET_STRING, CONTEXT_0_PRIMITIVE):
            pending.extend(reversed(_wrapped(data, element)))


def _wrapped(data: bytes, element: Element) -> list[Element]:
    # An OCTET STRING may hold anything; only one complete SEQUENCE counts as wrapped DER.
    try:
        inner = read_element(data, element.start, element.end)
    except DerError:
        return []
    return [inner] if inner.tag == SEQUENCE and inner.end == element.end else []
