"""The agent is killed, stopped or started anew: whom nginx knows goes on for a while, nobody else gets in."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc  # type: ignore[import-untyped]
import pytest

from handclasp.nginx.workers import workers_of
from tests import pki
from tests.integration.authorizer_stage import (
    WITHOUT_X_SSL_CERT,
    StandIn,
    assert_caller_is,
    pair_of,
    refused_for,
    status_over,
)
from tests.integration.http2_client import Http2Client
from tests.integration.ingress_stage import (
    NAMES,
    Stage,
    link,
    ports,
    running_stage,
    spec_of,
)
from tests.integration.running import Running
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.ingress_stage import Answer
    from tests.integration.running import Material

pytestmark = pytest.mark.integration

LONG, SHORT, CALLS = "long.example.com", "short.example.com", "calls.example.com"
CLIENTS = {"trust": "company", "allow": ["dns:svc-b.internal"]}
FRESH, OUTAGE = 1, 4


@contextlib.contextmanager
def started(material: Material, nginx: Path, name: str) -> Iterator[Stage]:
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    for who in ("known", "new", "later"):
        material.add(who, sans=["svc-b.internal"], key_label="same")
    (port,) = ports(1)
    listen = f"127.0.0.1:{port}"
    with _grpc_backend() as there, Backend() as backend:
        url = f"http://127.0.0.1:{backend.port}"
        bounded = {**CLIENTS, "answers": {"fresh": f"{FRESH}s", "outage": f"{OUTAGE}s"}}
        links = [
            link("long", listen, url, clients=CLIENTS, forward=list(WITHOUT_X_SSL_CERT)),
            link("short", listen, url, clients=bounded, forward=["rfc9440"]),
            link("calls", listen, f"grpc://127.0.0.1:{there}", clients=CLIENTS, forward=[]),
        ]
        spec = spec_of(material, links, nginx={"workers": 2})
        with running_stage(material, nginx, name, spec, port, backend=backend) as running:
            yield running
            assert "exited on signal" not in running.running.error_log


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    with started(material, nginx_build, "outages") as running:
        yield running


@contextlib.contextmanager
def _grpc_backend() -> Iterator[int]:
    def unary(message: bytes, _: grpc.ServicerContext) -> bytes:
        return message

    handlers = {"Unary": grpc.unary_unary_rpc_method_handler(unary)}
    server = grpc.server(
        ThreadPoolExecutor(1), handlers=[grpc.method_handlers_generic_handler("t.T", handlers)]
    )
    port: int = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait(5)


def get(stage: Stage, who: str, sni: str = LONG) -> Answer:
    return stage.caller.get("/", sni=sni, credentials=stage.pair(who))


def called(stage: Stage, who: str) -> tuple[int, str | None]:
    """HTTP and gRPC status of a call with one byte."""
    told = [("content-type", "application/grpc"), ("te", "trailers")]
    with Http2Client(stage.caller, CALLS, stage.pair(who)) as client:
        answer = client.request("/t.T/Unary", method="POST", headers=told, body=b"\0\0\0\0\1x")
    return answer.status, answer.value("grpc-status")


def arrivals(stage: Stage) -> int:
    return len(stage.extra["backend"].seen)


def assert_unavailable(stage: Stage, who: str, sni: str = LONG, *, within: float = 1.5) -> None:
    """Told at once, with when to come back, and the backend hears nothing."""
    before, started = arrivals(stage), time.monotonic()
    answer = get(stage, who, sni)
    assert answer.status == 503
    assert answer.value("Retry-After") == "5"
    assert time.monotonic() - started < within
    assert arrivals(stage) == before


def kill(stage: Stage) -> None:
    stage.running.process.kill()
    stage.running.process.wait(5)


@contextlib.contextmanager
def adopted(stage: Stage) -> Iterator[Running]:
    """A second agent for the nginx of the first, ready."""
    first = stage.running
    with Running(first.spec, first.nginx, expect_ready=False) as second:
        second.wait_for(" ready ", count=2)
        assert second.master_pid == first.master_pid
        yield second


def test_without_an_agent_nginx_goes_on_for_those_it_knows_and_for_a_while(
    material: Material, nginx_build: Path
) -> None:
    with started(material, nginx_build, "killed") as stage:
        assert [get(stage, "known", sni).status for sni in (LONG, SHORT)] == [200, 200]
        assert get(stage, "svc-x").status == 403
        assert called(stage, "known") == (200, "0")
        assert called(stage, "svc-x") == (200, "7")
        with stage.caller.connect(SHORT, stage.pair("known")) as tls:
            assert status_over(tls, SHORT) == 200
            asked_last = time.monotonic()
            kill(stage)
            time.sleep(FRESH + 0.5)  # what follows is no longer fresh, and nobody can be asked
            assert [status_over(tls, SHORT), get(stage, "known", SHORT).status] == [200, 200]
            assert_caller_is(
                stage.extra["backend"].last, pair_of(stage.material, "known"), ["rfc9440"]
            )
            assert_nobody_new_gets_in(stage)
            time.sleep(max(0.0, asked_last + FRESH + OUTAGE + 2 - time.monotonic()))
            assert status_over(tls, SHORT) == 503, "an open connection is no way around"
        assert_unavailable(stage, "known", SHORT)
        assert get(stage, "known").status == 200, "the bound is each link's own"
        with adopted(stage) as second:
            assert_a_new_agent_is_asked_what_nginx_does_not_know(stage, second)


def assert_nobody_new_gets_in(stage: Stage) -> None:
    assert get(stage, "known").status == 200
    assert get(stage, "svc-x").status == 403, "what was refused stays refused"
    for sni in (LONG, SHORT):
        assert_unavailable(stage, "new", sni)
    assert called(stage, "known") == (200, "0")
    assert called(stage, "new") == (200, "14")
    assert called(stage, "svc-x") == (200, "7")
    # More at a time than nginx keeps connections to the agent for.
    for number in range(20):
        stage.material.add(f"many-{number}", sans=["svc-b.internal"], key_label="same")
    before = arrivals(stage)
    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(lambda number: get(stage, f"many-{number}").status, range(20)))
    assert told == [503] * 20
    assert arrivals(stage) == before


def assert_a_new_agent_is_asked_what_nginx_does_not_know(stage: Stage, second: Running) -> None:
    """The same policy and the same rules: answers to the first agent hold."""
    place = second.state / "ask" / "sock"
    with StandIn(place) as agent:
        assert [get(stage, "known").status, get(stage, "svc-x").status] == [200, 403]
        assert called(stage, "svc-x") == (200, "7")
        assert agent.asked == []
        assert [get(stage, who, SHORT).status for who in ("known", "new")] == [200, 200]
        assert get(stage, "new").status == 200
        assert called(stage, "new") == (200, "0")
        assert len(agent.asked) == 4
    second.reload()
    second.wait_for("nothing changed")
    with StandIn(place) as agent:
        assert [get(stage, who).status for who in ("known", "new", "svc-x")] == [200, 200, 403]
        assert agent.asked == []


def test_an_agent_that_does_not_answer_lets_nobody_new_in(stage: Stage) -> None:
    assert get(stage, "known").status == 200
    stage.running.process.send_signal(signal.SIGSTOP)
    try:
        assert_unavailable(stage, "new", within=4)
        begun = time.monotonic()
        assert get(stage, "known").status == 200
        assert time.monotonic() - begun < 1.5, "nothing has to be asked"
        assert called(stage, "later") == (200, "14")
        assert refused_for(stage.running, CALLS, "authorizer-unavailable")
    finally:
        stage.running.process.send_signal(signal.SIGCONT)
    assert get(stage, "new").status == 200
    assert called(stage, "later") == (200, "0")


def workers_uid(stage: Stage) -> int:
    master = stage.running.master_pid
    assert master is not None
    return workers_of(master)[0].uid


def test_only_nginx_can_ask_and_only_nginx_can_read_what_it_remembers(stage: Stage) -> None:
    assert get(stage, "known").status == 200
    state = stage.running.state
    folder, place = (state / "ask").stat(), (state / "ask" / "sock").stat()
    answers = (state / "nginx" / "answers").stat()
    policy = (state / "policy").stat()
    assert stat.S_IMODE(folder.st_mode) == 0o750
    assert folder.st_uid == place.st_uid == os.geteuid(), "nobody else can put a socket there"
    assert stat.S_IMODE(policy.st_mode) & 0o022 == 0
    assert policy.st_uid == os.geteuid(), "nobody else can choose the policy"
    assert (stat.S_IMODE(answers.st_mode), answers.st_uid) == (0o700, workers_uid(stage))
    if os.geteuid() != 0:
        assert stat.S_IMODE(place.st_mode) == 0o600
        return
    group = pwd.getpwuid(workers_uid(stage)).pw_gid
    assert (folder.st_gid, place.st_gid, stat.S_IMODE(place.st_mode)) == (group, group, 0o660)
    assert can_connect(state, uid=workers_uid(stage), gid=group)
    assert not can_connect(state, uid=54_321, gid=54_321)
    assert can_connect(state, uid=54_321, gid=group), "else the one before could not fail"


def can_connect(state: Path, *, uid: int, gid: int) -> bool:
    program = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    interpreter = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    done = subprocess.run(
        [interpreter, "-c", program, str(state / "ask" / "sock")],
        user=uid,
        group=gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0 or "PermissionError" in done.stderr, done.stderr
    return done.returncode == 0
