"""What a run consists of, as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Role = Literal["egress", "ingress"]


@dataclass(frozen=True, slots=True)
class Site:
    """Everything a configuration needs to know: ports on loopback, files, and its own folder."""

    folder: str
    material: str
    listen: int
    target: int
    name: str = "serverA.example.com"

    @property
    def ca(self) -> str:
        return f"{self.material}/ca.pem"

    def certificate(self, who: Literal["client", "server"]) -> str:
        return f"{self.material}/{who}.pem"

    def key(self, who: Literal["client", "server"]) -> str:
        return f"{self.material}/{who}.key"

    def both(self, who: Literal["client", "server"]) -> str:
        """Certificate and key in one PEM, which is what HAProxy reads."""
        return f"{self.material}/{who}-both.pem"


@dataclass(frozen=True, slots=True)
class Sample:
    """One subject under load for a few seconds.

    `cpu_us` is CPU time of the subject's processes alone in microseconds, over the whole sample;
    `p99_ms` is the load generator's latency at 99 %; `memory_kib` the subject's memory right after
    the load (pages shared between processes counted once).
    """

    requests: int
    seconds: float
    p99_ms: float
    cpu_us: float
    errors: int
    memory_kib: int = 0

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def cpu_per_request(self) -> float:
        """CPU microseconds of the subject per answered request."""
        return self.cpu_us / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Cell:
    """All samples of one subject in one scenario, one per round and in the order of the rounds.

    `skipped` says why there are none: a component that is not installed, or did not start.
    """

    scenario: str
    subject: str
    samples: tuple[Sample, ...] = ()
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class IdleCell:
    """Memory of idle keep-alive clients: bytes each, proportional set size of all processes."""

    role: Role
    subject: str
    connections: int = 0
    bytes_each: float = 0.0
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class CommandCell:
    """A figure of one command of ours, seconds unless `unit` says otherwise; one entry per repetition."""

    name: str
    seconds: tuple[float, ...] = ()
    skipped: str | None = None
    unit: str = "s"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when, so that a table can be judged."""

    date: str
    command: str
    processor: str
    cores: int
    kernel: str
    load_before: float
    load_after: float
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """One whole run; what goes to bench/out and into the tables."""

    machine: Machine
    rounds: int
    seconds: int
    cells: tuple[Cell, ...]
    idle: tuple[IdleCell, ...] = ()
    commands: tuple[CommandCell, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)

    def cell(self, scenario: str, subject: str) -> Cell | None:
        """None when this pair was not part of the run."""
        return next((c for c in self.cells if (c.scenario, c.subject) == (scenario, subject)), None)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
