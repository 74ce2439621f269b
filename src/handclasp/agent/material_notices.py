"""Notices of the kernel that something changed in a directory, by watchfiles, and where none come (edge).

A notice is a reason to look and nothing more. watchfiles keeps silent about an overflow of the kernel's
queue, and file systems of other machines give notice of this one's writes only; what looks without a notice
from time to time is `material_watch`.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

_STEP_MS = 50
_GATHER_MS = 200
_MOUNTS = Path("/proc/self/mountinfo")
# Types of proc(5) mountinfo whose files others change behind this kernel's back.
_REMOTE = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "drvfs",
        "gfs2",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "prl_fs",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "vmhgfs",
    ]
)


async def by_inotify(directories: Collection[str], stop: asyncio.Event) -> AsyncIterator[set[str]]:
    """The paths that changed, each time some did, until `stop` is set.

    Raises OSError where a directory cannot be watched or there are too many, RuntimeError where the kernel or
    the library gives up.
    """
    from watchfiles import awatch  # 60 ms that only a running agent pays

    async for changes in awatch(
        *directories,
        watch_filter=None,
        step=_STEP_MS,
        debounce=_GATHER_MS,
        rust_timeout=0,
        stop_event=stop,
        force_polling=False,
        recursive=False,
        ignore_permission_denied=False,  # true hides every other failure too
    ):
        yield {path for _, path in changes}


# RuntimeError is what watchfiles' own errors are, ValueError a name that is no Unicode.
_FAILURES = (OSError, RuntimeError, ValueError)


class Notices:
    """Listens in directories that change from time to time. `failure` says why it does not."""

    def __init__(
        self,
        noticed: Callable[[set[str]], None],
        source: Callable[[Collection[str], asyncio.Event], AsyncIterator[set[str]]] = by_inotify,
    ) -> None:
        """Calls `noticed` with paths, with none when it stops listening by itself."""
        self.failure: str | None = None
        self._noticed = noticed
        self._source = source
        self._stop = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    async def listen(self, directories: Collection[str]) -> None:
        """Listens in these from now on. What changes before this is back may go unnoticed."""
        await self.close()
        self.failure = None
        if not directories:
            return
        self._stop = asyncio.Event()
        self._listening = asyncio.ensure_future(self._listen(sorted(directories), self._stop))
        # One turn of the loop: watchfiles takes all its watches before it waits for the first time.
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Ends the listening, and the thread that did it."""
        self._stop.set()
        if (listening := self._listening) is not None:
            self._listening = None
            await asyncio.wait([listening])

    async def _listen(self, directories: Collection[str], stop: asyncio.Event) -> None:
        try:
            async for paths in self._source(directories, stop):
                self._noticed(paths)
        except _FAILURES as error:
            self.failure = str(error) or type(error).__name__
        except ExceptionGroup as group:  # what fails in watchfiles' thread comes so
            self.failure = "; ".join(str(error) for error in group.exceptions)
        finally:
            if not stop.is_set():
                self.failure = self.failure or "the watching ended"
                self._noticed(set())


def remote_devices(mounts: str) -> frozenset[int]:
    """The devices (st_dev) of file systems that other machines write to, of the text of mountinfo (proc(5)).

    FUSE counts, since what is behind it is not known.
    """
    found = set()
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        fields, kind = before.split(" "), after.partition(" ")[0]
        if not dash or len(fields) < 3 or not _is_remote(kind):
            continue
        major, colon, minor = fields[2].partition(":")
        if colon and major.isdecimal() and minor.isdecimal():
            found.add(os.makedev(int(major), int(minor)))
    return frozenset(found)


def read_remote_devices() -> frozenset[int]:
    """Those of this machine; none where /proc is not there."""
    try:
        return remote_devices(_MOUNTS.read_text("utf-8", "surrogateescape"))
    except OSError:
        return frozenset()


def _is_remote(kind: str) -> bool:
    return kind in _REMOTE or kind == "fuse" or kind.startswith("fuse.")
