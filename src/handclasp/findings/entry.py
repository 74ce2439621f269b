"""The shape of one catalogue entry. Data only; detection lives in the rooms above."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handclasp.findings.model import Severity


class Kind(StrEnum):
    """What an entry describes; one entry can be several."""

    CAUSE = "cause"  # why a handshake failed or a certificate was refused (explain, probe)
    RULE = "rule"  # a mistake in an nginx configuration (lint)
    CHECK = "check"  # something `check` or `cert check` says of a spec, file or machine


class Side(StrEnum):
    """Where a cause has to be put right."""

    CLIENT = "client"
    SERVER = "server"
    CONFIG = "config"
    APP = "app"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One slug: stable code, meaning in one sentence, what to do, and where to read more.

    Codes never change and are never reused: HC1xx client verification, 2xx certificates and keys,
    3xx protocols and ciphers, 4xx identity passed to the backend, 5xx upstream TLS,
    6xx configuration and operations, 7xx the spec file and the machine.
    """

    slug: str
    code: str
    kinds: frozenset[Kind]
    severity: Severity
    meaning: str
    fix: str
    sides: frozenset[Side] = frozenset()
    references: tuple[str, ...] = ()
    see_also: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The stable JSON form; sets become lists in the order of their enum."""
        return {
            "slug": self.slug,
            "code": self.code,
            "kinds": [kind.value for kind in Kind if kind in self.kinds],
            "severity": self.severity.value,
            "sides": [side.value for side in Side if side in self.sides],
            "meaning": self.meaning,
            "fix": self.fix,
            "references": list(self.references),
            "see_also": list(self.see_also),
        }
