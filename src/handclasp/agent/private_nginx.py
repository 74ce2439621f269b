"""An nginx that runs for a moment beside the one that carries the traffic, for one purpose (edge).

Its prefix is a folder of the state directory, which is there only while it runs; so the next agent finds what
one that was killed has left, and ends it.
"""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from handclasp.agent.staging import nginx_environment
from handclasp.nginx.durable import reported
from handclasp.nginx.features import Feature
from handclasp.nginx.master_record import MasterRecord, from_pid_file
from handclasp.nginx.orphans import end_session
from handclasp.nginx.process import ERROR_LOG, NginxMaster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from handclasp.agent.prepare import Prepared


@contextlib.asynccontextmanager
async def private_nginx(
    folder: Path, prepared: Prepared, configuration: str
) -> AsyncIterator[NginxMaster]:
    """Runs it in `folder`, which goes with it. Raises as NginxMaster.start does."""
    await end_private(folder)
    try:
        with reported("start nginx for a moment in", folder):
            for place in (folder, folder / "logs", folder / "temp"):
                place.mkdir(mode=0o700)
            (folder / "nginx.conf").write_text(configuration)
        master = await NginxMaster.start(
            prepared.binary,
            folder,
            folder / "nginx.conf",
            env=nginx_environment(),
            log_path=folder / ERROR_LOG,
            early_log_option=prepared.facts.has(Feature.EARLY_LOG),
        )
        try:
            yield master
        finally:
            await master.terminate()
            await end_session(master.record, patience=0.0)  # a worker that outlived it
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def end_private(folder: Path) -> None:
    """Ends the one whose agent was killed, maybe before it had written down which process that is."""
    record = MasterRecord.read(folder) or from_pid_file(folder, folder / ERROR_LOG)
    if record is not None:
        await end_session(record, patience=0.0)
    shutil.rmtree(folder, ignore_errors=True)
