"""One token for the tests of a module."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.hsm.softhsm import SoftToken

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def token(place: Path) -> SoftToken:
    """With the keys ec (p256) and rsa (rsa2048)."""
    made = SoftToken.make(place / "soft")
    for label, kind in (("ec", "p256"), ("rsa", "rsa2048")):
        made.keygen(label, kind)
    return made


_NUMBERS = itertools.count()


@pytest.fixture
def fresh(place: Path) -> SoftToken:
    """A token of the test's own, for tests that break it."""
    return SoftToken.make(place / f"fresh-{next(_NUMBERS)}")
