"""Files and directories become entries."""

from __future__ import annotations

import fnmatch
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handclasp.cli.cert.inputs import read_inputs
from handclasp.findings.model import Severity
from handclasp.monitor.entries import entries_of_file
from handclasp.monitor.expiry import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from handclasp.certs.secret import Secret
    from handclasp.keys.assemble import ReadFile

_MANY = 100  # files from which on a progress bar is shown
_SUFFIXES = frozenset(
    [".pem", ".crt", ".cer", ".cert", ".der", ".crl", ".p7b", ".p7c", ".p12", ".pfx", ".jks"]
)
"""What bears one of these below a directory was put there as a certificate."""
_KEY = ".key"
_HOST = re.compile(r"[\w-]+(\.[\w-]+)+")
_NOTHING_KNOWN = frozenset({"not-pem", "pem-empty-or-corrupt"})


def entries_below(
    paths: Sequence[Path], *, password: Secret[bytes] | None, exclude: Sequence[str]
) -> list[Entry]:
    """What the files, and those below the directories, hold.

    A file that was named and holds no certificate and no list is an entry with that problem; below a
    directory such files are left out and counted, unless they look as if they should hold one.
    """
    entries: list[Entry] = []
    named: list[Path] = []
    walk = _Walk(exclude)
    for path in paths:
        if path.is_dir():
            entries += _below(path, walk, password)
        else:
            named.append(path)
    for one in read_inputs(named, password):
        entries += entries_of_file(one.contents) or [_nothing(one)]
    return entries


def _below(top: Path, walk: _Walk, password: Secret[bytes] | None) -> list[Entry]:
    """One directory that was named; to have nothing in it is not fine."""
    files = list(walk.files(top))
    entries = list(walk.taken_unreadable())
    other = 0
    for one in _with_progress(read_inputs(files, password), len(files)):
        told = _found_below(one)
        other += not told
        entries += told
    if not entries:
        problem = "there is no certificate and no revocation list below it"
        return [Entry(source=str(top), problem=problem)]
    if other:
        what = "file holds" if other == 1 else "files hold"
        click.echo(f"{top}: {other} other {what} no certificate and no revocation list", err=True)
    return entries


def _nothing(one: ReadFile) -> Entry:
    """A file that was named."""
    for finding in one.findings:
        if finding.severity is Severity.ERROR:
            problem = f"{finding.seen} [{finding.slug}]"
            if finding.slug == "file-not-found" and _may_be_a_host(one.contents.source):
                problem += f"; if a server is meant: https://{one.contents.source}"
            return Entry(source=one.contents.source, problem=problem)
    kinds = {"keys": "a private key", "csrs": "a signing request"}
    held = next((told for kind, told in kinds.items() if getattr(one.contents, kind)), "no object")
    problem = f"it holds {held}, no certificate and no revocation list"
    return Entry(source=one.contents.source, problem=problem)


def _may_be_a_host(source: str) -> bool:
    return bool(_HOST.fullmatch(source)) and Path(source).suffix.lower() not in {*_SUFFIXES, _KEY}


def _found_below(one: ReadFile) -> list[Entry]:
    """A file that was come upon."""
    if one.read.problem is not None:
        # Private keys are kept from whoever only watches, and have no end.
        return [] if one.read.path.suffix.lower() == _KEY else [_nothing(one)]
    certain = Path(one.contents.source).suffix.lower() in _SUFFIXES
    errors = [finding for finding in one.contents.findings if finding.severity is Severity.ERROR]
    text = one.read.data is not None and b"-----BEGIN " in one.read.data
    if not certain and not text and {finding.slug for finding in errors} <= _NOTHING_KNOWN:
        # A note, a script, an empty file: no part of it is a certificate, nor says it is.
        return entries_of_file(one.contents) if one.contents.objects else []
    return entries_of_file(one.contents)


class _Walk:
    """Files below directories, links followed, each file and each directory once."""

    def __init__(self, exclude: Sequence[str]) -> None:
        self.exclude = exclude
        self._unreadable: list[Entry] = []
        self._seen: set[tuple[int, int]] = set()

    def files(self, top: Path) -> Iterator[Path]:
        """Files of a directory before those below it: of the ways to a file the shortest."""
        self._first(top)
        for folder, folders, names in os.walk(top, followlinks=True, onerror=self._shut):
            folders[:] = [
                name
                for name in sorted(folders)
                if not self._excluded(name) and self._first(Path(folder, name))
            ]
            for name in sorted(names):
                path = Path(folder, name)
                if self._excluded(name):
                    continue
                if path.is_symlink() and not path.exists():
                    problem = "it is a link that leads to nothing"
                    self._unreadable.append(Entry(source=str(path), problem=problem))
                elif path.is_file() and self._first(path):
                    yield path

    def taken_unreadable(self) -> list[Entry]:
        """What could not be entered or followed since this was last asked."""
        taken, self._unreadable = self._unreadable, []
        return taken

    def _excluded(self, name: str) -> bool:
        return any(fnmatch.fnmatch(name, pattern) for pattern in self.exclude)

    def _first(self, path: Path) -> bool:
        try:
            status = path.stat()
        except OSError as error:
            self._shut(error)
            return False
        mark = (status.st_dev, status.st_ino)
        if mark in self._seen:
            return False
        self._seen.add(mark)
        return True

    def _shut(self, error: OSError) -> None:
        problem = f"it cannot be read: {error.strerror}"
        self._unreadable.append(Entry(source=str(error.filename), problem=problem))


def _with_progress(inputs: Iterable[ReadFile], count: int) -> Iterator[ReadFile]:
    if count < _MANY or not sys.stderr.isatty():
        yield from inputs
        return
    with click.progressbar(inputs, length=count, label="reading", file=sys.stderr) as bar:
        yield from bar
