"""The meaning of each key, from the attribute docstrings of the model."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handclasp.spec.policy import Section


@cache
def meanings(section: type[Section]) -> dict[str, str]:
    """Docstring of each attribute of a mapping, in one line, by the key as it is written."""
    found: dict[str, str] = {}
    for kind in reversed(section.__mro__):  # those above first: a mapping may say it better
        if kind.__module__.startswith("handclasp."):
            found |= _own_meanings(kind, section)
    return found


def _own_meanings(kind: type, section: type[Section]) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found: dict[str, str] = {}
    for attribute, below in pairwise(body):
        if (
            isinstance(attribute, ast.AnnAssign)
            and isinstance(attribute.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            name = attribute.target.id
            if (field := section.model_fields.get(name)) is None:
                continue
            found[field.alias or name] = " ".join(below.value.value.split())
    return found


def purpose(section: type[Section]) -> str:
    """What a mapping is for: the first paragraph of its class docstring."""
    return " ".join(inspect.cleandoc(section.__doc__ or "").partition("\n\n")[0].split())
