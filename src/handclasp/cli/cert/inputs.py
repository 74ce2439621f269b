"""Files named on the command line, read: what `handclasp cert` has in common."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handclasp.certs.contents import Contents
from handclasp.certs.read import LIMIT, read_objects
from handclasp.cli.secrets import secret_options
from handclasp.errors import UsageError
from handclasp.keys.assemble import ReadFile
from handclasp.keys.files import FileRead, read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from handclasp.certs.secret import Secret


files_argument = click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
password_options = secret_options("password", "password of encrypted keys and PKCS#12 files")
"""--password-file FILE, --password-env NAME."""


def read_inputs(
    paths: Iterable[Path], password: Secret[bytes] | None, *, unreadable: str = "not-pem"
) -> Iterator[ReadFile]:
    """Each file in turn; `-` is standard input. What cannot be read is a finding of its own."""
    known = password.reveal() if password else None
    for path in paths:
        read = _standard_input() if str(path) == "-" else read_file(path, unreadable=unreadable)
        if read.data is None:
            yield ReadFile(read=read, contents=Contents(str(path), "unknown"))
        else:
            contents = read_objects(read.data, source=str(read.path), password=known)
            yield ReadFile(read=read, contents=contents)


def files_below(paths: Sequence[Path]) -> list[Path]:
    """The files themselves, and for each directory the regular files below it, by name."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        for folder, folders, names in os.walk(path):
            folders.sort()
            found += [Path(folder, name) for name in sorted(names) if Path(folder, name).is_file()]
    return found


def _standard_input() -> FileRead:
    if sys.stdin.isatty():
        raise UsageError("`-` is standard input, and that is a terminal", hint="Pipe a file in.")
    # One byte more than is read of a file: the reader says that it is too large.
    return FileRead(path=Path("standard input"), data=sys.stdin.buffer.read(LIMIT + 1))
