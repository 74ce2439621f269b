"""The file for node_exporter's textfile collector."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from handclasp.errors import EnvironmentFault, UsageError
from handclasp.keys.files import replace_file
from handclasp.keys.output import cannot_write
from handclasp.monitor.textfile import textfile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from handclasp.monitor.expiry import Judged

_SUFFIX = ".prom"
_READABLE = 0o644


def check_textfile(path: Path) -> None:
    """Before anything is looked at: whether the file can be one that is read. Raises UsageError, or
    EnvironmentFault where there is no such directory."""
    if path.suffix != _SUFFIX:
        raise UsageError(
            f"--textfile {path}: node_exporter reads only files whose names end in {_SUFFIX}",
            hint=f"Name it {path.stem.rstrip('.') or 'handclasp'}{_SUFFIX}.",
        )
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113  never raise
        raise UsageError(
            f"--textfile {path} is no regular file, and is not replaced",
            hint="Name a file in the directory of node_exporter's --collector.textfile.directory.",
        )
    if not os.path.isdir(path.parent):  # noqa: PTH112
        raise EnvironmentFault(
            f"--textfile {path}: there is no directory {path.parent}",
            hint="Make it, or name that of node_exporter's --collector.textfile.directory.",
        )


def write_textfile(path: Path, judged: Sequence[Judged], now: datetime) -> None:
    """In one step: the collector may read at any moment, as an account of its own. Raises
    EnvironmentFault; then what was there still is."""
    try:
        replace_file(path, textfile(judged, now=now).encode(), _READABLE)
    except OSError as problem:
        raise cannot_write(problem, path) from None
