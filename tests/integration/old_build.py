"""An nginx that says it is older than it is: what is rendered for 1.18 meets a real nginx all the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def pretending(nginx: Path, version: str, folder: Path) -> Path:
    """A program that answers `-V` with another version and is the real one in everything else."""
    program = folder / f"nginx-{version}"
    program.write_text(
        "#!/bin/sh\n"
        'for argument; do if [ "$argument" = -V ]; then\n'
        f'  "{nginx}" -V 2>&1 | sed -E "1s,nginx/[0-9.]+,nginx/{re.escape(version)}," >&2; exit 0\n'
        "fi; done\n"
        f'exec "{nginx}" "$@"\n'
    )
    program.chmod(0o755)
    return program
