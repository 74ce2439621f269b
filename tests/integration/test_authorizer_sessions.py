"""Connections and sessions that were opened while a certificate was good, once it no longer is."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests import pki
from tests.integration.authorizer_stage import StandIn, status_over
from tests.integration.ingress_stage import (
    NAMES,
    Stage,
    link,
    ports,
    running_stage,
    spec_of,
)
from tests.integration.running import handclasp
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration

ONCE, AGAIN = "once.example.com", "again.example.com"
CLIENTS = {"trust": "company", "allow": ["dns:svc-b.internal"]}


def started(material: Material, nginx: Path, name: str, *, sessions: bool) -> Iterator[Stage]:
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    (port,) = ports(1)
    with Backend() as backend:
        url = f"http://127.0.0.1:{backend.port}"
        listed = link(
            name,
            f"127.0.0.1:{port}",
            url,
            clients=CLIENTS,
            forward=["rfc9440"],
            session_reuse=sessions,
        )
        spec = spec_of(material, [listed])
        with running_stage(material, nginx, name, spec, port, backend=backend) as stage:
            yield stage


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    yield from started(material, nginx_build, "once", sessions=False)


@pytest.fixture(scope="module")
def resuming(material: Material, nginx_builds: dict[str, Path]) -> Iterator[Stage]:
    """The older build resumes no session with a client certificate: it would renew it for ever."""
    yield from started(material, nginx_builds["wheel"], "again", sessions=True)


def expiring(material: Material, who: str, *, seconds: int) -> float:
    """A certificate with so long to live; when that is over, by the clock of `time.time`."""
    # Its last second is one of its life.
    last = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds - 1)
    material.add(who, sans=["svc-b.internal"], not_after=last, key_label="same")
    return last.timestamp() + 1


def until_after(moment: float) -> None:
    time.sleep(max(0.0, moment + 0.1 - time.time()))


def test_an_answer_does_not_outlive_the_certificate(stage: Stage) -> None:
    """On a connection that nginx does not look at again, with an agent and without."""
    with StandIn(stage.running.state / "ask" / "sock") as agent:
        end = expiring(stage.material, "expiring", seconds=7)
        lost = expiring(stage.material, "lost", seconds=7)
        with (
            stage.caller.connect(ONCE, stage.pair("expiring")) as tls,
            stage.caller.connect(ONCE, stage.pair("lost")) as other,
        ):
            for connection in (tls, other):
                assert status_over(connection, ONCE) == 200
                assert status_over(connection, ONCE) == 200
            assert len(agent.asked) == 2
            until_after(end)
            assert status_over(tls, ONCE) == 403
            until_after(lost)
            with agent.saying(b""):
                assert status_over(other, ONCE) == 503


def statuses(
    stage: Stage, who: str, *, before_the_last: float | Path
) -> list[tuple[bool | None, int]]:
    """Of three connections that try to resume: whether they did, and the answer."""
    context = stage.caller.context(stage.pair(who))
    seen: list[tuple[bool | None, int]] = []
    session = None
    for number in range(3):
        if number == 2:
            if isinstance(before_the_last, float):
                until_after(before_the_last)
            else:
                deny(stage, before_the_last)
        with stage.caller.connect(AGAIN, context=context, session=session) as tls:
            answered = status_over(tls, AGAIN)
            seen.append((tls.session_reused, answered))
            session = tls.session
    return seen


def deny(stage: Stage, certificate: Path) -> None:
    done = handclasp(
        *("deny", certificate, "--state-dir", stage.running.state), cwd=certificate.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_resumed_session_ends_with_the_certificate(resuming: Stage) -> None:
    before = len(resuming.extra["backend"].seen)
    end = expiring(resuming.material, "short-lived", seconds=7)
    told = statuses(resuming, "short-lived", before_the_last=end)
    assert told == [(False, 200), (True, 200), (True, 403)]
    assert len(resuming.extra["backend"].seen) == before + 2


def test_a_resumed_session_is_refused_after_a_denial(resuming: Stage) -> None:
    before = len(resuming.extra["backend"].seen)
    for who in ("leaked", "honest"):
        resuming.material.add(who, sans=["svc-b.internal"], key_label="same")
    told = statuses(resuming, "leaked", before_the_last=resuming.material.folder / "leaked.pem")
    assert told == [(False, 200), (True, 200), (True, 403)]
    assert len(resuming.extra["backend"].seen) == before + 2
    told = statuses(resuming, "honest", before_the_last=0.0)
    assert told == [(False, 200), (True, 200), (True, 200)]


def test_rules_that_change_end_what_was_remembered(stage: Stage) -> None:
    """Other rules are other questions, whatever was answered before; and the old ones, once they are
    back, are the old questions. Runs last of those with this stage."""
    running = stage.running
    written = running.spec.read_text()

    def judged(svc_b: int, svc_x: int) -> None:
        for who, expected in (("svc-b", svc_b), ("svc-x", svc_x)):
            for _ in range(2):
                answer = stage.caller.get("/", sni=ONCE, credentials=stage.pair(who))
                assert answer.status == expected, who

    judged(200, 403)
    for count, (text, expected) in enumerate(
        ((written.replace("svc-b.internal", "svc-x.internal"), (403, 200)), (written, (200, 403)))
    ):
        running.spec.write_text(text)
        running.reload()
        running.wait_for("change in effect", count=count + 1)
        judged(*expected)
