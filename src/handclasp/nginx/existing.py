"""What must stand in the configuration of an nginx that somebody else runs. Pure: reads `nginx -T`.

Directives are found as nginx reads them, with the blocks they stand in, includes followed. What
`render.inherited` can state for our servers is not judged here; what it cannot state is refused.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from handclasp.findings import Finding, Severity, Where, found

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import PurePosixPath

_FILE = re.compile(r"^# configuration file (.+):$", re.MULTILINE)
# ngx_conf_read_token (src/core/ngx_conf_file.c): inside a bare word quotes, `#` and `}` are letters, and
# `${` opens no block.
_TOKEN = re.compile(
    r"""\s+ | \#[^\n]*
    | (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<mark>[{};])
    | (?P<word>(?:\\.|\$\{|[^\s;{\\])+)
    | .""",
    re.VERBOSE | re.DOTALL,
)
_UNSAFE = {
    "underscores_in_headers": (
        "on",
        "headers such as X_Client_Cert reach backends, which read them as X-Client-Cert",
    ),
    "ignore_invalid_headers": ("off", "headers with odd names reach backends"),
}
_INHERITED = {
    "proxy_set_body": "every request of a link would have that body",
    "proxy_method": "every request of a link would have that method",
    "sub_filter": "answers through a link would be rewritten",
    "xslt_stylesheet": "answers through a link would be rewritten",
    "post_action": "every request of a link would cause another one",
}
"""Directives of the http context that our locations would take over and that no value switches off."""

_DEPTH = 2  # blocks that are told apart: http, and one inside


@dataclass(frozen=True, slots=True)
class _Directive:
    file: str
    line: int
    words: tuple[str, ...]
    within: tuple[str, ...]  # names of the blocks around it, outermost first

    @property
    def where(self) -> Where:
        return Where(self.file, self.line)


def include_line(http_fragment: PurePosixPath) -> str:
    """The line that belongs into the http context of the main configuration."""
    escaped = str(http_fragment).replace("\\", "\\\\").replace('"', '\\"')
    return f'include "{escaped}";'


def include_missing(http_fragment: PurePosixPath) -> Finding:
    """The existing configuration does not read our http.conf."""
    return found(
        "existing-mode-main-context",
        f"the existing nginx does not include {http_fragment}",
        fix=f"put this line into its http context: {include_line(http_fragment)}",
        severity=Severity.ERROR,
    )


def dump_findings(dump: str, http_fragment: PurePosixPath) -> list[Finding]:
    """What in the output of `nginx -T` keeps our include from doing its job, or makes it unsafe."""
    files = _files(dump)
    findings = [] if str(http_fragment) in files else [include_missing(http_fragment)]
    ours = f"{http_fragment.parent}/"
    # A file that is included twice is judged in both places, and told once.
    for one in dict.fromkeys(_directives(files)):
        if one.file.startswith(ours):
            continue  # states the safe values
        findings += _judged(one)
    return list(dict.fromkeys(findings))


def pid_file(dump: str, prefix: PurePosixPath) -> PurePosixPath | None:
    """Where the master's pid is written; None when the configuration leaves that to the build."""
    named = [
        one.words[1]
        for one in _directives(_files(dump))
        if one.words[0] == "pid" and len(one.words) == 2 and not one.within
    ]
    return prefix / named[-1] if named else None


def worker_account(dump: str) -> tuple[str, str | None] | None:
    """User and group of the `user` directive; None when the configuration leaves that to the build."""
    named = [
        one.words[1:]
        for one in _directives(_files(dump))
        if one.words[0] == "user" and len(one.words) in (2, 3) and not one.within
    ]
    return (named[-1][0], named[-1][1] if len(named[-1]) > 1 else None) if named else None


def _judged(one: _Directive) -> list[Finding]:
    name, *values = one.words
    if name in _UNSAFE and values == [_UNSAFE[name][0]]:
        seen = f"`{name} {values[0]}` is set: {_UNSAFE[name][1]}"
        fix = f"remove it; the default of {name} is the safe one"
    elif name in _INHERITED and one.within == ("http",):
        seen = f"`{name}` stands in the http context, so links take it over: {_INHERITED[name]}"
        fix = "move it into the server blocks it is meant for"
    else:
        return []
    slug = "existing-mode-main-context"
    return [found(slug, seen, fix=fix, where=one.where, severity=Severity.ERROR)]


def _files(dump: str) -> dict[str, str]:
    """File → text, the main file first; nginx prints each once."""
    parts = _FILE.split(dump)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _directives(files: Mapping[str, str]) -> Iterator[_Directive]:
    """All of them, by file. Whether something stands in http or deeper is told apart; a file included
    twice equally deep is read once, so that one including itself comes to an end."""
    main = next(iter(files), None)
    waiting: list[tuple[str, tuple[str, ...]]] = [] if main is None else [(main, ())]
    seen = set(waiting)
    while waiting:
        file, within = waiting.pop()
        for one in _parsed(file, files[file], within):
            if one.words[0] == "include" and len(one.words) > 1:
                pattern = posixpath.join(posixpath.dirname(main or ""), one.words[1])
                around = one.within[:_DEPTH]
                places = [(name, around) for name in files if _matches(name, pattern)]
                waiting += [place for place in places if place not in seen]
                seen.update(places)
            yield one


def _matches(file: str, pattern: str) -> bool:
    """As glob(3): no wildcard stands for a slash."""
    parts, patterns = (posixpath.normpath(path).split("/") for path in (file, pattern))
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _parsed(file: str, text: str, within: tuple[str, ...]) -> Iterator[_Directive]:
    around = list(within)
    words: list[str] = []
    line = start = 0  # the text of a file begins on the line after its heading
    for token in _TOKEN.finditer(text):
        word = token["word"] or (token["quoted"] and token["quoted"][1:-1])
        if word is not None:
            start = start if words else line
            words.append(word)
        elif token["mark"]:
            if words:
                yield _Directive(file, start, tuple(words), tuple(around))
            if token["mark"] == "{":
                around.append(words[0] if words else "")
            elif token["mark"] == "}" and len(around) > len(within):
                around.pop()
            words = []
        line += token.group().count("\n")
