"""Processes that work on a CA, for tests that let several run at once or die at it."""

from __future__ import annotations

import os
import secrets
import signal
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from handclasp.ca.directory import Directory
from handclasp.ca.revocation import Reason
from tests.ca.authority import issued, lists, make_authority

if TYPE_CHECKING:
    from collections.abc import Callable


def work(what: str, ca: Path, folder: Path, count: int) -> None:
    for _ in range(count):
        if what == "issue":
            issued(ca, f"{secrets.token_hex(8)}.example", folder)
        else:
            lists(ca)


def once(what: str, ca: Path, folder: Path, serial: int) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    if what == "issue":
        issued(ca, "fallen.example", folder, lifetime=timedelta(days=1))
    elif what == "list":
        lists(ca)
    elif what == "init":
        make_authority(folder)
    else:
        with Directory(ca) as directory:
            directory.ledger.revoke(serial, at=now, reason=Reason.SUPERSEDED)


def fall(what: str, ca: str, folder: str, serial: str) -> None:
    """Forks children that die before their first, second, … touch of the disk, until one gets through;
    prints how many died. After each death the ledger must be readable."""
    deaths = 0
    while True:
        child = os.fork()
        if child == 0:
            try:
                _count_down(deaths + 1)
                once(what, Path(ca), Path(folder) / str(deaths), int(serial, 16))
            except BaseException as problem:  # noqa: BLE001  to be seen by the parent
                os.write(2, f"{problem!r}\n".encode())
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.stdout.write(f"{deaths}\n")
            sys.exit(os.waitstatus_to_exitcode(status))
        deaths += 1
        with Directory(Path(ca)) as directory:
            directory.ledger.records()


def _count_down(left: int) -> None:
    """SIGKILL before the call of that number among those that change files."""
    remaining = [left]

    def step() -> None:
        remaining[0] -= 1
        if remaining[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **words: Any) -> Any:
            step()
            return function(*arguments, **words)

        return call

    for name in (
        "open",
        "fsync",
        "fchmod",
        "mkdir",
        "rename",
        "replace",
        "unlink",
        "link",
        "utime",
        "chmod",
    ):
        setattr(os, name, wrapped(getattr(os, name)))

    class Watched(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            step()
            return super().execute(*arguments)

        def executemany(self, *arguments: Any) -> sqlite3.Cursor:
            step()
            return super().executemany(*arguments)

    connect: Any = sqlite3.connect

    def connected(*arguments: Any, **words: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, factory=Watched, **words)
        return connection

    vars(sqlite3)["connect"] = connected


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
