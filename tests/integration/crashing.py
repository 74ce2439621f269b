"""`handclasp` with an accident at a chosen step of a change.

``python -m tests.integration.crashing WHEN STEP WHOM run -c …``: WHEN is before or after, STEP the name of a
`rotate.transaction.Command`, WHOM is agent, worker or master; with nobody the step fails instead.
It happens once.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from handclasp.agent.transaction import Transaction
from handclasp.cli.main import main
from handclasp.errors import EnvironmentFault
from handclasp.rotate.transaction import Command

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from handclasp.rotate.transaction import Event


def _accident(change: Transaction, whom: str) -> None:
    master = change._master
    match whom:
        case "agent":
            os.kill(os.getpid(), signal.SIGKILL)
        case "master":
            os.kill(master.pid, signal.SIGKILL)
        case "worker":
            os.kill(master.workers()[0].pid, signal.SIGKILL)
        case _:
            raise EnvironmentFault("the accident of a test")


def arrange(when: str, at: Command, whom: str) -> None:
    """The first change that comes to this step has the accident."""
    made = Transaction.__init__
    happened: list[bool] = []

    def once(change: Transaction) -> None:
        if not happened:
            happened.append(True)
            sys.stderr.write(f"accident {when} {at.name}: {whom}\n")
            sys.stderr.flush()
            _accident(change, whom)

    def init(change: Transaction, *arguments: object) -> None:
        made(change, *arguments)  # type: ignore[arg-type]
        usual: Callable[[], Awaitable[Event | None]] = change._do[at]

        async def step() -> Event | None:
            if when == "before":
                once(change)
            event = await usual()
            if when == "after":
                once(change)
            return event

        change._do[at] = step

    Transaction.__init__ = init  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    arrange(sys.argv[1], Command[sys.argv[2]], sys.argv[3])
    sys.argv[:] = ["handclasp", *sys.argv[4:]]
    main()
