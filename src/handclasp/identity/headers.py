"""Text that somebody copied from a log, a debugger or curl, taken apart into header lines or one value."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import Final

from handclasp.backend.believed import OTHER_IDENTITY_HEADERS
from handclasp.backend.dialects import DIALECTS
from handclasp.identity.salvage import Oddity

_LINE: Final = re.compile(r"(?P<name>[A-Za-z0-9!#$%&'*+.^_`|~-]+)[ \t]*:(?P<value>.*)", re.DOTALL)
_CURL: Final = re.compile(r"^[<>] ?", re.MULTILINE)
_BOMS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_KNOWN: Final = {
    name.lower()
    for name in (
        *(header for dialect in DIALECTS.values() for header in dialect.headers),
        *OTHER_IDENTITY_HEADERS,
    )
}
_FOREIGN: Final = {name.lower() for name in OTHER_IDENTITY_HEADERS}


@dataclass(frozen=True, slots=True)
class Taken:
    """Header lines in order (names as written), or one bare value; and what was odd about the text."""

    headers: tuple[tuple[str, str], ...]
    value: str | None
    odd: tuple[Oddity, ...]


def take_apart(data: bytes) -> Taken:
    """Header lines if there is one whose name is that of an identity header, else one value."""
    text, odd = _text(data)
    if ">" in text[:1] or "\n> " in text:
        text = _CURL.sub("", text)
    lines = [line for line in text.split("\n") if line.strip()]
    headers = _header_lines(lines, odd)
    if any(_folded(name) in _KNOWN for name, _ in headers):
        odd += _repeated(headers)
        return Taken(tuple(headers), None, tuple(odd))
    return Taken((), _one_value(lines, odd), tuple(odd))


def _text(data: bytes) -> tuple[str, list[Oddity]]:
    odd: list[Oddity] = []
    encoding = "utf-8"
    for bom, name in _BOMS:
        if data.startswith(bom):
            data, encoding = data[len(bom) :], name
            odd.append(Oddity("bom", f"a byte order mark stands in front (saved as {name})"))
            break
    text = data.decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        odd.append(Oddity("not-ascii", "there are characters beyond ASCII, which no proxy writes"))
    return text, odd


def _header_lines(lines: list[str], odd: list[Oddity]) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line[0] in " \t" and headers:
            name, value = headers[-1]
            headers[-1] = (name, f"{value}\n{line.strip()}")
            if not any(one.code == "several-lines" for one in odd):
                odd.append(
                    Oddity(
                        "several-lines",
                        f"{name} goes on over several lines (RFC 9112 section 5.2 has forbidden that)",
                    )
                )
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        headers.append((match["name"], match["value"].strip(" \t")))
    return headers


def _repeated(headers: list[tuple[str, str]]) -> list[Oddity]:
    odd: list[Oddity] = []
    seen: dict[str, str] = {}
    for name, _ in headers:
        folded = _folded(name)
        if folded not in _KNOWN:
            continue
        if "_" in name:
            odd.append(
                Oddity("misspelt-header", f"{name} is spelt with _, which WSGI and CGI take for -")
            )
        if folded in _FOREIGN:
            odd.append(Oddity("other-header", f"{name} tells an identity in no dialect read here"))
        if folded in seen:
            odd.append(
                Oddity("several-instances", f"{name} is there more than once; one may be forged")
            )
        seen.setdefault(folded, name)
    return odd


def _one_value(lines: list[str], odd: list[Oddity]) -> str | None:
    # Blanks at the ends of lines may have been `+`; those in front of every line are indentation.
    value = textwrap.dedent("\n".join(lines)).strip("\n")
    value = value if "\n" in value else value.strip()
    if "\n" in value:
        odd.append(
            Oddity("several-lines", "the value stands on several lines; a header is one line")
        )
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        odd.append(Oddity("quoted", "quotes stand around the value, as a shell or log puts them"))
        value = value[1:-1]
    return value or None


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")
