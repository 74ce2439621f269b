"""PEM text cut into blocks (RFC 7468, as liberal as OpenSSL and a bit more), with line numbers."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9#][A-Z0-9#./ ]*)-----")
_BOUNDARY = re.compile(rb"-----(BEGIN|END) ([A-Z0-9#][A-Z0-9#./ ]*)-----")
_HEADER = re.compile(rb"[A-Za-z][A-Za-z0-9-]*:[^\n]*\n(?:[ \t]+[^\n]*\n)*")


@dataclass(frozen=True, slots=True)
class Block:
    """One `-----BEGIN label-----` with what follows.

    `der` is None when `problem` says why nothing could be decoded. `glued` tells that a boundary
    line does not stand alone, which OpenSSL (hence nginx) refuses. `text` is the armoured original,
    kept from reprs since it may be a key.
    """

    label: str
    line: int
    text: _Hidden
    der: _Hidden | None = None
    headers: tuple[str, ...] = ()
    problem: str | None = None
    glued: bool = False


class _Hidden(bytes):
    """Bytes that may be a private key: they do not print."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    __str__ = __repr__


def has_blocks(data: bytes) -> bool:
    """There is at least one BEGIN line."""
    return _BEGIN.search(data) is not None


def blocks(data: bytes) -> list[Block]:
    """All blocks in order. Text around them is skipped; broken blocks come with their problem."""
    found: list[Block] = []
    boundaries = list(_BOUNDARY.finditer(data))
    line, counted = 1, 0
    for index, begin in enumerate(boundaries):
        if begin[1] != b"BEGIN":
            continue
        line += data.count(b"\n", counted, begin.start())
        counted = begin.start()
        following = boundaries[index + 1] if index + 1 < len(boundaries) else None
        found.append(_block(data, begin, following, line))
    return found


def armoured(label: str, der: bytes) -> bytes:
    """The DER as PEM, 64 characters a line (RFC 7468 section 2)."""
    text = binascii.b2a_base64(der, newline=False)
    lines = (text[at : at + 64] + b"\n" for at in range(0, len(text), 64))
    name = label.encode()
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (name, b"".join(lines), name)


def bare_base64(data: bytes) -> bytes | None:
    """The DER of a file that is base64 without BEGIN and END lines; None for anything else."""
    packed = b"".join(data.split())
    if not re.fullmatch(rb"MI[A-Za-z0-9+/]{40,}={0,2}", packed):
        return None
    try:
        return binascii.a2b_base64(packed, strict_mode=True)
    except binascii.Error:
        return None


def _block(data: bytes, begin: re.Match[bytes], end: re.Match[bytes] | None, line: int) -> Block:
    label = begin[2].decode("ascii").strip()
    if end is None or end[1] == b"BEGIN":
        stop = end.start() if end else len(data)
        text = _Hidden(data[begin.start() : stop])
        return Block(label, line, text, problem="it has no END line: the file is cut off")
    text = _Hidden(data[begin.start() : end.end()])
    if end[2] != begin[2]:
        other = end[2].decode("ascii")
        return Block(label, line, text, problem=f"it ends as {other!r}: two blocks are mixed up")
    body = data[begin.end() : end.start()]
    after = data[end.end() : end.end() + 1]
    before = data[begin.start() - 1 : begin.start()] if begin.start() else b""
    glued = (
        before not in (b"", b"\n", b"\r")
        or after not in (b"", b"\n", b"\r", b" ", b"\t")
        or b"\n" not in body.replace(b"\r", b"\n")
    )
    return _decode(label, line, text, body, glued=glued)


def _decode(label: str, line: int, text: _Hidden, body: bytes, *, glued: bool) -> Block:
    if b"\\n" in body:
        problem = "its line breaks are written as the two characters \\n, not as line breaks"
        return Block(label, line, text, problem=problem)
    body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").lstrip(b" \t\n")
    headers: list[str] = []
    at = 0
    while match := _HEADER.match(body, at):
        headers.append(match[0].decode("ascii", "replace").strip())
        at = match.end()
    encoded = b"".join(body[at:].split())
    if not encoded:
        return Block(label, line, text, problem="there is nothing between its BEGIN and END lines")
    try:
        der = _Hidden(binascii.a2b_base64(encoded, strict_mode=True))
    except binascii.Error:
        return Block(
            label, line, text, problem="its text is not base64: characters are missing or changed"
        )
    return Block(label, line, text, der, tuple(headers), glued=glued)
