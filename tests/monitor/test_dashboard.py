"""The dashboard is one that Grafana can import, and each panel shows something in a real Prometheus."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from handclasp.monitor.metrics import CallersReading, exposition
from tests.conftest import absent
from tests.monitor.rule_files import DASHBOARD, with_values
from tests.monitor.test_metrics import READINGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
PANELS = {"stat", "table", "timeseries", "state-timeline"}
"""Those that come with Grafana."""
BUILT_IN = {"__rate_interval", "__range"}
Panel = dict[str, Any]


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    return content


def variables(text: str) -> set[str]:
    return set(re.findall(r"\$\{?(\w+)", text))


def test_it_can_be_imported_and_asks_which_data_source(dashboard: dict[str, Any]) -> None:
    """Stored under an id of one Grafana it would take the place of another dashboard there."""
    assert "id" not in dashboard
    assert dashboard["uid"] == "handclasp"
    assert dashboard["schemaVersion"] >= 36  # from which on a data source is {type, uid}
    known = {one["name"]: one["type"] for one in dashboard["templating"]["list"]}
    assert known["datasource"] == "datasource"
    assert variables(json.dumps(dashboard)) <= known.keys() | BUILT_IN


def test_every_panel_has_an_id_and_a_place_of_its_own(dashboard: dict[str, Any]) -> None:
    panels: list[Panel] = dashboard["panels"]
    assert [count for _, count in Counter(one["id"] for one in panels).most_common(1)] == [1]
    cells: Counter[tuple[int, int]] = Counter()
    for one in panels:
        at = one["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells.update(
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        )
    assert max(cells.values()) == 1


def test_every_panel_is_of_a_kind_that_grafana_has_and_asks_the_chosen_source(
    dashboard: dict[str, Any],
) -> None:
    for one in dashboard["panels"]:
        assert one["type"] in PANELS
        assert one["title"]
        assert all(target["datasource"] == DATASOURCE for target in (one, *one["targets"]))
        references = [target["refId"] for target in one["targets"]]
        assert len(set(references)) == len(references)
        for target in one["targets"]:  # a table and a stat are of now, all else of a time
            assert target.get("instant", False) == (one["type"] in {"stat", "table"})
            assert target["range"] != target.get("instant", False)


class _Agent(http.server.BaseHTTPRequestHandler):
    """Everything it counts grows from one scrape to the next."""

    scrapes = 0

    def do_GET(self) -> None:
        """/metrics, as the agent answers it."""
        type(self).scrapes += 1
        count, now = type(self).scrapes, datetime.now(UTC)
        ending = replace(READINGS.expiring[0], not_after=now + timedelta(days=1))
        body, media_type = exposition(
            replace(
                READINGS,
                expiring=[ending],
                callers={"api": CallersReading(2, 1, now)},
                answers={"allowed": count},
                rotations={("svc-b", "committed"): count, ("svc-b", "rolled_back"): count},
                handshake_failures={("api", "cert-expired"): count},
            ),
            self.headers.get("Accept", ""),
        )
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def scraping(folder: Path) -> Iterator[str]:
    """A Prometheus that asks such an agent: its address, once it did so three times."""
    program = shutil.which("prometheus") or absent("prometheus (apt install prometheus)")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Agent) as agent:
        threading.Thread(target=agent.serve_forever, daemon=True).start()
        targets = [{"targets": [f"127.0.0.1:{agent.server_address[1]}"]}]
        jobs = [{"job_name": "handclasp", "static_configs": targets}]
        (folder / "prometheus.yml").write_text(
            yaml.safe_dump({"global": {"scrape_interval": "250ms"}, "scrape_configs": jobs}),
            "utf-8",
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        command = [
            *(program, f"--config.file={folder / 'prometheus.yml'}"),
            *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"),
        ]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while _Agent.scrapes < 3:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            process.wait(20)
            agent.shutdown()


def asked(address: str, expression: str) -> list[dict[str, str]]:
    """The labels of what it answers."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"http://{address}/api/v1/query?{query}", timeout=10) as answer:
        told = json.load(answer)
    assert told["status"] == "success"
    return [one["metric"] for one in told["data"]["result"]]


def test_every_panel_shows_something_in_prometheus(
    dashboard: dict[str, Any], tmp_path: Path
) -> None:
    with scraping(tmp_path) as address:
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                series = asked(address, with_values(target["expr"]))
                assert series, f"{panel['title']}: {target['expr']}"
                named = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
                assert all(named <= one.keys() for one in series), panel["title"]
