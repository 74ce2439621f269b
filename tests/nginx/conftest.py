"""Fixtures of the tests that run a master by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.nginx.installation import Installation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def here(nginx_build: Path, tmp_path: Path) -> Iterator[Installation]:
    """An installation of one build, cleaned up whatever happens."""
    with Installation(nginx_build, tmp_path / "nginx").cleaned_up() as installation:
        yield installation


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    """Where it listens."""
    return free_port()
