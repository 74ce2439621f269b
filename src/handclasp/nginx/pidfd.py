"""A descriptor that speaks of exactly one process for ever (pidfd_open(2))."""

from __future__ import annotations

import os

from handclasp.errors import EnvironmentFault


def open_pidfd(pid: int) -> int:
    """To be closed by the caller. Raises ProcessLookupError, EnvironmentFault where it is not allowed."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError as error:
        raise EnvironmentFault(
            f"this system cannot watch a process by pidfd: {error.strerror}",
            hint="handclasp needs Linux 5.3 or later, and pidfd_open allowed in the container.",
        ) from error
