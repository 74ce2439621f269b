"""The real `openssl` command, for making odd formats and for comparing answers."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import lacks

if TYPE_CHECKING:
    from pathlib import Path

needs_openssl = pytest.mark.skipif(lacks(shutil.which("openssl")), reason="no openssl command")


def openssl(*arguments: str | Path, stdin: bytes | None = None, ok: bool = True) -> bytes:
    """Standard output; standard error is in the assertion message when it fails."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)], input=stdin, capture_output=True, timeout=30, check=False
    )
    if ok:
        assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout
