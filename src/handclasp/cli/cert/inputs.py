"""Files named on the command line, read: what `handclasp cert` has in common."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handclasp.certs.contents import Contents
from handclasp.certs.private_keys import FoundKey
from handclasp.certs.read import LIMIT, read_objects
from handclasp.cli.secrets import secret_options
from handclasp.errors import UsageError
from handclasp.keys.assemble import ReadFile
from handclasp.keys.files import FileRead, read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from handclasp.certs.secret import Secret
    from handclasp.findings import Finding


files_argument = click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
password_options = secret_options("password", "password of encrypted keys and PKCS#12 files")
"""--password-file FILE, --password-env NAME."""


_GIVE_IT = "Give the right password with --password-file FILE or --password-env NAME."
_FIXES = {
    "file-not-found": "Correct the path.",
    "path-is-directory": "Name the files in it.",
    "key-encrypted-no-passphrase": _GIVE_IT,
    "key-wrong-passphrase": _GIVE_IT,
    "keystore-wrong-password": _GIVE_IT,
}
_FIXES_BELOW = {"path-is-directory": "Give -r to look at all files below it."}


def read_inputs(
    paths: Iterable[Path], password: Secret[bytes] | None, *, below: bool = False
) -> Iterator[ReadFile]:
    """Each file in turn, pipes too; `-` is standard input. What cannot be read is a finding of its own.

    `below`: the command has -r for directories.
    """
    fixes = _FIXES | (_FIXES_BELOW if below else {})
    known = password.reveal() if password else None
    for path in paths:
        read = (
            _standard_input()
            if str(path) == "-"
            else read_file(path, unreadable="not-pem", pipes=True)
        )
        if read.data is None:
            problem = _by_our_options(read.problem, fixes) if read.problem else None
            read = dataclasses.replace(read, problem=problem)
            yield ReadFile(read=read, contents=Contents(str(path), "unknown"))
        else:
            contents = read_objects(read.data, source=str(read.path), password=known)
            yield ReadFile(read=read, contents=_told_here(contents, fixes))


def _by_our_options(finding: Finding, fixes: Mapping[str, str]) -> Finding:
    """The way out in the options of these commands; the catalogue speaks of nginx and the spec."""
    return dataclasses.replace(finding, fix=fixes.get(finding.slug, finding.fix))


def _told_here(contents: Contents, fixes: Mapping[str, str]) -> Contents:
    """The findings, and those that stand at a key as well."""
    objects = tuple(
        dataclasses.replace(
            one,
            value=dataclasses.replace(one.value, problem=_by_our_options(one.value.problem, fixes)),
        )
        if isinstance(one.value, FoundKey) and one.value.problem
        else one
        for one in contents.objects
    )
    findings = tuple(_by_our_options(one, fixes) for one in contents.findings)
    return dataclasses.replace(contents, objects=objects, findings=findings)


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
