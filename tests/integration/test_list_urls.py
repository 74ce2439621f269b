"""Revocation lists from URLs in a running instance: had before the start, followed, and what goes wrong."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests import pki
from tests.conftest import on
from tests.integration.ingress_stage import link, ports, spec_of, until
from tests.integration.running import SERVER_NAME, Running, egress_spec, handclasp, write_spec
from tests.integration.servers import Backend
from tests.integration.test_deny import ASKING, NATIVE, Denying
from tests.integration.upstreams import Upstream
from tests.integration.upstreams import ask as ask_upstream
from tests.list_server import ListServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration


@dataclass
class Listed(Denying):
    """With the server of its list, which is asked every second."""

    server: ListServer
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(2))

    def list(self, *revoked: pki.Pair, **options: Any) -> bytes:
        return pki.crl(self.material.ca, revoked, number=next(self.numbers), **options)

    def lists(self) -> Any:
        return self.agent("GET", "/status.json")["callers"]["lists"]

    def says(self, what: str) -> bool:
        return what in (self.lists() or "")


def spec(material: Material, port: int, backend: Backend, url: str, **trust: Any) -> dict[str, Any]:
    to, listen = f"http://127.0.0.1:{backend.port}", f"127.0.0.1:{port}"
    asked = {"trust": "company", "allow": ["dns:svc-b.internal", "dns:svc-x.internal"]}
    links = [
        link("asking", listen, to, clients=asked, forward=["rfc9440"]),
        link("native", listen, to),
    ]
    lists = {"certificates": ["ca.pem"], "crl": [{"url": url, "every": "1s"}], **trust}
    return spec_of(material, links, trust={"company": lists})


@pytest.fixture(scope="module")
def listed(material: Material, nginx_build: Path) -> Iterator[Listed]:
    material.add("server-a", sans=[ASKING, NATIVE], usages=[pki.SERVER])
    (port,) = ports(1)
    with Backend() as backend, ListServer() as server:
        server.put(pki.crl(material.ca))
        url = server.url()
        path = write_spec(material.folder, f"listed-{port}", spec(material, port, backend, url))
        with Running(path, nginx_build) as running:
            yield Listed(material, running, port, server)


def test_a_list_is_there_before_the_first_caller_and_followed(listed: Listed) -> None:
    assert listed.both() == (200, 200)
    listed.server.put(listed.list(listed.material.client))
    assert until(lambda: 200 not in listed.both(), 10)
    assert listed.both("svc-x") == (200, 200)
    listed.server.put(listed.list())
    assert until(lambda: listed.both() == (200, 200), 20), (listed.both(), listed.running.text)
    assert listed.lists() is None


def test_what_the_server_sends_instead_of_a_list_changes_nothing_and_is_said(
    listed: Listed,
) -> None:
    listed.server.put(listed.list(listed.material.client))
    assert until(lambda: 200 not in listed.both(), 10)
    for body, why in (
        (b"<html>Sign in</html>", "it begins with '<html>"),
        (pki.crl(pki.authority("Test CA", key_label="of a namesake"), number=99), "no CA known"),
        (pki.crl(listed.material.ca, number=1), "is older (number 1 after"),
    ):
        listed.server.put(body)
        assert until(partial(listed.says, why), 30), why
        assert 200 not in listed.both()
    listed.server.put(listed.list())
    assert until(lambda: listed.both() == (200, 200), 30)
    assert until(lambda: listed.lists() is None, 10)


def soon(seconds: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)


@pytest.fixture
def server() -> Iterator[ListServer]:
    with ListServer() as running:
        yield running


@on("distribution")
def test_past_its_end_a_list_lets_nobody_in_until_a_newer_one_comes(
    material: Material, nginx_build: Path, backend: Backend, server: ListServer
) -> None:
    material.add("server-a", sans=[ASKING, NATIVE], usages=[pki.SERVER])
    (port,) = ports(1)
    server.put(pki.crl(material.ca, number=2, next_update=(end := soon(7))))
    path = write_spec(
        material.folder, f"closed-{port}", spec(material, port, backend, server.url())
    )
    with Running(path, nginx_build) as running:
        listed = Listed(material, running, port, server)
        assert listed.both() == (200, 200)
        assert until(partial(listed.says, "runs out on"), 15)
        assert until(lambda: soon(-1) > end, 20)
        assert listed.both() == (400, 400)
        assert until(partial(listed.says, "ran out on"), 15)
        errors = (running.state / "nginx" / "logs" / "error.log").read_text()
        assert "(12:CRL has expired)" in errors
        server.put(pki.crl(material.ca, number=3, next_update=soon(3600)))
        assert until(lambda: listed.both() == (200, 200), 15)
        assert until(lambda: listed.lists() is None, 15)


@on("wheel")
def test_a_list_is_honoured_past_its_end_for_as_long_as_the_spec_says(
    material: Material, nginx_build: Path, backend: Backend, server: ListServer
) -> None:
    material.add("server-a", sans=[ASKING, NATIVE], usages=[pki.SERVER])
    (port,) = ports(1)
    revoked = pki.leaf(material.ca, "svc-r", sans=["svc-b.internal"])
    revoked.write(material.folder, "svc-r")
    server.put(pki.crl(material.ca, [revoked], number=2, next_update=(end := soon(5))))
    told = spec(material, port, backend, server.url(), crl_expired={"keep_last": "5s"})
    with Running(write_spec(material.folder, f"kept-{port}", told), nginx_build) as running:
        listed = Listed(material, running, port, server)
        assert listed.both() == (200, 200)
        assert until(lambda: soon(-1) > end, 20)
        assert listed.both() == (200, 200)
        assert listed.both("svc-r") == (403, 403)
        assert until(lambda: soon(-1) > end + timedelta(seconds=5), 20)
        assert listed.both() == (403, 403)
        assert "reason=list-expired" in running.text
        server.put(pki.crl(material.ca, number=3, next_update=soon(3600)))
        assert until(lambda: listed.both() == (200, 200), 15)
        assert until(lambda: listed.both("svc-r") == (200, 200), 15)


@on("wheel")
def test_without_its_first_list_nothing_starts_and_with_it_the_network_is_not_needed(
    material: Material, nginx_build: Path, backend: Backend, server: ListServer
) -> None:
    material.add("server-a", sans=[ASKING, NATIVE], usages=[pki.SERVER])
    (port,) = ports(1)
    told = spec(material, port, backend, server.url())
    path = write_spec(material.folder, f"first-{port}", told)
    state = material.folder / f"first-{port}.state"
    command = ("-c", path, "--nginx", nginx_build, "--state-dir", state)
    done = handclasp("run", *command, cwd=material.folder)
    assert (done.returncode, "crl-not-fetched" in done.stderr) == (3, True), done.stderr
    assert f"at {server.url()} cannot be had: the server answers 404" in done.stderr
    assert not (state / "nginx" / "nginx.pid").exists()
    done = handclasp("check", *command, cwd=material.folder)
    assert done.returncode == 0, done.stdout
    assert "is not here yet [crl-not-fetched]" in done.stdout
    done = handclasp("render", *command, cwd=material.folder)
    assert done.returncode == 1, "without an agent nobody would fetch it"
    server.put(pki.crl(material.ca, [material.client]))
    with Running(path, nginx_build) as running:
        assert 200 not in Listed(material, running, port, server).both()
    server.stop()
    with Running(path, nginx_build) as running:
        running.wait_for(" ready ", count=2)  # the log is that of both
        listed = Listed(material, running, port, server)
        assert 200 not in listed.both()
        assert listed.both("svc-x") == (200, 200)
        assert until(partial(listed.says, str(server.port)), 20)
    for at, code in (("2100-01-01", 1), (f"{soon(20 * 86_400):%Y-%m-%d}", 0)):
        done = handclasp("check", *command, "--at", at, cwd=material.folder)
        assert ("crl-expired" in done.stdout, done.returncode) == (False, code), done.stdout


@on("wheel")
def test_check_says_what_it_costs_that_lists_count_past_their_end(
    material: Material, nginx_build: Path, backend: Backend, server: ListServer
) -> None:
    material.add("server-a", sans=[ASKING, NATIVE], usages=[pki.SERVER])
    (port,) = ports(1)
    (material.folder / "ended.crl").write_bytes(
        pki.crl(material.ca, next_update=soon(-60), last_update=soon(-3600))
    )
    told = spec(material, port, backend, server.url(), crl=["ended.crl"])
    closed = write_spec(material.folder, f"closed-{port}", told)
    done = handclasp("check", "-c", closed, "--nginx", nginx_build, cwd=material.folder)
    assert (done.returncode, "error: the CRL of" in done.stdout) == (1, True)
    told["trust"]["company"]["crl_expired"] = {"keep_last": "2h"}
    kept = write_spec(material.folder, f"kept-{port}", told)
    done = handclasp("check", "-c", kept, "--nginx", nginx_build, cwd=material.folder)
    assert done.returncode == 0, done.stdout
    assert "[crl-honoured-late]" in done.stdout
    assert "(`keep_last`) [crl-expired]" in done.stdout
    told["trust"]["company"]["crl_expired"] = {"keep_last": "30s"}
    over = write_spec(material.folder, f"over-{port}", told)
    done = handclasp("check", "-c", over, "--nginx", nginx_build, cwd=material.folder)
    assert done.returncode == 1


def test_an_upstream_that_a_newer_list_names_is_refused_and_one_that_it_frees_is_not(
    material: Material, nginx_build: Path, server: ListServer
) -> None:
    far = material.add("far", sans=[SERVER_NAME], usages=[pki.SERVER])
    server.put(pki.crl(material.ca, number=1))
    (port,) = ports(1)
    with Upstream(material.pair("far"), client_ca=material.folder / "ca.pem") as upstream:
        told = egress_spec(material, f"127.0.0.1:{port}", f"https://127.0.0.1:{upstream.port}")
        told["trust"]["company"]["crl"] = [{"url": server.url(), "every": "1s"}]
        path = write_spec(material.folder, f"upstream-{port}", told)
        with Running(path, nginx_build):
            assert ask_upstream(port).status == 200
            server.put(pki.crl(material.ca, [far], number=2))
            assert until(lambda: ask_upstream(port).status == 502, 15)
            server.put(pki.crl(material.ca, number=3))
            assert until(lambda: ask_upstream(port).status == 200, 15)
