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
    tree = ast.parse(textwrap.dedent(inspect.getsource(section)))
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
            key = section.model_fields[name].alias or name
            found[key] = " ".join(below.value.value.split())
    return found


def purpose(section: type[Section]) -> str:
    """What a mapping is for: the first paragraph of its class docstring."""
    return " ".join(inspect.cleandoc(section.__doc__ or "").partition("\n\n")[0].split())
