"""YAML text → plain data with the place of every value. Strict: nothing is guessed or overridden.

Scalars follow the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema) without
its octal and hexadecimal forms: `true`, `false`, `null`, decimal numbers; all else is text, so
`on`, `yes`, `0640`, `1:30` and dates stay what was written. PyYAML's event stream is read rather
than its composed nodes: libyaml needs quadratic time for deep nesting (46 s for 200,000 levels
measured), and events let us stop early.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from handclasp.errors import ExitCode
from handclasp.findings import Finding, FindingsError, Where, found
from handclasp.spec.positions import Path, Place, Positions, path_text
from handclasp.spec.yaml_key import key_problem
from handclasp.spec.yaml_text import decode, syntax_finding

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEPTH_LIMIT = 32  # the model is nowhere deeper than 8
# Values that aliases may stand for in one document: a thousand links do not need more, and the
# "billion laughs" (https://en.wikipedia.org/wiki/Billion_laughs_attack) needs far more.
_ALIAS_LIMIT = 10_000
_FINDING_LIMIT = 100

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
# Eighteen digits: no key takes more, and Python refuses to convert thousands of them.
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9]{1,40}\.[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,3})?\Z")


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML mapping as plain data; `findings` are the errors that still left it readable."""

    data: dict[str, Any]
    positions: Positions
    findings: tuple[Finding, ...] = ()


def parse_document(text: bytes | str, *, source: str) -> Document:
    """The document in `text`; `source` is the file name for findings.

    Raises FindingsError (exit code 2) when nothing can be made of it.
    """
    decoded = decode(text, source=source)
    if isinstance(decoded, Finding):
        raise FindingsError([decoded], exit_code=ExitCode.USAGE)
    builder = _Builder(source)
    try:
        for event in yaml.parse(decoded, Loader=_LOADER):
            builder.take(event)
    except yaml.YAMLError as error:
        builder.findings.append(syntax_finding(error, decoded, source=source))
        raise FindingsError(builder.findings, exit_code=ExitCode.USAGE) from None
    return builder.document()


def scalar(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text


class _Dropped:
    """Stands for a key that cannot be one; its value is read and thrown away."""


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is being read."""

    container: dict[str, Any] | list[Any]
    path: Path | None  # None: the value is dropped, or it is a key
    start: Any
    anchor: str | None
    count_before: int
    key: str | type[_Dropped] | None = None
    key_mark: Any = None
    key_lines: dict[str, int] = field(default_factory=dict)


class _Builder:
    """Consumes YAML events; `document()` gives the result."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.findings: list[Finding] = []
        self._places: dict[Path, Place] = {}
        self._frames: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0
        self._aliased = 0
        self._documents = 0
        self._root: Any = None

    def document(self) -> Document:
        """What was read. Raises FindingsError when it is no mapping."""
        if not isinstance(self._root, dict):
            place = self._places.get((), Place(1, 1))
            self._stop(
                "the file is empty" if self._root is None else _not_a_mapping(self._root),
                Where(self.source, place.line, place.column),
                fix="`handclasp init egress` writes a file to start from.",
            )
        positions = Positions(self.source, self._places)
        return Document(self._root, positions, tuple(self.findings))

    def take(self, event: Any) -> None:
        """One event of the stream."""
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._stop("a second YAML document begins here", self._at(event))
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close()

    def _scalar(self, event: Any) -> None:
        self._check_tag(event)
        self._count += 1
        plain = event.implicit[0]
        if self._wants_key():
            self._set_key(event, event.value if not plain else scalar(event.value))
            return
        value = scalar(event.value) if plain else event.value
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        self._put(value, event)

    def _open(self, event: Any) -> None:
        self._check_tag(event)
        if len(self._frames) >= _DEPTH_LIMIT:
            self._stop(f"nested deeper than {_DEPTH_LIMIT} levels", self._at(event))
        is_list = isinstance(event, yaml.SequenceStartEvent)
        path = None if self._wants_key() else self._next_path()
        if path is not None:
            self._note(path, event, is_list=is_list)
        self._frames.append(
            _Frame([] if is_list else {}, path, event, event.anchor, count_before=self._count)
        )
        self._count += 1

    def _close(self) -> None:
        frame = self._frames.pop()
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (frame.container, self._count - frame.count_before)
        if self._wants_key():
            self._set_key(frame.start, frame.container)
        else:
            self._attach(frame.container)

    def _alias(self, event: Any) -> None:
        # The name is not repeated: `password: *secret` is a secret somebody forgot to quote.
        if any(frame.anchor == event.anchor for frame in self._frames):
            self._stop("an alias (`*…`) stands inside the value it refers to", self._at(event))
        if event.anchor not in self._anchors:
            self._stop(
                "an alias (`*…`) refers to nothing; text that begins with * must be quoted",
                self._at(event),
            )
        value, size = self._anchors[event.anchor]
        self._count += size
        self._aliased += size
        if self._aliased > _ALIAS_LIMIT:
            self._stop(f"the aliases stand for more than {_ALIAS_LIMIT} values", self._at(event))
        if self._wants_key():
            self._set_key(event, value if isinstance(value, str) else [])
        else:
            self._put(value, event)

    def _set_key(self, event: Any, key: Any) -> None:
        frame = self._frames[-1]
        frame.key_mark = event.start_mark
        # Under `password` a key may be the secret itself, as in `password: {hunter2}`.
        is_secret = frame.path is not None and not {"password", "pin"}.isdisjoint(frame.path)
        first = frame.key_lines.get(key) if isinstance(key, str) else None
        problem = key_problem(event, key, first_line=first, is_secret=is_secret)
        if problem is None:
            frame.key = key
            frame.key_lines[key] = event.start_mark.line + 1
        else:
            frame.key = _Dropped
            self._add(problem.slug, problem.seen, self._at(event, path=frame.path), problem.fix)

    def _put(self, value: Any, event: Any) -> None:
        path = self._next_path()
        if path is not None:
            self._note(path, event, is_list=False)
        self._attach(value)

    def _attach(self, value: Any) -> None:
        if not self._frames:
            self._root = value
            return
        frame = self._frames[-1]
        if isinstance(frame.container, list):
            frame.container.append(value)
        else:
            if isinstance(frame.key, str):
                frame.container[frame.key] = value
            frame.key = None

    def _wants_key(self) -> bool:
        return bool(self._frames) and (
            isinstance(self._frames[-1].container, dict) and self._frames[-1].key is None
        )

    def _next_path(self) -> Path | None:
        if not self._frames:
            return ()
        frame = self._frames[-1]
        if frame.path is None or frame.key is _Dropped:
            return None
        if isinstance(frame.container, list):
            return (*frame.path, len(frame.container))
        assert isinstance(frame.key, str)
        return (*frame.path, frame.key)

    def _note(self, path: Path, event: Any, *, is_list: bool) -> None:
        mark = event.start_mark
        key = self._frames[-1].key_mark if path and isinstance(path[-1], str) else None
        self._places[path] = Place(
            mark.line + 1,
            mark.column + 1,
            None if key is None else key.line + 1,
            None if key is None else key.column + 1,
            is_list,
        )

    def _check_tag(self, event: Any) -> None:
        if event.tag is not None:
            self._add(
                "spec-not-yaml",
                "tags (`!…`) are not supported",
                self._at(event),
                "Leave the tag out; text that begins with ! must be quoted.",
            )

    def _at(self, event: Any, *, path: Path | None = None) -> Where:
        mark = event.start_mark
        return Where(
            self.source, mark.line + 1, mark.column + 1, path_text(path) or None if path else None
        )

    def _add(self, slug: str, seen: str, where: Where, fix: str | None = None) -> None:
        self.findings.append(found(slug, seen, where=where, fix=fix))
        if len(self.findings) >= _FINDING_LIMIT:
            raise FindingsError(self.findings, exit_code=ExitCode.USAGE)

    def _stop(self, seen: str, where: Where, fix: str | None = None) -> NoReturn:
        self._add("spec-not-yaml", seen, where, fix)
        raise FindingsError(self.findings, exit_code=ExitCode.USAGE)


def _not_a_mapping(root: Any) -> str:
    kind = "a list" if isinstance(root, list) else "a single value"
    return f"the file holds {kind}; a spec is a mapping with keys such as `egress:` and `ingress:`"
