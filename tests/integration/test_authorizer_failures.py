"""The agent is killed, stopped or started anew: whom nginx knows goes on for a while, nobody else gets in."""

from __future__ import annotations

import contextlib
import http.client
import os
import pwd
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]
import pytest

from handclasp.nginx.workers import workers_of
from tests import pki
from tests.integration.authorizer_stage import WITHOUT_X_SSL_CERT, StandIn, assert_caller_is
from tests.integration.http2_client import Http2Client
from tests.integration.ingress_stage import (
    NAMES,
    Stage,
    link,
    ports,
    running_stage,
    spec_of,
    until,
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
FRESH, OUTAGE = 1, 5


@pytest.fixture
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    """Of its own for each test, since each ends the agent."""
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
        with running_stage(
            material, nginx_build, "outages", spec, port, backend=backend
        ) as running:
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


def test_without_an_agent_nginx_goes_on_for_those_it_knows_and_for_a_while(stage: Stage) -> None:
    assert [get(stage, "known", sni).status for sni in (LONG, SHORT)] == [200, 200]
    assert get(stage, "svc-x").status == 403
    assert called(stage, "known") == (200, "0")
    assert called(stage, "svc-x") == (200, "7")
    with stage.caller.connect(SHORT, stage.pair("known")) as tls:
        kept = http.client.HTTPConnection(SHORT)
        kept.sock = tls

        def again() -> int:
            kept.request("GET", "/")
            answer = kept.getresponse()
            answer.read()
            return answer.status

        assert again() == 200
        asked_last = time.monotonic()
        kill(stage)
        time.sleep(FRESH + 0.5)  # what follows is no longer fresh, and the agent cannot be asked
        assert [again(), get(stage, "known", SHORT).status] == [200, 200]
        assert_caller_is(stage.extra["backend"].last, _pair(stage, "known"), ["rfc9440"])
        assert get(stage, "known").status == 200
        assert get(stage, "svc-x").status == 403, "what was refused stays refused"
        for sni in (LONG, SHORT):
            assert_unavailable(stage, "new", sni)
        assert called(stage, "known") == (200, "0")
        assert called(stage, "new") == (200, "14")
        assert called(stage, "svc-x") == (200, "7")
        time.sleep(max(0.0, asked_last + FRESH + OUTAGE + 2 - time.monotonic()))
        assert again() == 503, "an open connection is no way around"
        assert_unavailable(stage, "known", SHORT)
        assert get(stage, "known").status == 200, "the bound is each link's own"
    with adopted(stage):
        assert get(stage, "known", SHORT).status == 200
        assert get(stage, "new").status == 200
        assert called(stage, "new") == (200, "0")
        assert called(stage, "svc-x") == (200, "7")


def _pair(stage: Stage, who: str) -> pki.Pair:
    from cryptography import x509

    pem = (stage.material.folder / f"{who}.pem").read_bytes()
    return pki.Pair(x509.load_pem_x509_certificate(pem), stage.material.client.private_key)


def test_a_new_agent_keeps_what_nginx_remembers(stage: Stage) -> None:
    """Adopted after a kill, and read anew: the same policy, so the same answers."""
    assert get(stage, "known").status == 200
    kill(stage)
    with adopted(stage) as second:
        with StandIn(second.state / "authorizer" / "ask.sock") as agent:
            assert get(stage, "known").status == 200
            assert agent.asked == []
            assert get(stage, "new").status == 200
            assert len(agent.asked) == 1
        second.reload()
        second.wait_for("nothing changed")
        with StandIn(second.state / "authorizer" / "ask.sock") as agent:
            assert [get(stage, who).status for who in ("known", "new")] == [200, 200]
            assert agent.asked == []


def test_an_agent_that_does_not_answer_lets_nobody_new_in(stage: Stage) -> None:
    assert [get(stage, "known", sni).status for sni in (LONG, SHORT)] == [200, 200]
    stage.running.process.send_signal(signal.SIGSTOP)
    try:
        for sni in (LONG, SHORT):
            assert_unavailable(stage, "new", sni, within=4)
        started = time.monotonic()
        assert get(stage, "known").status == 200
        assert time.monotonic() - started < 1.5, "nothing has to be asked"
        assert called(stage, "later") == (200, "14")
    finally:
        stage.running.process.send_signal(signal.SIGCONT)
    assert [get(stage, "new", sni).status for sni in (LONG, SHORT)] == [200, 200]
    assert called(stage, "later") == (200, "0")


def test_requests_that_all_come_at_once_get_no_further(stage: Stage) -> None:
    """More at a time than nginx keeps connections to the agent for."""
    for number in range(40):
        stage.material.add(f"many-{number}", sans=["svc-b.internal"], key_label="same")
    with ThreadPoolExecutor(20) as pool:
        first = list(pool.map(lambda number: get(stage, f"many-{number}").status, range(20)))
        assert first == [200] * 20
        kill(stage)
        before = arrivals(stage)
        late = list(pool.map(lambda number: get(stage, f"many-{number}").status, range(20, 40)))
        assert late == [503] * 20
        assert arrivals(stage) == before


def workers_uid(stage: Stage) -> int:
    master = stage.running.master_pid
    assert master is not None
    return workers_of(master)[0].uid


def test_only_nginx_can_ask_and_only_nginx_can_read_what_it_remembers(stage: Stage) -> None:
    assert get(stage, "known").status == 200
    state = stage.running.state
    folder, place = (state / "authorizer").stat(), (state / "authorizer" / "ask.sock").stat()
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
        [interpreter, "-c", program, str(state / "authorizer" / "ask.sock")],
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


# Certificates that stop being good


def expiring(material: Material, who: str, *, seconds: int) -> float:
    """A certificate with so long to live; when that is over, by the clock of `time.time`."""
    from datetime import UTC, datetime, timedelta

    # Its last second is one of its life.
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds - 1)
    material.add(who, sans=["svc-b.internal"], not_after=end, key_label="same")
    return end.timestamp() + 1


def test_an_answer_does_not_outlive_the_certificate(stage: Stage) -> None:
    """On a connection that was opened while it was good; nginx does not look at it again."""
    end = expiring(stage.material, "expiring", seconds=5)
    with stage.caller.connect(LONG, stage.pair("expiring")) as tls:
        kept = http.client.HTTPConnection(LONG)
        kept.sock = tls

        def again() -> int:
            kept.request("GET", "/")
            answer = kept.getresponse()
            answer.read()
            return answer.status

        assert again() == 200
        time.sleep(max(0.0, end + 0.1 - time.time()))
        assert again() == 403
        # nor is it good for an agent that is gone
        kill(stage)
        time.sleep(1)
        assert again() in (403, 503)


@pytest.mark.parametrize("ended_by", ["expiry", "denial"])
def test_a_resumed_session_is_judged_anew(
    material: Material, nginx_builds: dict[str, Path], ended_by: str
) -> None:
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    end = expiring(material, "resumed", seconds=6 if ended_by == "expiry" else 3600)
    (port,) = ports(1)
    with Backend() as backend:
        url = f"http://127.0.0.1:{backend.port}"
        more: dict[str, Any] = {"forward": ["rfc9440"], "session_reuse": True}
        one = link("long", f"127.0.0.1:{port}", url, clients=CLIENTS, **more)
        spec = spec_of(material, [one])
        with running_stage(
            material, nginx_builds["wheel"], "resumed", spec, port, backend=backend
        ) as stage:
            context = stage.caller.context(stage.pair("resumed"))
            seen = []
            session = None
            for round_ in range(3):
                if round_ == 2:
                    if ended_by == "expiry":
                        time.sleep(max(0.0, end + 0.1 - time.time()))
                    else:
                        deny(stage, material.folder / "resumed.pem")
                with stage.caller.connect(LONG, context=context, session=session) as tls:
                    kept = http.client.HTTPConnection(LONG)
                    kept.sock = tls
                    kept.request("GET", "/")
                    answer = kept.getresponse()
                    answer.read()
                    seen.append((tls.session_reused, answer.status))
                    session = tls.session
            assert seen == [(False, 200), (True, 200), (True, 403)]
            assert len(backend.seen) == 2


def deny(stage: Stage, certificate: Path) -> None:
    from tests.integration.running import handclasp

    done = handclasp(
        *("deny", certificate, "--state-dir", stage.running.state), cwd=certificate.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_worker_dies_of_an_outage(stage: Stage) -> None:
    kill(stage)
    for who in ("known", "new"):
        assert get(stage, who).status == 503
    assert until(lambda: "exited on signal" not in stage.running.error_log, within=0)
