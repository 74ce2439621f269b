"""What a running agent tells the outside: /metrics, hooks, its log and systemd's status line."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import time
import urllib.request
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests import pki
from tests.integration.running import SERVER_NAME, Running, write_spec
from tests.integration.upstreams import Upstream
from tests.monitor.rule_files import used_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
FAILURES = "handclasp_handshake_failures_total"
END = "handclasp_certificate_not_after_timestamp_seconds"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def call(material: Material, port: int, client: str | None) -> None:
    """One HTTPS request, whatever becomes of it."""
    context = ssl.create_default_context(cafile=str(material.folder / "ca.pem"))
    if client:
        context.load_cert_chain(*material.pair(client))
    head = f"GET / HTTP/1.1\r\nHost: {SERVER_NAME}\r\nConnection: close\r\n\r\n"
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=SERVER_NAME) as connection,
    ):
        connection.sendall(head.encode())
        connection.recv(4096)


def metrics(port: int, accept: str = "") -> Samples:
    """As Prometheus reads them."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text, media_type = answer.read().decode(), answer.headers["Content-Type"]
    openmetrics = media_type.startswith("application/openmetrics-text")
    assert openmetrics == (accept == OPENMETRICS)
    families = parse_openmetrics(text) if openmetrics else parse_text(text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def of(samples: Samples, metric: str, /, **labels: str) -> float | None:
    return samples.get((metric, frozenset(labels.items())))


def until(holds: Callable[[], bool], within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def status_port(free_port: Callable[[], int]) -> int:
    return free_port()


@pytest.fixture
def watched(
    material: Material, spec: dict[str, Any], status_port: int, free_port: Callable[[], int]
) -> Iterator[dict[str, Any]]:
    """The ingress link `api`, and the egress links `orders`, to an upstream of another name, and `lost`,
    to one of no address."""
    material.add("stale", not_after=pki.NOW - timedelta(minutes=1))
    # Ninety days and an hour long: five days are critical, as they would be for a year.
    material.add(
        "svc-b", not_after=pki.NOW + timedelta(days=5), not_before=pki.NOW - timedelta(days=85)
    )
    material.add("elsewhere", sans=["elsewhere.example.com"], usages=[pki.SERVER])
    with Upstream(material.pair("elsewhere")) as upstream:
        spec["status"] = {"listen": f"127.0.0.1:{status_port}"}
        spec["identities"]["svc-b"] = material.identity("svc-b")
        spec["egress"] = [
            {
                "name": "orders",
                "listen": f"127.0.0.1:{free_port()}",
                "upstream": f"https://127.0.0.1:{upstream.port}",
                "identity": "svc-b",
                "trust": "company",
                "verify": {"name": SERVER_NAME},
            },
            {
                "name": "lost",
                "listen": f"127.0.0.1:{free_port()}",
                "upstream": "https://nowhere.invalid",
                "identity": "svc-b",
                "trust": "company",
            },
        ]
        yield spec


def egress_port(spec: dict[str, Any]) -> int:
    return int(spec["egress"][0]["listen"].rpartition(":")[2])


def ask_egress(spec: dict[str, Any]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", egress_port(spec), timeout=10)
    connection.request("GET", "/", headers={"Host": "localhost"})
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_running_agent_tells_prometheus_what_happened(
    material: Material, nginx_build: Path, port: int, watched: dict[str, Any], status_port: int
) -> None:
    path = write_spec(material.folder, f"metrics-{port}", watched)
    with Running(path, nginx_build) as agent:
        before = metrics(status_port)
        for link in ("api", "orders"):
            assert of(before, FAILURES, link=link, cause="unknown") == 0
        # The proofs of the agent itself are no failures of anybody.
        assert sum(value for (name, _), value in before.items() if name == FAILURES) == 0

        call(material, port, None)
        call(material, port, "stale")
        call(material, port, "stale")
        call(material, port, "svc-b")  # succeeds
        assert ask_egress(watched) == 502
        expected: dict[tuple[str, str], float] = {
            ("api", "client-cert-not-sent"): 1,
            ("api", "cert-expired"): 2,
            ("orders", "hostname-not-in-san"): 1,
        }

        def counted() -> dict[tuple[str, str], float]:
            told = {
                (dict(labels)["link"], dict(labels)["cause"]): value
                for (name, labels), value in metrics(status_port).items()
                if name == FAILURES
            }
            return {key: value for key, value in told.items() if value}

        until(lambda: counted() == expected)

        told = metrics(status_port, OPENMETRICS)
        status = agent.status()
        version = status["nginx"]["version"]
        assert of(told, "handclasp_nginx_info", version=version, tls=status["nginx"]["tls"]) == 1
        assert of(told, "handclasp_generation") == 1
        assert of(told, "handclasp_ready") == 1
        assert of(told, "handclasp_nginx_workers") == len(status["nginx"]["workers"])
        assert of(told, "handclasp_link_up", link="api", kind="ingress") == 1
        assert of(told, "handclasp_link_up", link="orders", kind="egress") == 1
        assert of(told, "handclasp_link_up", link="lost", kind="egress") == 0
        ends = {
            (dict(labels)["kind"], dict(labels)["name"]): value
            for (name, labels), value in told.items()
            if name == END
        }
        assert ends == {
            ("identity", "svc-b"): (pki.NOW + timedelta(days=5)).timestamp(),
            ("identity", "server-a"): material.server.certificate.not_valid_after_utc.timestamp(),
            ("trust", "company"): material.ca.certificate.not_valid_after_utc.timestamp(),
        }
        exported = {name for name, _ in told}
        elsewhere = {"handclasp_token_outage", "handclasp_renewal_failing", "up"}
        assert used_names() <= exported | elsewhere


def test_a_dead_nginx_is_seen(
    material: Material, nginx_build: Path, port: int, watched: dict[str, Any], status_port: int
) -> None:
    watched["egress"] = []
    del watched["identities"]["svc-b"]
    path = write_spec(material.folder, f"dead-{port}", watched)
    with Running(path, nginx_build) as agent:
        # The port is taken meanwhile, so that nginx cannot come back.
        assert agent.master_pid is not None
        os.killpg(agent.master_pid, signal.SIGKILL)
        with socket.socket() as taker:
            taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

            def taken() -> bool:
                try:
                    taker.bind(("127.0.0.1", port))
                except OSError:
                    return False
                return True

            until(taken, within=5)
            taker.listen()
            until(lambda: of(metrics(status_port), "handclasp_nginx_serving") == 0)
            told = metrics(status_port)
            assert of(told, "handclasp_link_up", link="api", kind="ingress") == 0
            assert of(told, "handclasp_ready") == 0


def test_an_end_that_is_near_is_said_in_the_log_to_hooks_and_to_systemd(
    material: Material, nginx_build: Path, port: int, watched: dict[str, Any], status_port: int
) -> None:
    told = material.folder / f"told-{port}"
    watched["on_event"] = {"command": ["/bin/sh", "-c", f"cat >> {told}"]}
    path = write_spec(material.folder, f"warned-{port}", watched)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        address = material.folder / f"notify-{port}"
        systemd.bind(str(address))
        systemd.settimeout(20)
        with Running(path, nginx_build, env={"NOTIFY_SOCKET": str(address)}) as agent:
            agent.wait_for(
                "the certificate of identity svc-b (CN=svc-b,O=Example Org) expires in 4 days"
            )
            until(lambda: told.exists() and told.read_text().endswith("\n"))
            event = json.loads(told.read_text())
            assert event["event"] == "expiry-critical"
            assert event["instance"] == path.stem
            assert event["details"]["name"] == "svc-b"
            assert event["details"]["level"] == "critical"
            heard = ""
            while "expires in 4 days" not in heard:
                heard = systemd.recv(4096).decode()
            assert heard.startswith("STATUS=serving 3 links; the certificate of identity svc-b")

            # A change that is refused is told too; the end is not said again for it.
            path.write_text("nonsense: [", encoding="utf-8")
            agent.reload()
            agent.wait_for("change refused")
            assert of(metrics(status_port), "handclasp_refused_change") == 1
            until(lambda: len(told.read_text().splitlines()) == 2)
            assert json.loads(told.read_text().splitlines()[1])["event"] == "change-refused"
            assert agent.text.count("expires in 4 days") == 1


def test_before_something_is_near_nothing_is_said(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    told = material.folder / f"quiet-{port}"
    spec["on_event"] = {"command": ["/bin/sh", "-c", f"echo >> {told}"]}
    path = write_spec(material.folder, f"quiet-{port}", spec)
    with Running(path, nginx_build) as agent:
        agent.status()
        time.sleep(0.5)
        assert "expires in" not in agent.text
        assert not told.exists()
