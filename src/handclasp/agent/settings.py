"""How an agent runs, and how it gives up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.errors import EnvironmentFault

if TYPE_CHECKING:
    from handclasp.agent.prepare import Choices

DRAIN_SECONDS = 30.0
DNS_POLL_SECONDS = 30.0
"""Names are looked up this often, so a change costs at most one reload in that time."""


class GivenUp(EnvironmentFault):
    """nginx ended too often in a row."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How an agent runs."""

    choices: Choices
    drain_seconds: float = DRAIN_SECONDS
    dns_poll_seconds: float = DNS_POLL_SECONDS
