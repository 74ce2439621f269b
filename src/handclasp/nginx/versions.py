"""A directory of immutable versions with a link `current` to one of them.

Generations, identities and trust bundles are all kept this way::

    <place>/<version>/…      written once, whole, never changed
    <place>/current          symbolic link, relative, moved by rename

nginx resolves `current` to a real directory once per handshake, so a version must stay as it is for
as long as anything may still be reading it (reference: ngx_http_core_module, `$realpath_root`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.errors import InternalFault
from handclasp.nginx import durable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

CURRENT = "current"


def checked_name(name: str, what: str) -> str:
    """One path component that cannot leave its directory nor be taken for `current` or a temporary.

    Raises InternalFault: names are validated where they come in, in the spec.
    """
    bad = not name or name == CURRENT or name.startswith(".") or "/" in name or "\0" in name
    if bad or len(os.fsencode(name)) > 200:
        raise InternalFault(f"{name!r} cannot be the name of {what} in the state directory")
    return name


def checked_file(name: str) -> str:
    """A relative path without `.`, `..` or empty parts. Raises InternalFault."""
    for part in name.split("/"):
        checked_name(part, "a file")
    return name


def directories(place: Path) -> list[Path]:
    """The directories in a place, no links, no temporaries; none when it is not there."""
    try:
        found = sorted(place.iterdir())
    except FileNotFoundError:
        return []
    return [
        path
        for path in found
        if path.is_dir() and not path.is_symlink() and not durable.is_temporary(path.name)
    ]


@dataclass(frozen=True, slots=True)
class Versions:
    """One such directory: where it is, and who may read what is put into it."""

    place: Path
    directory: durable.Access
    file_access: Callable[[str], durable.Access]
    empty: tuple[str, ...] = ()

    @property
    def link(self) -> Path:
        """The link `current`."""
        return self.place / CURRENT

    def current(self) -> str | None:
        """The version in use."""
        return durable.link_target(self.link)

    def names(self) -> list[str]:
        """All versions that are there, oldest first."""
        # A directory's own mtime is that of its last file: renaming it leaves that alone.
        dated = [(path.stat().st_mtime_ns, path.name) for path in directories(self.place)]
        return [name for _, name in sorted(dated)]

    def stage(self, version: str, files: Mapping[str, bytes]) -> Path:
        """Writes a version unless it is there already with the same bytes.

        Raises InternalFault when it is there with others, OSError from the file system.
        """
        target = self.place / checked_name(version, "a version")
        wanted = {checked_file(name): content for name, content in files.items()}
        if target.is_dir():
            self._same_or_fault(target, wanted)
        else:
            durable.write_tree(
                target,
                wanted,
                directory=self.directory,
                file_access=self.file_access,
                empty=self.empty,
            )
        return target

    def _same_or_fault(self, target: Path, wanted: Mapping[str, bytes]) -> None:
        there = {
            str(path.relative_to(target)): path for path in target.rglob("*") if not path.is_dir()
        }
        if there.keys() != wanted.keys() or any(
            path.read_bytes() != wanted[name] for name, path in there.items()
        ):
            raise InternalFault(
                f"{target} is there already with other content; versions never change"
            )
        # The account of the workers may have changed since it was written.
        for folder in (target, *(target / name for name in self.empty)):
            durable.mend_access(folder, self.directory)
        for name, path in there.items():
            durable.mend_access(path, self.file_access(name))

    def prune(self, keep: int, needed: Collection[str]) -> list[Path]:
        """Removes all but the newest `keep`, the current and the needed; returns the removed."""
        names = self.names()
        kept = {*names[-keep:], *needed, self.current()}
        removed = [self.place / name for name in names if name not in kept]
        for path in removed:
            durable.remove_tree(path)
        return removed
