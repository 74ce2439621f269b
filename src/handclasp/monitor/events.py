"""What happened, as it is told to programs that the spec names. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from handclasp.spec.events import EventName


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `sentence` is for people, `details` (JSON values) for programs."""

    name: EventName
    sentence: str
    at: datetime
    details: Mapping[str, object] = field(default_factory=dict)

    def as_json(self, instance: str) -> str:
        """One object on one line; `instance` is the name of the spec."""
        told = {
            "event": self.name,
            "time": self.at.isoformat(),
            "instance": instance,
            "sentence": self.sentence,
            "details": dict(self.details),
        }
        return json.dumps(told, default=str) + "\n"
