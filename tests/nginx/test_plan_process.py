"""Workers get as many connections as their open files allow, and too few are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from handclasp.findings import Severity
from tests.nginx.planning import UNPRIVILEGED, Planner, egress, ingress


def limited(open_files: int) -> Planner:
    return Planner(machine=replace(UNPRIVILEGED, open_files=open_files))


def told(planner: Planner, *links: dict[str, Any], **top: Any) -> list[tuple[Severity, str]]:
    return [
        (finding.severity, finding.seen)
        for finding in planner.result(*links, **top).findings
        if finding.slug == "open-files-limit"
    ]


@pytest.mark.parametrize(
    ("open_files", "connections"), [(130, 33), (1024, 480), (20_000, 9968), (1_048_576, 16_384)]
)
def test_a_worker_never_gets_more_connections_than_its_open_files_hold(
    open_files: int, connections: int
) -> None:
    process = limited(open_files).plan(egress()).process
    assert process.connections == connections
    assert 2 * connections + 64 <= process.open_files + 1 <= open_files + 1


@pytest.mark.parametrize("open_files", [0, 64, 129])
def test_too_few_open_files_are_an_error_with_the_number_needed(open_files: int) -> None:
    ((severity, seen),) = told(limited(open_files), egress())
    assert severity is Severity.ERROR
    assert f"{open_files} open files" in seen
    assert "130 at least for 1 listeners" in seen


def test_every_listener_takes_a_connection_of_each_worker() -> None:
    links = [egress(str(number), listen=f"127.0.0.1:{1000 + number}") for number in range(40)]
    assert told(limited(130 + 2 * 39), *links) == []
    assert told(limited(130 + 2 * 39 - 1), *links)
    ((severity, seen),) = told(limited(4096), *links, nginx={"connections": 64})
    assert severity is Severity.ERROR
    assert "64 connections per worker are too few for 40 listeners" in seen


def test_health_and_redirect_listen_too_and_a_shared_address_counts_once() -> None:
    shared = [
        ingress("a", health={"listen": "127.0.0.1:8080"}, redirect={"listen": "127.0.0.1:8081"}),
        ingress("b"),
    ]
    assert told(limited(134), egress=[], ingress=shared) == []
    assert told(limited(133), egress=[], ingress=shared)


def test_connections_that_the_spec_wants_and_the_limit_does_not_hold_are_a_warning() -> None:
    ((severity, seen),) = told(limited(1024), egress(), nginx={"connections": 1000})
    assert severity is Severity.WARNING
    assert "too few for 1000 connections" in seen
    assert told(limited(1024), egress(), nginx={"connections": 960}) == []


def test_of_an_nginx_that_others_run_nothing_is_said() -> None:
    nginx = {"mode": "existing", "reload": ["true"]}
    assert told(limited(10), egress(), nginx=nginx) == []
