"""Where each value of a YAML document stands, so that every finding can name file:line:column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.findings import Where

if TYPE_CHECKING:
    from collections.abc import Mapping

Path = tuple[str | int, ...]
"""The way into a document: mapping keys and list indices, as in `("egress", 0, "upstream")`."""


@dataclass(frozen=True, slots=True)
class Place:
    """1-based line and column of a value, and of its key when it is in a mapping."""

    line: int
    column: int
    key_line: int | None = None
    key_column: int | None = None
    is_list: bool = False


def path_text(path: Path) -> str:
    """The path as people write it: `egress[0].upstream`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


@dataclass(frozen=True, slots=True)
class Positions:
    """Place of every value in one document; a path not in it has its nearest ancestor's."""

    source: str
    places: Mapping[Path, Place]

    def where(self, path: Path) -> Where:
        """The place of the value at `path`."""
        known = self.known(path)
        place = self.places.get(known)
        if place is None:
            return Where(self.source, 1, 1, path_text(known) or None)
        return Where(self.source, place.line, place.column, path_text(known) or None)

    def key(self, path: Path) -> Where:
        """The place of the key at `path`; the value's own for list items and the document."""
        known = self.known(path)
        place = self.places.get(known)
        if place is None or place.key_line is None:
            return self.where(path)
        return Where(self.source, place.key_line, place.key_column, path_text(known) or None)

    def known(self, path: Path) -> Path:
        """The longest part of `path` that the document has.

        A value that may be written alone or as a list (`listen: :443`) is asked for as
        `listen[0]`; where it is written alone the index is passed over.
        """
        known: Path = ()
        for part in path:
            if (longer := (*known, part)) in self.places:
                known = longer
            elif part != 0 or self._is_list(known):
                break
        return known

    def _is_list(self, path: Path) -> bool:
        place = self.places.get(path)
        return place is not None and place.is_list
