"""A description as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.certs import facts
from handclasp.certs.counting import counted

if TYPE_CHECKING:
    from datetime import datetime

    from handclasp.certs.describe import Description


def rows(told: Description, *, now: datetime) -> list[tuple[str, str]]:
    """The facts as lines for people: a short name and a text."""
    lines: list[tuple[str, str | None]] = [
        ("subject", told.subject if told.subject != "" else "(empty)"),
        ("issuer", told.issuer),
        ("names", ", ".join(told.sans)),
        ("valid", _validity(told, now)),
        ("key", str(told.key) if told.key else None),
        ("encrypted", {True: "yes", False: "no", None: None}[told.encrypted]),
        ("usages", ", ".join(told.usages)),
        ("authority", _authority(told)),
        ("signed", _signed(told)),
        ("serial", told.serial),
        ("number", None if told.number is None else str(told.number)),
        ("revoked", None if told.entries is None else counted(told.entries, "certificate")),
        ("issuer at", ", ".join(told.issuer_urls)),
        ("crl at", ", ".join(told.crl_urls)),
        ("sha256", told.sha256),
        ("sha1", told.sha1),
        ("key sha256", told.spki_sha256),
    ]
    return [(name, text) for name, text in lines if text]


def _signed(told: Description) -> str | None:
    if told.signature_valid is None:
        return told.signature
    words = "by its own key" if told.signature_valid else "but NOT by its own key: invalid"
    return f"{told.signature}, {words}"


def _authority(told: Description) -> str | None:
    if not told.ca:
        return None
    if told.path_length is None:
        return "CA"
    return f"CA, at most {counted(told.path_length, 'intermediate')} below it"


def _validity(told: Description, now: datetime) -> str | None:
    begin, end = told.not_before, told.not_after
    if begin is None:
        return None
    if end is None:
        return f"from {facts.date(begin)}, without an end"
    span = f"{facts.date(begin)} to {facts.date(end)}"
    if now > end:
        return f"{span} (ended {counted((now - end).days, 'day')} ago)"
    if now < begin:
        return f"{span} (begins in {counted((begin - now).days, 'day')})"
    return f"{span} ({counted((end - now).days, 'day')} left)"
