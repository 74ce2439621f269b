"""What can be wrong with YAML before there is data: bytes, characters and syntax, as findings."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from handclasp.findings import Finding, Where, found

if TYPE_CHECKING:
    from collections.abc import Callable

    import yaml

SIZE_LIMIT = 1024 * 1024
"""Bytes in a spec; a thousand links take a third of it."""

# Characters YAML does not take as they are (https://yaml.org/spec/1.2.2/#51-character-set), and the
# byte order mark, which is invisible wherever it stands.
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_SAVE_AS = "Save the file as UTF-8 without byte order mark."


def decode(text: bytes | str, *, source: str) -> str | Finding:
    """The characters of a spec, or the one finding that says why there are none."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > SIZE_LIMIT:
        return _finding(
            f"the file has {len(data)} bytes; a spec has at most {SIZE_LIMIT}",
            Where(source, 1, 1),
            "Give the path of a spec; split one that large into several instances.",
        )
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or data[:100].count(b"\0") > 10:
        return _finding("the file is UTF-16 or UTF-32 text", Where(source, 1, 1), _SAVE_AS)
    if data.startswith(codecs.BOM_UTF8):
        return _finding("the file begins with a byte order mark", Where(source, 1, 1), _SAVE_AS)
    try:
        characters = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _finding(
            f"the byte 0x{data[error.start]:02X} is not UTF-8",
            _place(data[: error.start].decode("utf-8"), source),
            _SAVE_AS,
        )
    if bad := _UNPRINTABLE.search(characters):
        return _finding(
            f"the character U+{ord(bad.group()):04X} cannot stand in YAML",
            _place(characters[: bad.start()], source),
            "Remove it; it is invisible in most editors.",
        )
    return characters


def syntax_finding(error: yaml.YAMLError, text: str, *, source: str) -> Finding:
    """What the YAML parser could not read, in a sentence, at the place where it noticed."""
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or "it is not YAML")
    if mark is None:
        return _finding(f"the YAML cannot be read: {problem}", Where(source, 1, 1))
    start = getattr(error, "context_mark", None)
    character = _character(text, mark.line, mark.column)
    opened = f"line {start.line + 1}" if start is not None else "a line above"
    for part, sentence in _SENTENCES:
        if part in problem:
            seen = sentence(character, opened)
            break
    else:
        seen = f"the YAML cannot be read from here on: {problem}"
    if "end of stream" in problem and start is not None:
        mark = start  # the end of the file says nothing about the quote that was left open
    return _finding(seen, Where(source, mark.line + 1, mark.column + 1))


def _starts_no_token(character: str, _opened: str) -> str:
    if character == "\t":
        return "a tab stands where YAML takes only spaces for indentation"
    return f"text that begins with {character or 'this character'} must be quoted"


_SENTENCES: tuple[tuple[str, Callable[[str, str], str]], ...] = (
    ("cannot start any token", _starts_no_token),
    (
        "mapping values are not allowed",
        lambda _c, _o: (
            "a second `key: value` on one line, or a line indented too far;"
            " text with a colon and a space must be quoted"
        ),
    ),
    (
        "sequence entries are not allowed",
        lambda _c, _o: "a list item (`- `) cannot stand here; begin it on a line of its own",
    ),
    (
        "',' or ']'",
        lambda _c, opened: f"the list opened with [ in {opened} is not closed before this",
    ),
    (
        "',' or '}'",
        lambda _c, opened: f"the mapping opened with {{ in {opened} is not closed before this",
    ),
    (
        "unexpected end of stream",
        lambda _c, opened: f"the quote opened in {opened} is never closed",
    ),
    (
        "unknown escape character",
        lambda _c, _o: (
            "a backslash in double quotes begins an escape, and this is none; use single quotes"
        ),
    ),
    (
        "expected ':'",
        lambda _c, opened: f"the text in {opened} has no colon after it; `key: value` is expected",
    ),
    (
        "expected '-' indicator",
        lambda _c, opened: (
            f"the list that began in {opened} goes on with something that is no"
            " item (`- `), or the indentation is wrong"
        ),
    ),
    (
        "expected key",
        lambda _c, opened: (
            f"the mapping that began in {opened} goes on with something that is no"
            " `key: value`, or the indentation is wrong"
        ),
    ),
    (
        "expected <block end>",
        lambda _c, opened: (
            f"what began in {opened} goes on with a line that does not fit it;"
            " look at the indentation"
        ),
    ),
)


def _character(text: str, line: int, column: int) -> str:
    lines = text.splitlines()
    return lines[line][column : column + 1] if line < len(lines) else ""


def _place(before: str, source: str) -> Where:
    lines = re.split(r"\r\n|\r|\n", before)
    return Where(source, len(lines), len(lines[-1]) + 1)


def _finding(seen: str, where: Where, fix: str | None = None) -> Finding:
    return found("spec-not-yaml", seen, where=where, fix=fix)
