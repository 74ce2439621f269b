"""The measuring itself: round after round, every subject of every scenario once per round."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench import load
from bench.model import Cell, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bench.scenarios import Scenario
    from bench.stage import Actor, Stage


def measure(
    stage: Stage, scenarios: Sequence[Scenario], *, wrk: str, rounds: int, seconds: int
) -> tuple[Cell, ...]:
    """All cells, in the order of the scenarios and their subjects.

    The order of subjects turns by one each round, so that none always follows the same one.
    """
    samples: dict[tuple[str, str], list[Sample]] = {}
    broken: dict[tuple[str, str], str] = {}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for scenario in scenarios:
            for name in _turned(scenario.subjects, number):
                actor = stage.actors.get((scenario.role, name, scenario.upstream))
                key = (scenario.name, name)
                if actor is None or key in broken:
                    continue
                try:
                    one = _sample(stage, actor, scenario, wrk=wrk, seconds=seconds)
                except load.LoadError as failure:
                    broken[key] = f"failed: {failure}"
                    continue
                samples.setdefault(key, []).append(one)
                print(_progress(scenario, name, one), file=sys.stderr)
    return tuple(_cells(stage, scenarios, samples, broken))


def _turned(names: Sequence[str], by: int) -> Iterable[str]:
    by %= len(names)
    return (*names[by:], *names[:by])


def _sample(stage: Stage, actor: Actor, scenario: Scenario, *, wrk: str, seconds: int) -> Sample:
    before = actor.running.cpu_us()
    outcome = load.run(
        wrk,
        f"http://127.0.0.1:{actor.entry(scenario)}{scenario.path}",
        seconds=seconds,
        connections=scenario.connections,
        close=scenario.close,
        script=stage.upload_script() if scenario.upload else None,
    )
    spent = actor.running.cpu_us() - before
    if not actor.running.alive():
        raise load.LoadError("the proxy ended under load")
    return Sample(
        requests=outcome.requests,
        seconds=outcome.seconds,
        p99_ms=outcome.p99_ms,
        cpu_us=spent,
        errors=outcome.errors,
        memory_kib=actor.running.memory_kib(),
    )


def _cells(
    stage: Stage,
    scenarios: Sequence[Scenario],
    samples: dict[tuple[str, str], list[Sample]],
    broken: dict[tuple[str, str], str],
) -> Iterator[Cell]:
    for scenario in scenarios:
        for name in scenario.subjects:
            why = broken.get((scenario.name, name)) or stage.absent.get(
                (scenario.role, name, scenario.upstream)
            )
            taken = () if why else tuple(samples.get((scenario.name, name), ()))
            yield Cell(scenario.name, name, taken, why)


def _progress(scenario: Scenario, name: str, one: Sample) -> str:
    return (
        f"  {scenario.name:24} {name:24} {one.per_second:9.0f} req/s"
        f" {one.cpu_per_request:8.1f} us/req" + (f"  {one.errors} errors" if one.errors else "")
    )
