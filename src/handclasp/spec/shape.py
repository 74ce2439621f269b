"""Which keys the model has where: for suggestions, the JSON Schema and the reference page."""

from __future__ import annotations

import difflib
import types
from functools import cache
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from handclasp.spec.issuer import IssuerSection
from handclasp.spec.model import Spec
from handclasp.spec.policy import Section

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.spec.positions import Path


def keys_of(section: type[Section]) -> dict[str, Any]:
    """Keys of a mapping as they are written, with the type of each; of several kinds those of all."""
    return {
        field.alias or name: field.annotation
        for kind in (section, *kinds_of(section))
        for name, field in kind.model_fields.items()
    }


def kinds_of(section: type[Section]) -> tuple[type[Section], ...]:
    """The sections that a mapping may be read as, by its `type`; none where there is one kind only."""
    return tuple(IssuerSection.kinds.values()) if section is IssuerSection else ()


def section_in(annotation: Any) -> type[Section] | None:
    """The mapping that a type holds, alone, in a list or by name."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((held for part in get_args(annotation) if (held := section_in(part))), None)


def section_at(path: Path) -> type[Section] | None:
    """The mapping at `path` in a spec, or None where the model has none."""
    annotation: Any = Spec
    for part in path:
        annotation = _step(_bare(annotation), part)
    bare = _bare(annotation)
    return bare if isinstance(bare, type) and issubclass(bare, Section) else None


def _bare(annotation: Any) -> Any:
    """Without Annotated and without `| None`."""
    while hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (types.UnionType, Union):
        return _bare(next(part for part in get_args(annotation) if part is not type(None)))
    return annotation


def _step(annotation: Any, part: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return keys_of(annotation).get(str(part))
    if get_origin(annotation) in (list, dict):
        return get_args(annotation)[-1]
    return None


def nearest(wrong: str, known: Iterable[str], *, likeness: float = 0.65) -> str | None:
    """The known word somebody most likely meant; `likeness` from 0 to 1 as difflib counts it."""
    by_letters = {_letters(word): word for word in known}
    letters = _letters(wrong)
    if (
        likeness < 0.8
        and len(letters) >= 3
        and (longer := [word for key, word in by_letters.items() if key.startswith(letters)])
    ):
        return longer[0]
    close = difflib.get_close_matches(letters, by_letters, n=1, cutoff=likeness)
    return by_letters[close[0]] if close else None


def _letters(word: str) -> str:
    # serverNames, server-names and Server_Names all mean server_names.
    return word.lower().replace("-", "").replace("_", "")


def home_below(key: str, path: Path) -> str | None:
    """Which mappings directly under the one at `path` have this key, as a phrase."""
    section = section_at(path)
    below = _children_with(section, key) if section is not None else ()
    return f"under {_either(below)}" if below else None


def home_elsewhere(key: str, path: Path) -> str | None:
    """Where else in a spec a key belongs that the mapping at `path` does not have, as a phrase."""
    for length in range(len(path) - 1, 0, -1):
        outer = section_at(path[:length])
        if outer is not None and key in keys_of(outer):
            return f"further out, beside `{path[length]}`"
        if outer is not None and (below := _children_with(outer, key)):
            return f"under {_either(below)}"
    if path and key in keys_of(Spec):
        return "at the top of the file"
    elsewhere = _children_with(Spec, key)
    return f"under {_either(elsewhere)}" if elsewhere else None


@cache
def _children_with(section: type[Section], key: str) -> tuple[str, ...]:
    return tuple(
        name
        for name, annotation in keys_of(section).items()
        if (inner := section_in(annotation)) is not None and key in keys_of(inner)
    )


def _either(words: Iterable[str]) -> str:
    quoted = [f"`{word}`" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
