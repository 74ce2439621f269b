"""nginx's surface syntax: quoting, directives, blocks, times and sizes.

Quoting follows ngx_conf_read_token (src/core/ngx_conf_file.c): inside double quotes only `\\"`, `\\'`,
`\\\\`, `\\t`, `\\r` and `\\n` are escapes, so a backslash and a double quote are written escaped and
everything else stands for itself. `$` still begins a variable wherever the directive takes one:
values from outside never hold one (spec.values.check_path).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta
    from pathlib import PurePath

_BARE = re.compile(r"[A-Za-z0-9_./:$@=*~|+,!?%^()\[\]-]+\Z")


def quote(value: object) -> str:
    """One token, quoted when it has to be."""
    text = str(value)
    if _BARE.match(text) and not text.startswith("~"):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def directive(name: str, *values: object) -> str:
    """One simple directive."""
    return " ".join((name, *map(quote, values))) + ";"


def entry(key: str, value: object) -> str:
    """One line of a `map`; a key that is a regular expression begins with `~`."""
    return f"{quote(key)} {quote(value)};"


def block(name: str, *values: object, body: Iterable[str]) -> list[str]:
    """A block directive with its body indented."""
    head = " ".join((name, *map(quote, values)))
    return [f"{head} {{", *(f"    {line}" if line else "" for line in body), "}"]


def identifier(name: str) -> str:
    """A link or identity name as part of an nginx variable or zone name.

    One to one, because names of a spec are lower-case letters, digits and hyphens (spec.links.Name).
    """
    return name.replace("-", "_").replace(".", "_")


def duration(value: timedelta) -> str:
    """nginx's time syntax (nginx.org/en/docs/syntax.html)."""
    milliseconds = round(value.total_seconds() * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def size(value: int) -> str:
    """nginx's size syntax, in the largest unit that divides it."""
    for unit, factor in (("m", 1024 * 1024), ("k", 1024)):
        if value and value % factor == 0:
            return f"{value // factor}{unit}"
    return str(value)


def joined(folder: PurePath, name: str) -> str:
    """A file below a folder."""
    return str(folder / name)
