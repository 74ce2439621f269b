"""`handclasp` with one thing in it broken: python tampered.py WHAT FLAG handclasp run …

Run as a script by the tests of nginx being exchanged. FLAG is a file; what waits for it says so.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def under(what: str, flag: Path) -> list[str]:
    """For `Running`, whose command follows."""
    return [sys.executable, __file__, what, str(flag)]


def no_sockets(_: Path) -> None:
    """The system lets nobody have another process's descriptors."""
    from handclasp.nginx import inheritance

    inheritance._PIDFD_GETFD = 100_000  # no such system call


def unproven(flag: Path) -> None:
    """While FLAG is there nothing that was started can be proven."""
    from handclasp.agent.carrier import Carrier
    from handclasp.agent.refused import ChangeRefused

    proven = Carrier.proven

    def refusing(*arguments: Any) -> Any:
        if flag.exists():
            raise ChangeRefused("this is a test")
        return proven(*arguments)

    Carrier.proven = refusing  # type: ignore[method-assign,assignment]


def hangs_before_the_proof(flag: Path) -> None:
    """While FLAG is there; FLAG.reached tells that it does."""
    from handclasp.agent.carrier import Carrier

    Carrier.proven = _hanging(Carrier.proven, flag)  # type: ignore[method-assign]


def hangs_before_the_handover(flag: Path) -> None:
    """After the new configuration is in effect, while FLAG is there."""
    from handclasp.agent import exchange

    exchange._hand_over = _hanging(exchange._hand_over, flag)


def impatient(_: Path) -> None:
    """What is tried every 30 s is tried every second."""
    from handclasp.agent import again

    again.AGAIN_SECONDS = 1.0


def _hanging(call: Callable[..., Any], flag: Path) -> Callable[..., Any]:
    def hanging(*arguments: Any) -> Any:
        if not flag.exists():
            return call(*arguments)
        flag.with_suffix(".reached").touch()
        return asyncio.sleep(600)

    return hanging


if __name__ == "__main__":
    what, flag, sys.argv = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    globals()[what](flag)
    from handclasp.cli.main import main

    main()
