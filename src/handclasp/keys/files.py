"""Reading certificate and key files with care, and writing keys so that nobody else could ever
read them (edge: the file system).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import select
import shlex
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handclasp.certs.read import LIMIT
from handclasp.findings import Finding, Severity, Where, found

if TYPE_CHECKING:
    from pathlib import Path

PIPE_SILENCE_SECONDS = 30.0
"""Nobody may ever write into a FIFO; a program behind a pipe may ask a person for a password first."""

# Beyond 0640: group write or execute, anything for others.
_TOO_WIDE = 0o037


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRead:
    """What came of reading a file: its bytes, or the finding that says why there are none.

    `mode` are the permission bits and `owner` the user id of the file itself, links followed, taken
    from the very descriptor that was read.
    """

    path: Path
    data: bytes | None = field(default=None, repr=False)
    mode: int | None = None
    owner: int | None = None
    problem: Finding | None = None


def read_file(
    path: Path,
    *,
    unreadable: str = "certificate-unreadable",
    pipes: bool = False,
    most: int = LIMIT,
) -> FileRead:
    """Read a regular file of at most so many bytes, links followed.

    With `pipes` a pipe is read as well, to its end: the shell's `<(command)` is one. It has no mode and
    no owner, and must not be silent for PIPE_SILENCE_SECONDS. `unreadable` is the slug for what is neither
    missing, forbidden nor a directory: too large, a device, a silent pipe, an input/output error.
    """
    where = Where(file=str(path))
    try:
        pipe = pipes and stat.S_ISFIFO(path.stat().st_mode)
        # Non-blocking: opening a FIFO that nobody writes to must not hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            problem = None if pipe else _unsuitable(status, where, unreadable)
            data = None
            if pipe and (data := from_pipe(descriptor, most + 1)) is None:
                problem = found(unreadable, _SILENT, where=where, fix=_WRITE)
            elif problem is None and not pipe:
                with os.fdopen(descriptor, "rb", closefd=False) as stream:
                    data = stream.read(most + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        return FileRead(path=path, problem=_explained(path, error, where, unreadable))
    except ValueError:  # a NUL character in the path
        problem = found("file-not-found", "the path holds a NUL character", where=where)
        return FileRead(path=path, problem=problem)
    if data is not None and len(data) > most:
        problem = found(unreadable, f"it is larger than {most // 2**20} MiB", where=where)
        data = None
    if pipe:
        return FileRead(path=path, data=data, problem=problem)
    return FileRead(
        path=path,
        data=data,
        mode=stat.S_IMODE(status.st_mode),
        owner=status.st_uid,
        problem=problem,
    )


_SILENT = f"it is a pipe, and nothing came out of it for {PIPE_SILENCE_SECONDS:.0f} seconds"
_WRITE = "See that a program writes into it and ends, or give a regular file."


def from_pipe(descriptor: int, most: int) -> bytes | None:
    """What comes out of a pipe opened with O_NONBLOCK, to its end or so many bytes; None when it is silent
    for PIPE_SILENCE_SECONDS. Raises OSError."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    data = bytearray()
    while len(data) < most:
        # A FIFO into which nobody has written yet has not ended, though reading it would say so.
        if not waiting.poll(PIPE_SILENCE_SECONDS * 1000):
            return None
        try:
            piece = os.read(descriptor, min(most - len(data), 1 << 16))
        except BlockingIOError:  # somebody else reads it too
            continue
        if not piece:
            break
        data += piece
    return bytes(data)


def check_key_file(read: FileRead, *, allow_wide_mode: bool = False) -> list[Finding]:
    """Mode and owner of a file that holds a private key: at most 0640, root's or our own."""
    findings: list[Finding] = []
    where = Where(file=str(read.path))
    quoted = shlex.quote(str(read.path))
    if read.mode is not None and read.mode & _TOO_WIDE:
        who = "everybody" if read.mode & 0o007 else "the group"
        does = "change or read" if read.mode & 0o022 else "read"
        seen = f"the private key file has mode {read.mode:04o}: {who} may {does} it"
        findings.append(
            found(
                "key-file-mode-too-wide",
                seen,
                where=where,
                fix=f"Run: chmod {'0640' if read.mode & 0o040 and who != 'everybody' else '0600'} "
                f"{quoted}",
                severity=Severity.WARNING if allow_wide_mode else None,
            )
        )
    ours = os.geteuid()
    if read.owner is not None and read.owner not in (0, ours):
        seen = f"the private key file belongs to user id {read.owner}, handclasp runs as {ours}"
        fix = f"Run as root: chown {ours} {quoted}"
        findings.append(found("key-file-owner-odd", seen, where=where, fix=fix))
    return findings


def check_secret_mode(read: FileRead) -> tuple[Finding, ...]:
    """A file with a password or PIN that others than its owner and group may read."""
    # What has a problem is no file: nobody is told to change the mode of /dev/null.
    if read.mode is None or read.problem is not None or not read.mode & 0o007:
        return ()
    seen = f"the file with the secret has mode {read.mode:04o}: everybody may read or change it"
    fix = f"Run: chmod 0600 {shlex.quote(str(read.path))}"
    return (found("secret-file-mode-too-wide", seen, where=Where(file=str(read.path)), fix=fix),)


def write_private(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Create a file that must not exist yet, with `mode` in force before the first byte is written.

    The umask plays no part. Raises FileExistsError (a dangling link counts as existing) or another
    OSError; nothing half-written is left behind then.
    """
    _write_exclusively(path, data, mode)
    sync_directory(path.parent)


def write_beside(path: Path, data: bytes, mode: int) -> Path:
    """The whole file under a passing name in the directory of `path`, to be moved or linked there.

    Raises OSError; nothing is left behind then.
    """
    # Cut: a name may have 255 bytes, and ours must not be longer than what it replaces allows.
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    _write_exclusively(temporary, data, mode)
    return temporary


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """Put a new file in the place of `path` (or of nothing) in one step.

    A reader sees the old file or the new one, whole. A link at `path` is replaced, not followed.
    nginx 1.27.4 and later recognises a changed file by inode and whole seconds, so files are never
    rewritten in place. Raises OSError; then `path` is as it was.
    """
    temporary = write_beside(path, data, mode)
    try:
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def _write_exclusively(path: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600 & mode)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as stream:
            os.fchmod(stream.fileno(), mode)
            rest = memoryview(data)
            while rest:
                rest = rest[stream.write(rest) :]
            os.fsync(stream.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def sync_directory(path: Path) -> None:
    """Make names created or renamed in `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)


def _unsuitable(status: os.stat_result, where: Where, unreadable: str) -> Finding | None:
    if stat.S_ISREG(status.st_mode):
        return None
    if stat.S_ISDIR(status.st_mode):
        return found("path-is-directory", "the path is a directory", where=where)
    return found(
        unreadable,
        "it is a pipe or a device, not a regular file",
        where=where,
        fix="Give a regular file. Pipes are read by `handclasp cert`, `ca` and `hsm` for what they are given"
        " by name; to `cert`, `-` is standard input.",
    )


def _explained(path: Path, error: OSError, where: Where, unreadable: str) -> Finding:
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
        seen = "there is no such file"
        with contextlib.suppress(OSError):
            seen = f"it is a link to {path.readlink()}, which does not exist"
        return found("file-not-found", seen, where=where)
    if error.errno in (errno.EACCES, errno.EPERM):
        shut = _shut_directory(path)
        barrier = f"directory {shut} may not be entered" if shut else "the file may not be read"
        seen = f"permission denied: {barrier} by user id {os.geteuid()}"
        return found("permission-denied", seen, where=where)
    if error.errno == errno.ELOOP:
        return found("file-not-found", "it is a link that leads back to itself", where=where)
    return found(unreadable, f"it cannot be read: {error.strerror}", where=where)


def _shut_directory(path: Path) -> Path | None:
    for parent in reversed(path.parents):
        if not os.access(parent, os.X_OK, effective_ids=True):
            return parent
    return None
