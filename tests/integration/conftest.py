"""Fixtures of the integration tests."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.running import Material

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that nginx's workers can enter when the tests run as root (pytest's own is 0700)."""
    with tempfile.TemporaryDirectory(prefix="handclasp-test-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="module")
def material(place: Path) -> Material:
    """Certificates and keys, made once per module; specs are written beside them."""
    return Material(place / "hop")
