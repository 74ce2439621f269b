"""The applications in examples/, each under several real servers, behind the link in examples/greeter."""

from __future__ import annotations

import contextlib
import copy
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests import pki
from tests.backend.callers import headers
from tests.backend.serving import ROOT, ask, serving
from tests.conftest import BUILDS
from tests.integration.ingress_stage import ports, running_stage, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.backend.serving import Place
    from tests.integration.ingress_stage import Answer, Stage
    from tests.integration.running import Material

pytestmark = pytest.mark.integration

SERVERS = {
    "fastapi": ("uvicorn", "granian", "hypercorn"),
    "flask": ("gunicorn", "waitress"),
    "django": ("gunicorn", "waitress"),
}
RUNNING = [(example, server) for example, servers in SERVERS.items() for server in servers]
NAMES = [f"{example}-{server}" for example, server in RUNNING]
CALLERS = {
    "first": "spiffe://example.org/first",
    "second": "spiffe://example.org/ns/default/sa/second",
}


@pytest.fixture(scope="module")
def servers(place: Path) -> Iterator[dict[str, tuple[Path, int]]]:
    """Each application under each of its servers, on a unix socket and once more on a port."""
    places = {
        name: (place / f"{name}.sock", port)
        for name, port in zip(NAMES, ports(len(NAMES)), strict=True)
    }
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(4) as pool:

        def start(one: tuple[str, str, Place]) -> None:
            example, server, where = one
            interface = "asgi" if example == "fastapi" else "wsgi"
            folder = ROOT / "examples" / example
            stack.enter_context(
                serving(server, "app:app", where, folder=folder, interface=interface)
            )

        wanted: list[tuple[str, str, Place]] = [
            (example, server, where)
            for (example, server), name in zip(RUNNING, NAMES, strict=True)
            for where in places[name]
        ]
        list(pool.map(start, wanted))
        yield places


@pytest.fixture(scope="module")
def stages(
    material: Material, servers: dict[str, tuple[Path, int]], nginx_builds: dict[str, Path]
) -> Iterator[dict[str, Stage]]:
    """Both builds at once, so that the servers are started once."""
    certs = material.folder / "certs"
    certs.mkdir()
    (certs / "ca.pem").write_bytes(material.ca.pem)
    pki.leaf(material.ca, "greeter", sans=["*.example.com"], usages=[pki.SERVER]).write(
        certs, "greeter"
    )
    for name, spiffe_id in CALLERS.items():
        material.add(name, sans=[f"uri:{spiffe_id}", f"{name}.internal"])
    material.add("foreign", sans=["uri:spiffe://example.org.example/first"])
    material.add("two", sans=[f"uri:{spiffe_id}" for spiffe_id in CALLERS.values()])
    with contextlib.ExitStack() as stack:
        yield {
            build: stack.enter_context(
                running_stage(material, nginx, "greeter", spec_at(port, servers), port)
            )
            for (build, nginx), port in zip(nginx_builds.items(), ports(2), strict=True)
        }


def spec_at(port: int, servers: dict[str, tuple[Path, int]]) -> dict[str, Any]:
    """The link of the example, once for every server; what is moved is the place of things."""
    text = (ROOT / "examples" / "greeter" / "ingress.yaml").read_text("utf-8")
    spec: dict[str, Any] = yaml.safe_load(text)
    (link,) = spec["ingress"]
    moved = {
        name: {
            "name": name,
            "listen": f"127.0.0.1:{port}",
            "server_names": [f"{name}.example.com"],
            "backend": f"http://unix:{socket}",
        }
        for name, (socket, _) in servers.items()
    }
    links = [{**copy.deepcopy(link), **places} for places in moved.values()]
    return {**spec, "ingress": links, "log": {"access": "all"}}


@pytest.fixture(params=BUILDS)
def stage(stages: dict[str, Stage], request: pytest.FixtureRequest) -> Stage:
    return stages[request.param]


def call(
    stage: Stage, name: str, who: str | None, told: list[tuple[str, str]] | None = None
) -> Answer:
    return stage.caller.get(
        sni=f"{name}.example.com",
        credentials=stage.pair(who) if who else None,
        headers=told or [],
    )


def logged(stage: Stage, request: Answer) -> dict[str, Any]:
    """The line of the access log about an answer."""
    path = stage.running.state / "nginx" / "logs" / "access.log"
    number = request.text.strip().rpartition(" ")[2]
    assert until(lambda: number in path.read_text())
    (line,) = [line for line in path.read_text().splitlines() if number in line]
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_caller_is_greeted_by_the_spiffe_id_of_its_certificate(
    stage: Stage, name: str
) -> None:
    for who in (*CALLERS, *CALLERS):
        answer = call(stage, name, who)
        assert (answer.status, answer.text) == (200, f"Hello, {CALLERS[who]}!\n")


@pytest.mark.parametrize("name", NAMES)
def test_forged_headers_change_nobodys_name(stage: Stage, name: str) -> None:
    for dialect in ("x-client-cert", "x-ssl-cert", "xfcc"):
        answer = call(stage, name, "first", headers(dialect, "p256"))
        assert (answer.status, answer.text) == (200, f"Hello, {CALLERS['first']}!\n")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("who", ["svc-b", "foreign", "two"])
def test_who_is_not_allowed_gets_403_from_nginx_and_never_reaches_the_application(
    stage: Stage, name: str, who: str
) -> None:
    answer = call(stage, name, who, headers("x-client-cert"))
    assert answer.status == 403
    line = logged(stage, answer)
    assert line["reason"] == "no-rule-holds"
    assert line["upstream"] == ""


def application(stage: Stage, name: str) -> str:
    """The application's socket as nginx's log names it."""
    return f"unix:{stage.material.folder.parent / f'{name}.sock'}"


@pytest.mark.parametrize("name", NAMES)
def test_the_log_does_name_the_application_where_it_was_asked(stage: Stage, name: str) -> None:
    """Else the claim above could not fail."""
    call(stage, name, "first")
    path = stage.running.state / "nginx" / "logs" / "access.log"
    assert until(lambda: application(stage, name) in path.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_who_is_not_verified_gets_no_further_than_nginx(stage: Stage, name: str) -> None:
    for who in (None, "stranger"):
        assert call(stage, name, who, headers("x-client-cert")).status == 400


@pytest.mark.parametrize("name", NAMES)
def test_past_nginx_the_socket_believes_nothing_that_is_not_whole(
    servers: dict[str, tuple[Path, int]], name: str
) -> None:
    socket, _ = servers[name]
    told = headers("x-client-cert")
    assert ask(socket, told).status == 200  # who can enter the directory of the socket is believed
    assert ask(socket, []).status == 403
    assert ask(socket, headers("xfcc")).status == 403
    assert ask(socket, told[:1]).status == 400
    assert ask(socket, [*told, *headers("x-client-cert", "hostile")]).status == 400


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_on_a_port_is_not_trusted_whatever_it_says(
    servers: dict[str, tuple[Path, int]], name: str
) -> None:
    _, port = servers[name]
    told = headers("x-client-cert")
    for forged in (told, [], [*told, ("X-Forwarded-For", "unix"), ("X-Real-IP", "")]):
        answer = ask(port, forged)
        assert answer.status == 403
        assert b"identity was refused" in answer.body
