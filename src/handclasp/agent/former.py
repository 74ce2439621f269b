"""The nginx of before: had from an agent that was killed, or had back when its successor fails (edge)."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.generation import recorded_variables
from handclasp.agent.staging import OPENSSL_VARIABLE, nginx_environment
from handclasp.errors import HandclaspError
from handclasp.nginx.process import ERROR_LOG, NginxMaster
from handclasp.nginx.render.tokens import OPENSSL_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handclasp.nginx.state import StateDirectory

HANDOVER_SECONDS = 10.0
"""How long an nginx may finish requests while the one after it waits: nobody is listening meanwhile."""


async def adopted(state: StateDirectory) -> NginxMaster | None:
    """An nginx left running that is ours now; one that no longer serves is ended first."""
    master = NginxMaster.adopt(state.nginx_prefix)
    if master is None:
        return None
    master.resume()  # an agent that was killed may have stood it down
    if await master.serves():
        journal.info("nginx adopted", pid=master.pid)
        return master
    # Its agent was killed while draining, or its workers could not live.
    journal.warning("an nginx that serves no more is ended", pid=master.pid)
    journal.info("nginx ended", how=await master.quit(HANDOVER_SECONDS))
    return None


@dataclass(frozen=True, slots=True)
class Former:
    """How the old nginx is started again: its program and whether it was given `-e`."""

    state: StateDirectory
    program: Path
    early_log_option: bool

    async def start(self, failure: BaseException, listeners: Sequence[Path]) -> NginxMaster | None:
        """The old program on the generation in effect; None, and said so, when it does not come up.

        ``failure``: why it is wanted back. ``listeners``: unix sockets the other one may have left.
        """
        if self.state.current_generation() is None:
            journal.error("the nginx before cannot be started again: its configuration is gone")
            return None
        try:
            master = await NginxMaster.start(
                self.program,
                self.state.nginx_prefix,
                self.state.current_configuration,
                env=self._environment(),
                log_path=self.state.nginx_prefix / ERROR_LOG,
                early_log_option=self.early_log_option,
                unix_listeners=listeners,
            )
        except HandclaspError as second:
            journal.error("the nginx before did not start again", first=failure, then=second)
            return None
        journal.warning("the nginx before serves again", pid=master.pid, because=failure)
        return master

    def _environment(self) -> dict[str, str]:
        variables = recorded_variables(self.state)
        if OPENSSL_VARIABLE in variables:
            folder = self.state.current_configuration.parent
            variables[OPENSSL_VARIABLE] = str(folder / OPENSSL_FILE)
        return {**nginx_environment(), **variables}


@contextlib.contextmanager
def former(master: NginxMaster, state: StateDirectory) -> Iterator[Former]:
    """What is needed to have this running master back; made before it is ended.

    Its file may be another by now, as after an upgrade of the package: then the one that runs is held
    open by what /proc shows of it, and started by that.
    """
    record = master.record
    early = "-e" in record.arguments
    if record.binary_change() is None:
        # As it was started, by a wrapper script too.
        yield Former(state, Path(record.arguments[0]), early)
        return
    with contextlib.ExitStack() as held:
        program = Path(record.arguments[0])
        with contextlib.suppress(OSError):
            descriptor = os.open(f"/proc/{master.pid}/exe", os.O_RDONLY | os.O_CLOEXEC)
            held.callback(os.close, descriptor)
            # By our pid: in the process that becomes nginx the descriptor is closed.
            program = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
        yield Former(state, program, early)
