from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wire import servers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def hop(tmp_path_factory: pytest.TempPathFactory) -> servers.Hop:
    folder: Path = tmp_path_factory.mktemp("hop")
    return servers.hop(folder)
