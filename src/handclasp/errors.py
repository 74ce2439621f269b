"""The few error classes, one per party at fault, and the exit codes that go with them.

Only these are printed as a sentence; anything else that escapes is our bug and is shown as one.
They are ordinary classes: a frozen dataclass cannot be raised through a context manager, which
assigns ``__traceback__``.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of every command (docs/reference/cli.md)."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    ENVIRONMENT = 3
    BUG = 4


class HandclaspError(Exception):
    """Root of everything handclasp raises on purpose.

    ``message`` says what is wrong in one sentence, ``hint`` what to do about it.
    """

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  fix: {self.hint}"


class UsageError(HandclaspError):
    """The command line or an input file is wrong or could not be understood."""

    exit_code = ExitCode.USAGE


class EnvironmentFault(HandclaspError):
    """The machine lacks something: nginx, a permission, a free port, disk space, a running agent."""

    exit_code = ExitCode.ENVIRONMENT


class InternalFault(HandclaspError):
    """An invariant of ours does not hold."""

    exit_code = ExitCode.BUG
