"""The bar of remaining life."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.monitor.bars import bar


@pytest.mark.parametrize(
    ("life", "drawn"),
    [
        (1.0, "[##########]"),
        (0.91, "[##########]"),
        (0.9, "[#########.]"),
        (0.001, "[#.........]"),
        (0.0, "[..........]"),
        (None, "[??????????]"),
    ],
)
def test_every_begun_tenth_is_a_mark(life: float | None, drawn: str) -> None:
    assert bar(life) == drawn


@given(st.floats(allow_nan=False))
def test_a_bar_has_ten_cells_whatever_the_life(life: float) -> None:
    drawn = bar(life)
    assert len(drawn) == 12
    assert set(drawn[1:-1]) <= {"#", "."}
