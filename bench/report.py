"""A run as Markdown, and the place in docs/performance.md where it goes."""

# ruff: noqa: RUF001  (the texts are prose in a table)
from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from bench.medians import cpu, middle, paired_ratio, spread, throughput
from bench.scenarios import SCENARIOS
from bench.subjects import subject
from bench.targets import TARGETS, judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.model import Cell, CommandCell, IdleCell, Machine, Run, Sample
    from bench.scenarios import Scenario

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
OURS = "handclasp"


class MarkersMissingError(Exception):
    """The document has no place for the tables."""


def insert(document: str, tables: str) -> str:
    """The document with everything between the markers replaced. Raises MarkersMissingError."""
    before, found_begin, rest = document.partition(BEGIN)
    _old, found_end, after = rest.partition(END)
    if not (found_begin and found_end):
        raise MarkersMissingError(f"the document needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def markdown(run: Run) -> str:
    """All tables of a run."""
    parts = [_machine(run.machine, run), _targets(run)]
    for scenario in SCENARIOS:
        cells = [cell for cell in run.cells if cell.scenario == scenario.name]
        if cells:
            parts.append(_scenario(scenario, cells))
    if run.idle:
        parts.append(_idle(run.idle))
    if run.commands:
        parts.append(_commands(run.commands))
    return "\n\n".join(parts)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, texts: int = 1) -> str:
    """The first `texts` columns are aligned left, the rest right."""
    numbers = len(header) - texts
    lines = [header, ("---",) * texts + ("---:",) * numbers, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _machine(machine: Machine, run: Run) -> str:
    versions = "; ".join(f"{name} {version}" for name, version in machine.versions.items())
    notes = "".join(f"\n{name}: {text}." for name, text in run.notes.items())
    return (
        f"Measured {machine.date} by `{machine.command}`: {run.rounds} rounds of {run.seconds} s.\n"
        f"Machine: {machine.processor}, {machine.cores} cores, Linux {machine.kernel}; "
        f"load average {machine.load_before:.1f} before, {machine.load_after:.1f} after.\n"
        f"Versions: {versions}.{notes}"
    )


def _targets(run: Run) -> str:
    rows: list[tuple[str, ...]] = []
    for target in TARGETS:
        value, outcome = judge(target, run)
        rows.append((target.text, target.scenario, outcome, _number(value, "{:.2f}")))
    return "### Targets\n\n" + _table(("target", "scenario", "verdict", "measured"), rows, texts=3)


def _scenario(scenario: Scenario, cells: list[Cell]) -> str:
    header = (
        "proxy",
        "requests/s",
        "p99 ms",
        "CPU µs/request",
        f"CPU ÷ {OURS}",
        "spread",
        "memory MiB",
        "errors",
    )
    return f"### {scenario.title}\n\n" + _table(header, _rows(scenario, cells))


def _rows(scenario: Scenario, cells: list[Cell]) -> Iterator[tuple[str, ...]]:
    ours = next((cell for cell in cells if cell.subject == OURS), None)
    for cell in cells:
        name = f"{cell.subject} ({subject(scenario.role, cell.subject).what})"
        if not cell.samples:
            yield (name, cell.skipped or "not measured", *("",) * 6)
            continue
        ratio = paired_ratio(cell, ours, cpu) if ours else None
        yield (
            name,
            _number(middle(cell, throughput), "{:,.0f}"),
            _number(middle(cell, _p99), "{:.1f}"),
            _number(middle(cell, cpu), "{:.1f}"),
            _number(ratio, "{:.2f}"),
            _number(spread(cell, cpu), "{:.0%}"),
            _number(middle(cell, _memory), "{:.0f}"),
            str(sum(sample.errors for sample in cell.samples)),
        )


def _p99(sample: Sample) -> float:
    return sample.p99_ms


def _memory(sample: Sample) -> float:
    return sample.memory_kib / 1024


def _number(value: float | None, pattern: str) -> str:
    return "–" if value is None else pattern.format(value)


def _idle(cells: Iterable[IdleCell]) -> str:
    rows = [
        (
            f"{cell.role} {cell.subject}",
            cell.skipped or f"{cell.connections:,}",
            "" if cell.skipped else f"{cell.bytes_each / 1024:.1f}",
        )
        for cell in cells
    ]
    return "### Memory of idle keep-alive clients\n\n" + _table(
        ("proxy", "connections", "KiB each"), rows
    )


def _commands(cells: Iterable[CommandCell]) -> str:
    rows = [
        (
            cell.name,
            f"{median(cell.seconds):.3f} {cell.unit}" if cell.seconds else cell.skipped or "–",
        )
        for cell in cells
    ]
    return "### Commands\n\n" + _table(("command", "median"), rows)
