"""How it stands with the renewal of an identity, and what is said of it when it fails."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.issuers.schedule import FIRST_WAIT, Span

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.x509 import Certificate

    from handclasp.agent.issued import Kept
    from handclasp.agent.prepare import Prepared
    from handclasp.issuers.request import Order

AGAIN_SHARE = 8
"""Of what is left, until another one is asked for after one that was not taken: issuers count them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """How it stands with one identity. `due` is when the issuer is to be asked; `retry_at` by monotonic
    seconds, while it fails. `refused` is the version that was not taken, `served` the time of what is in
    effect instead."""

    order: Order
    kept: Kept | None = None
    due: datetime | None = None
    failures: int = 0
    retry_at: float = 0.0
    last_error: str | None = None
    last_hint: str | None = None
    alarms: int = 0
    refused: str | None = None
    served: Span | None = None

    @property
    def span(self) -> Span | None:
        """Of what is served until something else is taken."""
        return self.served or (None if self.kept is None else self.kept.span)

    def as_json(self, now: datetime, monotonic: float) -> dict[str, str | None]:
        """For `status`: the issuer, when it is asked next, and why the last try failed."""
        coming = self.due
        if self.failures:
            coming = now + timedelta(seconds=max(0.0, self.retry_at - monotonic))
        return {
            "issuer": self.order.issuer,
            "next": None if coming is None else coming.replace(microsecond=0).isoformat(),
            "last_error": self.last_error,
        }


def served_by(prepared: Prepared, name: str) -> tuple[Certificate, Span] | None:
    """The leaf in effect, and its time."""
    material = prepared.material.identities.get(name)
    if material is None or (leaf := material.leaf) is None:
        return None
    end = min(one.not_valid_after_utc for one in (leaf, *material.chain))
    begin = material.had_since or leaf.not_valid_before_utc
    return leaf, Span(begin=min(begin, end), end=end)


def wait_for_another(span: Span | None, now: datetime) -> timedelta:
    """After one that was not taken; once what is served has ended, by how long it lived."""
    if span is None:
        return FIRST_WAIT
    left = span.left(now)
    longest = left if left > timedelta() else max(span.length / 6, timedelta(minutes=8))
    return max(longest / AGAIN_SHARE, FIRST_WAIT)


def say(name: str, state: Renewal, now: datetime, wait: timedelta) -> None:
    """An error once a third of the lifetime or less is left, a warning before."""
    span = state.span
    fields: dict[str, object] = {
        "identity": name,
        "why": state.last_error,
        "next_try_in_seconds": round(wait.total_seconds()),
    }
    if state.last_hint:
        fields["fix"] = state.last_hint
    if span is not None:
        fields["until"] = span.end.isoformat()
    if span is not None and not state.alarms:
        journal.warning("renewal failed, the certificate in use serves on", **fields)
    elif span is not None and span.left(now) <= timedelta():
        journal.error("renewal failed, and the certificate in use has ended", **fields)
    else:
        journal.error("renewal fails, and the certificate in use ends soon", **fields)
