"""Workers of nginxes that were replaced, which go on with the requests they have (edge).

Their masters are gone. Each is known by its record in a file, so that after this agent was killed the
next one knows of them too.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.nginx import proc
from handclasp.nginx.handover import until_finished
from handclasp.nginx.master_record import RETIRED_FILES, MasterRecord
from handclasp.nginx.orphans import end_session, send

if TYPE_CHECKING:
    from pathlib import Path

RETIREMENT_SECONDS = 600.0
"""After that a request that is still under way, as an open WebSocket, is cut."""


class Retirees:
    """Those of one nginx prefix. To be used inside a running event loop."""

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix
        self._waiting: dict[asyncio.Task[None], MasterRecord] = {}

    def take(self, record: MasterRecord) -> None:
        """Sees to it that the workers of this master, which has ended, end some time."""
        task = asyncio.ensure_future(self._see_out(record, RETIREMENT_SECONDS))
        self._waiting[task] = record
        task.add_done_callback(lambda done: self._waiting.pop(done, None))

    def take_over(self) -> None:
        """Takes those that an agent before us has left."""
        for path in self._prefix.glob(RETIRED_FILES):
            record = MasterRecord.read(self._prefix, path.name)
            if record is None:
                path.unlink(missing_ok=True)  # copied here with the directory, or not ours
                continue
            end_master(record)
            self.take(record)

    async def end(self, within: float) -> None:
        """Gives all of them so many seconds."""
        records = list(self._waiting.values())
        self.leave()
        await asyncio.gather(*(self._see_out(record, within) for record in records))

    def leave(self) -> None:
        """Stops waiting for them; the next agent takes them over."""
        for task in list(self._waiting):
            task.cancel()

    async def _see_out(self, record: MasterRecord, within: float) -> None:
        if await until_finished(record, within):
            journal.info("the nginx before has finished its requests", pid=record.pid)
        else:
            cut = await end_session(record, patience=0.0)
            journal.warning("requests of the nginx before were cut", pid=record.pid, workers=cut)
        (self._prefix / record.retired_file).unlink(missing_ok=True)


def end_master(record: MasterRecord) -> None:
    """Ends a master at once, if it is still this one, and leaves its workers."""
    stat = proc.read_stat(record.pid)
    if stat is not None and record.is_alive():
        send(stat, signal.SIGKILL)
