"""That a renewal fails is written down, and `check` makes an error of it once there is nothing left."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from handclasp.agent import failing
from handclasp.agent.issuance import Issuance
from handclasp.agent.waiting import why_waiting
from handclasp.findings import Severity
from tests.agent.issuing_stage import LOCAL, NAMES, Stage
from tests.ca.authority import make_authority

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.agent.prepare import Prepared
    from handclasp.findings import Finding

HOUR = timedelta(hours=1)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    make_authority(tmp_path)
    identity = {"issuer": "dev-ca", "names": NAMES, "lifetime": "24h"}
    return Stage(tmp_path, {"svc-b": identity}, {"dev-ca": LOCAL})


def told(stage: Stage, later: timedelta) -> list[Finding]:
    """What `check` says of it then."""
    made, now = stage.prepared(), stage.clock.now() + later
    waiting = why_waiting(made.loaded, made.layout, made.tokens, now)
    findings = tuple(finding for them in waiting.values() for finding in them)
    seen = SimpleNamespace(
        waiting=tuple(waiting),
        layout=made.layout,
        loaded=made.loaded,
        tokens=made.tokens,
        findings=findings,
    )
    return list(failing.with_failing(cast("Prepared", seen), now))


def test_what_ended_and_is_not_to_be_had_is_an_error_and_no_more_to_come(stage: Stage) -> None:
    asyncio.run(Issuance(stage.clock).issue(stage.prepared(), "svc-b"))
    (finding,) = told(stage, 25 * HOUR)
    assert (finding.slug, finding.severity) == ("identity-not-issued-yet", Severity.INFO)
    failing.note(stage.state, "svc-b", "it is away", stage.clock.now())
    failing.note(stage.state, "svc-b", "it says no", stage.clock.now() + HOUR)
    assert told(stage, 23 * HOUR) == [], "what there is serves on"
    (finding,) = told(stage, 25 * HOUR)
    assert (finding.slug, finding.severity) == ("renewal-failing", Severity.ERROR)
    assert finding.where.path == "identities.svc-b.issuer"
    assert f"since {stage.clock.now():%Y-%m-%d %H:%M} UTC: it says no" in finding.seen
    failing.forget(stage.state, "svc-b")
    (finding,) = told(stage, 25 * HOUR)
    assert finding.severity is Severity.INFO


def test_nothing_is_noted_of_what_was_never_issued(stage: Stage) -> None:
    failing.note(stage.state, "svc-b", "it is away", stage.clock.now())
    assert not stage.state.exists()
    assert failing.read(stage.state, "svc-b") is None


@pytest.mark.parametrize("content", [b"", b"[]", b'{"since": "never", "why": 1}', b"\xff"])
def test_a_damaged_note_is_none(stage: Stage, content: bytes) -> None:
    (stage.state / "issued" / "svc-b").mkdir(parents=True)
    failing.note(stage.state, "svc-b", "it is away", stage.clock.now())
    (file,) = (stage.state / "failing").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(content)
    assert failing.read(stage.state, "svc-b") is None
