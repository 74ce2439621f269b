"""The remaining life as a bar that reads without colour and in any encoding. Pure."""

from __future__ import annotations

import math

CELLS = 10


def bar(life: float | None) -> str:
    """`[###.......]`: one mark for each tenth of the lifetime that is left, begun ones included.

    None, where it is not known, is a bar of question marks; what is over has none.
    """
    if life is None:
        return f"[{'?' * CELLS}]"
    filled = math.ceil(min(1.0, max(0.0, life)) * CELLS)
    return f"[{'#' * filled:.<{CELLS}}]"
