"""Arithmetic of the benchmark: medians, paired ratios, targets."""

from __future__ import annotations

import pytest

from bench.medians import cpu, middle, paired_ratio, spread, throughput
from bench.model import Cell, CommandCell, IdleCell, Machine, Run, Sample
from bench.scenarios import SCENARIOS
from bench.subjects import SUBJECTS, subject
from bench.targets import TARGETS, IdleRatio, Ratio, Seconds, judge


def sample(cpu_each: float, *, requests: int = 100, seconds: float = 1.0) -> Sample:
    return Sample(requests, seconds, p99_ms=1.0, cpu_us=cpu_each * requests, errors=0)


def cell(subject_name: str, *cpu_each: float, scenario: str = "egress-keepalive") -> Cell:
    return Cell(scenario, subject_name, tuple(sample(value) for value in cpu_each))


def run_of(*cells: Cell, idle: tuple[IdleCell, ...] = (), commands: tuple[CommandCell, ...] = ()):
    machine = Machine("2026-01-01", "python -m bench", "a processor", 2, "6.1", 0.0, 0.0)
    return Run(machine, 3, 2, cells, idle, commands)


def test_cpu_is_per_answered_request_and_throughput_per_second():
    one = Sample(requests=50, seconds=2.0, p99_ms=1.0, cpu_us=500.0, errors=0)
    assert (cpu(one), throughput(one)) == (10.0, 25.0)


def test_a_sample_without_answers_divides_by_nothing():
    none = Sample(requests=0, seconds=0.0, p99_ms=0.0, cpu_us=5.0, errors=32)
    assert (cpu(none), throughput(none)) == (0.0, 0.0)


def test_ratio_pairs_rounds_so_a_disturbed_round_does_not_tilt_it():
    # The third round was slow for everybody; the ratio of medians would say 20/10.
    assert paired_ratio(cell("a", 10, 20, 60), cell("b", 10, 20, 60), cpu) == 1.0
    assert paired_ratio(cell("a", 20, 20, 90), cell("b", 10, 40, 30), cpu) == 2.0


def test_ratio_ignores_rounds_that_only_one_side_has():
    assert paired_ratio(cell("a", 10, 99), cell("b", 5), cpu) == 2.0
    assert paired_ratio(cell("a"), cell("b", 5), cpu) is None


def test_middle_and_spread_of_no_samples_are_nothing():
    assert middle(cell("a"), cpu) is None
    assert spread(cell("a"), cpu) is None
    assert middle(cell("a", 1, 9, 2), cpu) == 2
    assert spread(cell("a", 8, 10, 12), cpu) == pytest.approx(0.4)


def test_cpu_target_is_met_at_its_limit_and_not_above_it():
    target = Ratio("egress-keepalive", "handclasp", "haproxy", 1.05)
    assert judge(target, run_of(cell("handclasp", 10.5), cell("haproxy", 10)))[1] == "met"
    assert judge(target, run_of(cell("handclasp", 10.6), cell("haproxy", 10)))[1] == "not met"


def test_targets_are_judged_as_printed_so_a_verdict_never_contradicts_its_number():
    target = Ratio("egress-keepalive", "handclasp", "haproxy", 1.05)
    assert judge(target, run_of(cell("handclasp", 10.54), cell("haproxy", 10))) == (1.05, "met")


def test_throughput_target_wants_at_least():
    target = Ratio("egress-connect", "handclasp", "seed", 10, at_least=True)

    def at(rate: int) -> Cell:
        return Cell("egress-connect", "handclasp", (sample(1, requests=rate),))

    seed = Cell("egress-connect", "seed", (sample(1, requests=10),))
    assert judge(target, run_of(at(100), seed)) == (10.0, "met")
    assert judge(target, run_of(at(99), seed))[1] == "not met"


@pytest.mark.parametrize("missing", ["handclasp", "haproxy"])
def test_a_skipped_side_makes_a_target_not_measured(missing: str):
    target = Ratio("egress-keepalive", "handclasp", "haproxy", 1.05)
    cells = [cell(name, *(() if name == missing else (10,))) for name in ("handclasp", "haproxy")]
    assert judge(target, run_of(*cells)) == (None, "not measured")


def test_idle_and_command_targets_read_their_own_cells():
    idle = (IdleCell("egress", "handclasp", 10, 110.0), IdleCell("egress", "floor", 10, 100.0))
    assert judge(IdleRatio("egress", "handclasp", "floor", 1.1), run_of(idle=idle))[1] == "met"
    assert judge(IdleRatio("ingress", "handclasp", "floor", 1.1), run_of(idle=idle))[0] is None
    commands = (CommandCell("handclasp --version", (0.1, 0.3, 0.2)),)
    value, outcome = judge(Seconds("handclasp --version", 0.15), run_of(commands=commands))
    assert (value, outcome) == (0.2, "not met")


def test_every_target_names_a_scenario_that_measures_both_its_sides():
    measured = {(s.name, name) for s in SCENARIOS for name in s.subjects}
    for target in TARGETS:
        if isinstance(target, Ratio):
            assert (target.scenario, target.subject) in measured
            assert (target.scenario, target.other) in measured


def test_every_scenario_names_subjects_of_its_role_and_every_subject_is_used():
    used = {(s.role, subject(s.role, name).name) for s in SCENARIOS for name in s.subjects}
    assert used == {(one.role, one.name) for one in SUBJECTS}
