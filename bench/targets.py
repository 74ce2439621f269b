"""What the project has set itself, as ratios within one run, and whether a run meets it."""

# ruff: noqa: RUF001  (the texts are prose in a table)
from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

from bench.medians import cpu, paired_ratio, throughput

if TYPE_CHECKING:
    from bench.model import Role, Run

Outcome = Literal["met", "not met", "not measured"]


@dataclass(frozen=True, slots=True)
class Ratio:
    """`subject` against `other` in one scenario; `at_least` for requests/s, else CPU at most."""

    scenario: str
    subject: str
    other: str
    limit: float
    at_least: bool = False

    @property
    def text(self) -> str:
        if self.at_least:
            return f"{self.subject}: requests/s ≥ {self.limit:g} × {self.other}"
        return f"{self.subject}: CPU per request ≤ {self.limit:g} × {self.other}"

    def value(self, run: Run) -> float | None:
        """The paired ratio; None when either side was not measured."""
        ours = run.cell(self.scenario, self.subject)
        theirs = run.cell(self.scenario, self.other)
        if ours is None or theirs is None:
            return None
        return paired_ratio(ours, theirs, throughput if self.at_least else cpu)

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class IdleRatio:
    """Memory per idle connection of `subject` against `other`."""

    role: Role
    subject: str
    other: str
    limit: float

    @property
    def scenario(self) -> str:
        return f"{self.role}-idle"

    @property
    def text(self) -> str:
        return f"{self.subject}: memory per idle client ≤ {self.limit:g} × {self.other}"

    def value(self, run: Run) -> float | None:
        """Bytes over bytes; None when either side was not measured."""
        each = {cell.subject: cell.bytes_each for cell in run.idle if cell.role == self.role}
        ours, theirs = each.get(self.subject), each.get(self.other)
        return ours / theirs if ours and theirs else None

    def holds(self, value: float) -> bool:
        return value <= self.limit


@dataclass(frozen=True, slots=True)
class Seconds:
    """Wall time, or another figure, of a command of ours."""

    command: str
    limit: float
    unit: str = "s"

    @property
    def scenario(self) -> str:
        return "commands"

    @property
    def text(self) -> str:
        return f"{self.command} ≤ {self.limit:g} {self.unit}"

    def value(self, run: Run) -> float | None:
        """Median seconds; None when not measured."""
        taken = next((c.seconds for c in run.commands if c.name == self.command), ())
        return median(taken) if taken else None

    def holds(self, value: float) -> bool:
        return value <= self.limit


Target = Ratio | IdleRatio | Seconds

TARGETS: tuple[Target, ...] = (
    Ratio("egress-keepalive", "handclasp", "haproxy", 1.05),
    Ratio("egress-keepalive", "handclasp", "caddy", 0.3),
    Ratio("egress-keepalive", "handclasp", "envoy", 0.65),
    Ratio("egress-keepalive", "handclasp", "floor", 1.35),
    Ratio("egress-keepalive", "handclasp-wheel", "haproxy", 1.4),
    Ratio("egress-connect", "handclasp", "seed", 10, at_least=True),
    Ratio("egress-connect-resuming", "handclasp", "seed", 4, at_least=True),
    Ratio("egress-1mib", "handclasp", "haproxy", 1.2),
    Ratio("ingress-keepalive", "handclasp", "haproxy", 1.05),
    Ratio("ingress-keepalive", "handclasp-asking", "handclasp", 0.75, at_least=True),
    Ratio("ingress-keepalive", "handclasp-asking-wheel", "handclasp-wheel", 0.75, at_least=True),
    Ratio("ingress-handshake", "handclasp", "stock", 0.8),
    Ratio("ingress-handshake", "handclasp", "caddy", 1.0),
    Ratio("ingress-handshake", "handclasp-lookup", "stock", 1.35),
    Ratio("ingress-handshake", "handclasp-lookup-wheel", "stock-wheel", 0.95),
    Ratio("ingress-1mib", "handclasp", "haproxy", 0.95),
    IdleRatio("egress", "handclasp", "floor", 1.1),
    IdleRatio("ingress", "handclasp", "stock", 1.0),
    Seconds("handclasp --version", 0.15),
    Seconds("handclasp check, 50 links", 1.0),
    Seconds("handclasp render, 1000 links", 1.0),
    Seconds("handclasp run to proven ready, 10 links", 1.5),
    Seconds("handclasp cert show, 10000 files", 10.0),
    Seconds("private CA, 1000 leaf certificates", 60.0),
    Seconds("authorizer, 1000 new certificates", 1.0),
    Seconds("rotation, one of 10 identities", 2.0),
    Seconds("rotation, 200 identities at once", 10.0),
    Seconds("agent at rest, 50 links: memory", 70, "MiB"),
    Seconds("agent at rest, 50 links: processor", 0.5, "%"),
)


def judge(target: Target, run: Run) -> tuple[float | None, Outcome]:
    """The measured value to two decimals, as it is printed, and whether that is within the target."""
    exact = target.value(run)
    if exact is None:
        return None, "not measured"
    value = round(exact, 2)
    return value, "met" if target.holds(value) else "not met"
