"""BER with indefinite lengths (X.690 section 8.1.3.6) written again with definite ones.

Programs of Java and Windows write PKCS#7 and PKCS#12 so. cryptography has OpenSSL read such data, warns, and
says that it may stop; what tells kinds apart here reads definite lengths only.
"""

from __future__ import annotations

from dataclasses import dataclass

from handclasp.certs.der import MOST_ELEMENTS, OCTET_STRING, DerError, encoded, head

_CONSTRUCTED = 0x20
_DEEPEST = 64  # real containers nest to about twenty
_END_OF_CONTENTS = b"\x00\x00"


def definite(data: bytes) -> tuple[bytes, int]:
    """The value at the start of `data` with definite lengths throughout, and where it ended.

    OCTET STRINGs in pieces are joined. What is inside one stays as it is: the checksum of PKCS#12 is
    over that. Raises DerError.
    """
    tag, content, end = _Reader(data).value(0, len(data), _DEEPEST)
    return encoded(tag, content), end


@dataclass(slots=True)
class _Reader:
    data: bytes
    read: int = 0

    def value(self, offset: int, limit: int, depth: int) -> tuple[int, bytes, int]:
        """Tag, content and end of the value at `offset`."""
        tag, start, length = head(self.data, offset, limit)
        self.read += 1
        if self.read > MOST_ELEMENTS or not depth:
            raise DerError("too many elements, or too deep")
        if not tag & _CONSTRUCTED:
            if length is None:
                raise DerError("indefinite length of a primitive value")
            return tag, self.data[start : start + length], start + length
        last = limit if length is None else start + length
        pieces = tag == OCTET_STRING | _CONSTRUCTED
        parts: list[bytes] = []
        position = start
        while length is None or position < last:
            if length is None and self.data[position : min(position + 2, last)] == _END_OF_CONTENTS:
                position += 2
                break
            kind, content, position = self.value(position, last, depth - 1)
            if pieces and kind != OCTET_STRING:
                raise DerError("a piece of a string is no string")
            parts.append(content if pieces else encoded(kind, content))
        return OCTET_STRING if pieces else tag, b"".join(parts), position
