"""Lifetimes as people write them, years included. Pure."""

from __future__ import annotations

import re
from datetime import timedelta

from handclasp.spec.names import shown
from handclasp.spec.quantities import parse_duration

_YEARS = re.compile(r"([0-9]{1,3})y\Z")
_DAYS = re.compile(r"([0-9]{1,12})d\Z")
_MOST_YEARS = 50
_MOST_DAYS = 3660
_LEAST = timedelta(minutes=1)


def parse_lifetime(text: str) -> timedelta:
    """`24h`, `90d`, `10y`; a year has 365 days. Raises ValueError."""
    if match := _YEARS.match(text):
        years = int(match[1])
        if not 1 <= years <= _MOST_YEARS:
            raise ValueError(f"{shown(text)} is not from 1y to {_MOST_YEARS}y")
        return timedelta(days=365 * years)
    if (match := _DAYS.match(text)) and int(match[1]) > _MOST_DAYS:
        raise ValueError(
            f"{shown(text)} is longer than {_MOST_DAYS}d; beyond that write years, as 11y"
        )
    lifetime = parse_duration(text)
    if lifetime < _LEAST:
        raise ValueError(f"{shown(text)} is shorter than a minute")
    return lifetime
