"""What is told to somebody outside: the program that is run when something happens, and how long before
an end it is said that a certificate or list will expire.

No `from __future__ import annotations` in the modules of the model: pydantic reads the annotations.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from handclasp.spec.policy import Section
from handclasp.spec.quantities import duration_text
from handclasp.spec.types import Argument, Duration, Shorthand

EventName = Literal[
    "expiry-warning",
    "expiry-critical",
    "rotation-committed",
    "rotation-rolled-back",
    "change-refused",
    "nginx-ended",
    "token-away",
    "lists-problem",
]

WARN = timedelta(days=30)
CRITICAL = timedelta(days=7)


class Hook(Section):
    """A program that is run when something happens: no shell, a clean environment, the event as JSON on
    its standard input."""

    command: Annotated[list[Argument], Field(min_length=1)]
    """The program and its arguments, as a list: [/usr/local/bin/page-me, --quiet]; a path with a slash is
    relative to the directory of the file."""
    events: Annotated[list[EventName], Field(min_length=1)] | None = None
    """The events it is run for; default: all."""


def _one_as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


Hooks = Annotated[list[Hook], Shorthand(expand=_one_as_list, short="item")]


class Expiry(Section):
    """How long before the end of a certificate or list the agent and `handclasp expiry` warn; never earlier
    than when a third of its lifetime is left, a twelfth for critical."""

    warn: Duration = WARN
    """Time left at which it is a warning."""
    critical: Duration = CRITICAL
    """Time left at which it is critical; less than `warn`."""

    @model_validator(mode="after")
    def _critical_comes_after(self) -> Self:
        if self.critical >= self.warn:
            raise ValueError(
                f"critical ({duration_text(self.critical)}) must be less than warn"
                f" ({duration_text(self.warn)})"
            )
        return self
