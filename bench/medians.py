"""Medians over rounds, and ratios of paired rounds.

A ratio is the median of the ratios of the same round, never the ratio of medians: what disturbs
the machine for a few seconds then disturbs both sides of the quotient.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.model import Cell, Sample

    Metric = Callable[[Sample], float]


def cpu(sample: Sample) -> float:
    """CPU microseconds per request."""
    return sample.cpu_per_request


def throughput(sample: Sample) -> float:
    """Requests per second."""
    return sample.per_second


def middle(cell: Cell, metric: Metric) -> float | None:
    """The median over rounds; None without samples."""
    return median(metric(sample) for sample in cell.samples) if cell.samples else None


def paired_ratio(numerator: Cell, denominator: Cell, metric: Metric) -> float | None:
    """Median over rounds of numerator / denominator; None when no round has both."""
    quotients = [
        metric(above) / metric(below)
        for above, below in zip(numerator.samples, denominator.samples, strict=False)
        if metric(below) > 0
    ]
    return median(quotients) if quotients else None


def spread(cell: Cell, metric: Metric) -> float | None:
    """Largest minus smallest over the median: how far to trust a ratio."""
    centre = middle(cell, metric)
    if not centre:
        return None
    values = [metric(sample) for sample in cell.samples]
    return (max(values) - min(values)) / centre
