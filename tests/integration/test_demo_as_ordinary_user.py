"""The demo without root: nginx's workers are then the user's own, and keys are looked up per handshake."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration


def test_an_ordinary_user_sees_the_same_demo(ordinary_user: list[str], nginx_build: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="handclasp-test-demo-") as folder:
        place = Path(folder)
        if os.geteuid() == 0:
            os.chown(place, 65534, 65534)
        done = subprocess.run(
            [*ordinary_user, "demo", "--nginx", str(nginx_build)],
            cwd="/",
            env={**os.environ, "TMPDIR": folder},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if "Permission denied" in done.stderr and str(nginx_build) in done.stderr:
            pytest.skip(f"the account nobody cannot run {nginx_build}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "All 7 expectations held" in done.stdout
        assert list(place.iterdir()) == []
