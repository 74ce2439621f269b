"""Reading the spec file (edge: files)."""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from pathlib import Path, PurePosixPath

from handclasp.errors import ExitCode
from handclasp.findings import Finding, FindingsError, Where, found
from handclasp.spec.load import LoadedSpec, parse_spec
from handclasp.spec.yaml_text import SIZE_LIMIT

_PATIENCE_SECONDS = 5.0
_CHUNK = 65_536


def read_spec(path: Path | str) -> LoadedSpec:
    """The spec in the file at `path`; its relative paths are taken from the file's directory.

    A pipe (`<(command)`) is read to its end, for some seconds at most.
    Raises FindingsError (exit code 2) when the file cannot be read or is not a spec.
    """
    path = Path(path)
    try:
        data = _content(path)
    except (OSError, ValueError) as error:
        raise FindingsError([_unreadable(path, error)], exit_code=ExitCode.USAGE) from None
    return parse_spec(data, source=str(path), base=PurePosixPath(path.absolute().parent))


def _content(path: Path) -> bytes:
    """One byte more than a spec may have, at most: the parser then says that it is too large."""
    # Opening a pipe that nobody writes to would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return _bounded(descriptor, waits=not stat.S_ISREG(kind))
    finally:
        os.close(descriptor)


def _bounded(descriptor: int, *, waits: bool) -> bytes:
    """`waits`: what is read may have to be waited for."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    data = bytearray()
    while len(data) <= SIZE_LIMIT:
        left = deadline - time.monotonic()
        if waits and (left <= 0 or not poll.poll(left * 1000)):
            raise TimeoutError
        chunk = os.read(descriptor, min(_CHUNK, SIZE_LIMIT + 1 - len(data)))
        if not chunk:
            break
        data += chunk
    return bytes(data)


def _unreadable(path: Path, error: OSError | ValueError) -> Finding:
    if isinstance(error, FileNotFoundError):
        seen = "the file does not exist"
        fix = f"Give the path of a spec, or write one: `handclasp init egress -o {path}`."
    elif isinstance(error, IsADirectoryError):
        seen, fix = "this is a directory, not a file", "Give the path of the spec in it."
    elif isinstance(error, PermissionError):
        seen, fix = "this user may not read the file", "Run as a user who may, or change its mode."
    elif isinstance(error, TimeoutError):
        seen = f"this is no file, and what it is did not come to an end in {_PATIENCE_SECONDS:g} s"
        fix = "Give the path of a file, or of a pipe whose other end is written and closed."
    else:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        seen, fix = f"the file cannot be read: {reason}", None
    return found("spec-unreadable", seen, where=Where(str(path)), fix=fix)
