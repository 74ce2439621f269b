"""The alert rules fire when they should, and rules and dashboard are PromQL about metrics that exist."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml

from handclasp.monitor.metrics import CallersReading, families
from tests.conftest import absent
from tests.monitor.rule_files import (
    ALERT_TESTS,
    ALERTS,
    alerts,
    dashboard_expressions,
    used_names,
)
from tests.monitor.test_metrics import READINGS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def promtool() -> str:
    return shutil.which("promtool") or absent("promtool (apt install prometheus)")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=60, check=False
    )


def test_every_alert_fires_and_stays_silent_as_its_tests_say(promtool: str) -> None:
    done = run(promtool, "test", "rules", ALERT_TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_is_never_true_would_be_noticed(promtool: str, tmp_path: Path) -> None:
    broken = ALERTS.read_text("utf-8").replace("handclasp_nginx_serving == 0", "vector(1) == 0")
    assert broken != ALERTS.read_text("utf-8")
    (tmp_path / ALERTS.name).write_text(broken, "utf-8")
    shutil.copy(ALERT_TESTS, tmp_path)
    done = run(promtool, "test", "rules", tmp_path / ALERT_TESTS.name)
    assert done.returncode != 0
    assert "HandclaspNotServing" in done.stdout + done.stderr


def test_every_expression_of_the_dashboard_is_promql(promtool: str, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression}
        for number, expression in enumerate(dashboard_expressions())
    ]
    assert len(rules) > 10
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), "utf-8")
    done = run(promtool, "check", "rules", "--lint=none", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = [
        case
        for test in yaml.safe_load(ALERT_TESTS.read_text("utf-8"))["tests"]
        for case in test["alert_rule_test"]
    ]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert fires == silent == set(alerts())


def test_rules_and_dashboard_use_no_metric_that_does_not_exist() -> None:
    callers = {"api": CallersReading(2, 1, None)}
    told = families(
        replace(READINGS, token_outage=False, renewals={("auto", "ca"): True}, callers=callers)
    )
    names = {sample.name for family in told for sample in family.samples}
    assert used_names() - {"up"} <= names
