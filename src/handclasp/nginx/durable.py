"""Durable steps on the file system: each is done whole or not at all, and survives a power cut.

Three rules, kept by every function here:

* a file has its final mode before its first byte, whatever the umask: it is created 0600 and
  widened by fchmod while still empty, never written and then narrowed;
* a tree appears under its name only by rename, after its files and directories were fsynced;
* what is removed is renamed out of the way first, so no name ever shows half a tree.

Temporary names (`.NAME.new`, `.NAME.old`) are ours: whoever holds the lock may remove them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.errors import EnvironmentFault
from handclasp.findings import ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path


def fresh_name(path: Path) -> Path:
    """Where something is made before it gets the name `path`."""
    return path.with_name(f".{path.name}.new")


def old_name(path: Path) -> Path:
    """Where something goes that had the name `path`."""
    return path.with_name(f".{path.name}.old")


def is_temporary(name: str) -> bool:
    """Whether a name is one of the two above."""
    return name.startswith(".") and name.endswith((".new", ".old"))


@dataclass(frozen=True, slots=True)
class Access:
    """Permission bits, and the group to own the file; None leaves the group as it is."""

    mode: int
    group: int | None = None


_REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("no space is left on its file system", "state-dir-full"),
    errno.EDQUOT: ("the disk quota is used up", "state-dir-full"),
    errno.EROFS: ("its file system is read-only", "state-dir-read-only"),
    errno.EACCES: ("permission is denied", "state-dir-read-only"),
    errno.EPERM: ("the operation is not permitted", "state-dir-read-only"),
    errno.ENOTDIR: ("something on its path is not a directory", "state-dir-read-only"),
}


def fault(error: OSError, doing: str, path: Path) -> EnvironmentFault:
    """The sentence for an operating system error met while `doing` something to `path`."""
    reason, slug = _REASONS.get(error.errno or 0, (error.strerror or str(error), ""))
    hint = ENTRIES[slug].fix if slug else None
    return EnvironmentFault(f"cannot {doing} {path}: {reason}", hint=hint)


@contextlib.contextmanager
def reported(doing: str, path: Path) -> Iterator[None]:
    """Turns OSError into EnvironmentFault, naming what was being done."""
    try:
        yield
    except OSError as error:
        raise fault(error, doing, path) from error


def apply_access(descriptor: int, access: Access) -> None:
    """Owner group first: chown would clear bits that chmod had set."""
    seen = os.fstat(descriptor)
    if access.group is not None and seen.st_gid != access.group:
        os.fchown(descriptor, -1, access.group)
    if seen.st_mode & 0o7777 != access.mode or access.group is not None:
        os.fchmod(descriptor, access.mode)


def mend_access(path: Path, access: Access) -> None:
    """Gives an existing file or directory of ours its mode and group."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        apply_access(descriptor, access)
    finally:
        os.close(descriptor)


def ensure_directory(path: Path, access: Access) -> None:
    """Makes the directory if it is not there, and gives it its mode and group either way."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    mend_access(path, access)


def fsync_directory(path: Path) -> None:
    """Makes names created, renamed or removed in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, content: bytes, access: Access) -> None:
    """A new file, fsynced, its directory not. Raises FileExistsError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        apply_access(descriptor, access)
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes, access: Access) -> None:
    """A file of this content under this name, the old one whole until the new one is."""
    fresh = fresh_name(path)
    fresh.unlink(missing_ok=True)
    try:
        write_file(fresh, content, access)
        fresh.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def write_tree(
    target: Path,
    files: Mapping[str, bytes],
    *,
    directory: Access,
    file_access: Callable[[str], Access],
    empty: Collection[str] = (),
) -> None:
    """A directory of these files (relative paths, `/` between parts), there whole or not at all.

    ``empty``: directories to be made in it with nothing inside.
    """
    fresh = fresh_name(target)
    remove_tree(fresh)
    try:
        ensure_directory(fresh, directory)
        folders = {fresh}
        for name in empty:
            ensure_directory(fresh / name, directory)
        for name, content in files.items():
            path = fresh / name
            for folder in reversed(path.relative_to(fresh).parents[:-1]):
                ensure_directory(fresh / folder, directory)
                folders.add(fresh / folder)
            write_file(path, content, file_access(name))
        for folder in folders:
            fsync_directory(folder)
        fresh.rename(target)
    except OSError:
        with contextlib.suppress(OSError):
            remove_tree(fresh)
        raise
    fsync_directory(target.parent)


def remove_tree(path: Path) -> None:
    """Removes a tree, if there; under its own name it is gone at once."""
    doomed = path
    if not is_temporary(path.name):
        doomed = old_name(path)
        if os.path.lexists(doomed):
            shutil.rmtree(doomed)
        with contextlib.suppress(FileNotFoundError):
            path.rename(doomed)
    if os.path.lexists(doomed):
        shutil.rmtree(doomed)


def sweep(directory: Path) -> None:
    """Removes temporary names left by a process that died; only for the holder of the lock."""
    for path in list(directory.iterdir()):
        if not is_temporary(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def link_target(link: Path) -> str | None:
    """What a symbolic link says, None when there is none."""
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return None
