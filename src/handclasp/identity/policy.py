"""The decision about one caller under the rules that cover a request (spec.access)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.certs.facts import date
from handclasp.spec.access import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from handclasp.identity.caller import Caller
    from handclasp.identity.denied import Denied
    from handclasp.identity.rules import Rule


@dataclass(frozen=True, slots=True)
class Decision:
    """`sentence` is for the log, never for the caller; `rule` is the rule that let them in."""

    allowed: bool
    reason: Reason
    sentence: str
    rule: str | None = None


def judge(
    allow: Iterable[Rule],
    caller: Caller | None,
    *,
    now: datetime,
    denied: Denied | None = None,
    barred: bool = False,
) -> Decision:
    """Whether a caller may enter under these rules: any one of them suffices, none lets nobody in.

    `barred`: a CA above the caller is denied or revoked (identity.chain).
    """
    if caller is None:
        return _refused(Reason.NO_CERTIFICATE, "the caller showed no verified certificate")
    if now < caller.not_before:
        return _refused(
            Reason.NOT_YET_VALID, f"the certificate is valid from {date(caller.not_before)} on"
        )
    if now > caller.not_after:
        return _refused(Reason.EXPIRED, f"the certificate expired on {date(caller.not_after)}")
    if denied is not None and denied.holds(caller):
        return _refused(Reason.DENIED, "the certificate was denied or revoked")
    if barred:
        return _refused(Reason.DENIED, "a CA above the certificate was denied or revoked")
    for rule in allow:
        if rule.holds(caller):
            return Decision(True, Reason.ALLOWED, f"the rule {rule} holds", str(rule))
    return _refused(Reason.NO_RULE_HOLDS, "no allow rule holds for the certificate")


def _refused(reason: Reason, sentence: str) -> Decision:
    return Decision(False, reason, sentence)
