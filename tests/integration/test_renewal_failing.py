"""Issued identities that are not renewed, or not as they should be: what else goes on, and what is said."""

from __future__ import annotations

import http.client
import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.agent.issued import place_of
from tests.ca.authority import make_authority
from tests.integration.fault_stage import IN_A_HURRY, OURS
from tests.integration.ingress_stage import ports, until
from tests.integration.running import Running, handclasp, write_spec
from tests.integration.test_callers_seen import status
from tests.integration.test_renewal import hop, served, status_of, version

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.servers import Backend

pytestmark = pytest.mark.integration


def with_own_root(folder: Path, spec: dict[str, Any]) -> None:
    """The trust stays where the CA goes away."""
    shutil.copy(folder / "ca" / "root.pem", folder / "root.pem")
    spec["trust"]["company"]["certificates"] = ["root.pem"]


def renewal(running: Running) -> dict[str, Any]:
    """How it stands with that of svc-b."""
    (found,) = (one for one in status(running)["identities"] if one["name"] == "svc-b")
    value: dict[str, Any] = found["renewal"]
    return value


def renew(running: Running, spec: dict[str, Any]) -> None:
    """Another lifetime is asked for, and so another certificate, which the old one does not wait for."""
    spec["identities"]["svc-b"]["lifetime"] = "2h"
    write_spec(running.spec.parent, running.spec.stem, spec)
    running.reload()


def readiness(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    finally:
        connection.close()


def check(running: Running) -> tuple[int, list[tuple[str, str]]]:
    """Exit code, and slug and severity of what is said."""
    arguments = ("--nginx", running.nginx, "--state-dir", running.state, "--no-nginx-test")
    done = handclasp("check", "-c", running.spec, *arguments, "--format", "json", cwd=running.state)
    return done.returncode, [
        (one["slug"], one["severity"]) for one in json.loads(done.stdout)["findings"]
    ]


def test_an_identity_that_ended_holds_up_no_other_change_and_is_told(
    folder: Path, nginx_builds: dict[str, Path], backend: Backend
) -> None:
    port, asked, another = ports(3)
    spec, entry = hop(folder, port, backend.port, lifetime="6s")
    with_own_root(folder, spec)
    spec["status"] = {"listen": f"127.0.0.1:{asked}"}
    with Running(write_spec(folder, "hop", spec), nginx_builds["wheel"]) as running:
        assert readiness(asked) == 200
        (folder / "ca").rename(folder / "away")
        assert until(lambda: readiness(asked) == 503, within=20)
        where = ("status", "-c", running.spec, "--state-dir", running.state)
        told = handclasp(*where, cwd=folder)
        assert told.returncode == 1
        assert "NOT ready, certificates have expired (svc-b)" in told.stdout
        assert until(lambda: check(running)[0] == 1)  # it was asked in vain by then
        assert ("renewal-failing", "error") in check(running)[1]
        assert "identity-not-issued-yet" not in dict(check(running)[1])

        (link,) = spec["ingress"]
        moved = {**link, "name": "api2", "listen": f"127.0.0.1:{another}"}
        write_spec(folder, "hop", {**spec, "ingress": [link, moved]})
        running.reload()
        running.wait_for("change in effect")
        assert served(another) == served(port)
        assert not status(running)["ready"]

        (folder / "away").rename(folder / "ca")
        spec["identities"]["svc-b"]["lifetime"] = "1h"
        write_spec(folder, "hop", spec)
        running.reload()
        assert until(lambda: readiness(asked) == 200)
        assert status_of(entry) == 200

        del spec["egress"], spec["identities"]["svc-b"]
        write_spec(folder, "hop", spec)
        running.reload()
        running.wait_for(f"no longer used, removed path={place_of(running.state, 'svc-b')}")
        assert not place_of(running.state, "svc-b").exists()
        assert place_of(running.state, "api").exists()
        assert served(port)


def test_what_was_issued_and_fails_its_trial_is_told_and_tried_again(
    folder: Path, nginx_builds: dict[str, Path], backend: Backend
) -> None:
    """Another CA has taken the place of the issuer's, and the ingress link does not believe it yet."""
    (port,) = ports(1)
    spec, entry = hop(folder, port, backend.port, lifetime="1h")
    with_own_root(folder, spec)
    spec["rotation"] = {"trial": "request"}  # nginx refuses in HTTP, after the handshake
    path = write_spec(folder, "hop", spec)
    in_a_hurry: dict[str, Any] = {"program": IN_A_HURRY, "env": OURS}
    with Running(path, nginx_builds["wheel"], **in_a_hurry) as running:
        shutil.rmtree(folder / "ca")
        make_authority(folder)
        renew(running, spec)
        running.wait_for("new files are not taken", within=30)
        assert until(lambda: renewal(running)["last_error"] is not None, within=20), running.text
        told = status(running)
        assert "refuses it" in told["not_taken"]["identity svc-b"]
        assert str(renewal(running)["last_error"]).startswith("what was issued is not taken: ")
        assert "renewal-failing" in [one["slug"] for one in told["findings"]]
        assert version(running, "svc-b") == "2", "the next one is not asked for at once"
        assert status_of(entry) == 200
        both = (folder / "root.pem").read_bytes() + (folder / "ca" / "root.pem").read_bytes()
        (folder / "root.pem").write_bytes(both)
        assert until(lambda: status(running)["not_taken"] == {}, within=30)
        assert until(lambda: renewal(running)["last_error"] is None, within=40)
        assert status_of(entry) == 200


def test_a_trial_at_our_own_link_is_no_caller_and_what_follows_is(
    folder: Path, nginx_builds: dict[str, Path], backend: Backend
) -> None:
    """It is sent a request, which nginx notes; the same certificate counts as soon as it is used."""
    (port,) = ports(1)
    spec, entry = hop(folder, port, backend.port, lifetime="1h")
    spec["rotation"] = {"trial": "request"}
    with Running(write_spec(folder, "hop", spec), nginx_builds["wheel"]) as running:

        def noted() -> int:
            log = running.state / "nginx" / "logs" / "callers.log"
            return len(log.read_text().splitlines()) if log.exists() else 0

        def callers() -> int:
            seen: dict[str, Any] = status(running)["callers_seen"]
            return int(seen["in_use"])

        renew(running, spec)
        running.wait_for("rotated", within=60)
        assert until(lambda: noted() == 1)
        time.sleep(5)  # the agent looks every two seconds, and tells what it knew two seconds ago
        assert callers() == 0
        assert status_of(entry) == 200
        assert until(lambda: callers() == 1, within=15)
