"""How long before its end something is told of: one rule for `handclasp expiry`, the agent's warnings and its
metrics. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from handclasp.errors import UsageError
from handclasp.spec.events import CRITICAL, WARN

WARN_SHARE, CRITICAL_SHARE = 1 / 3, 1 / 12
"""Never earlier than when so much of a lifetime is left: a certificate of a day, or a revocation list of a
week, would never be fine otherwise."""
RENEWED = 1 / 2
"""Of those shares, for what handclasp renews: that begins when a third is left, so only half of it tells of
something wrong."""


@dataclass(frozen=True, slots=True)
class Limits:
    """With so much time left, or less, something is a warning, or critical.

    `warn_as_given`, `critical_as_given`: somebody asked for just that, and lifetimes do not shorten it.
    Raises UsageError when critical would come before warn.
    """

    warn: timedelta = WARN
    critical: timedelta = CRITICAL
    warn_as_given: bool = False
    critical_as_given: bool = False

    def __post_init__(self) -> None:
        if self.critical > self.warn:
            raise UsageError(
                "the critical time is longer than the warning time",
                hint="Give --warn the longer of the two.",
            )

    def of(self, lifetime: timedelta, *, renewed: bool = False) -> Limits:
        """Those for something that lives so long. `renewed`: handclasp renews it in time, so that it ends
        soon is no news, whatever was given."""
        life = max(lifetime, timedelta()) * (RENEWED if renewed else 1)
        warn, critical = self.warn, self.critical
        if renewed or not self.critical_as_given:
            critical = min(critical, life * CRITICAL_SHARE)
        if renewed or not self.warn_as_given:
            warn = max(critical, min(warn, life * WARN_SHARE))
        return Limits(warn, critical)
