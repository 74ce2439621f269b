"""The alert rules and the dashboard that are shipped, and the metrics they use."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGING = Path(__file__).parents[2] / "packaging"
ALERTS = PACKAGING / "prometheus" / "alerts.yml"
ALERT_TESTS = PACKAGING / "prometheus" / "alerts_test.yml"
DASHBOARD = PACKAGING / "grafana" / "handclasp.json"
_NAME = re.compile(r"\b(?:handclasp_\w+|up)\b")
_STRING = re.compile(r'"[^"]*"')


def alerts() -> dict[str, str]:
    """Name → expression."""
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def dashboard_expressions() -> list[str]:
    """Every PromQL expression of the dashboard, its variables with values that parse."""
    return list(map(with_values, _expressions(json.loads(DASHBOARD.read_text("utf-8")))))


def with_values(expression: str) -> str:
    """As Grafana puts values in the place of variables."""
    for variable, text in {"$__rate_interval": "5m", "$__range": "1h", "$instance": ".*"}.items():
        expression = expression.replace(variable, text)
    return expression


def _expressions(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("expr"), str):
            yield value["expr"]
        if value.get("type") == "query" and isinstance(value.get("definition"), str):
            yield re.sub(r"^label_values\((.*), \w+\)$", r"\1", value["definition"])
        for inner in value.values():
            yield from _expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _expressions(inner)


def used_names() -> set[str]:
    """Of the metrics, in alert rules and dashboard."""
    texts = [*alerts().values(), *dashboard_expressions()]
    return {name for text in texts for name in _NAME.findall(_STRING.sub("", text))}
