"""`handclasp expiry` tells of the certificates that callers presented, as the agent has noted them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from handclasp.cli.expiry.callers import MOST_WELL, callers_of, without_many
from handclasp.monitor.callers import Caller, Callers
from handclasp.monitor.entries import entries_of_callers
from handclasp.monitor.expiry import judge, worst_first
from handclasp.monitor.limits import Limits
from handclasp.spec.read import read_spec
from tests import pki
from tests.cli.test_documents import validate
from tests.integration.running import Material, handclasp, ingress_spec, write_spec

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.monitor.expiry import Entry

DAY = timedelta(days=1)


def caller(
    serial: str, *, days: float = 90, seen: timedelta = timedelta(hours=1), link: str = "api"
) -> Caller:
    """It ends in so many days, after some eighty."""
    begin, end, last = pki.NOW - 80 * DAY, pki.NOW + days * DAY, pki.NOW - seen
    return Caller(link, "CN=CA", serial, f"CN=svc-{serial}", begin, end, last, last)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    made = ingress_spec(Material(tmp_path), "127.0.0.1:1", "http://127.0.0.1:1")
    return write_spec(tmp_path, "handclasp", {**made, "state": "state"})


def noted(spec: Path, *callers: Caller) -> list[Entry]:
    """As the agent writes them down."""
    table = Callers(pki.NOW)
    for one in callers:
        table.see(one, pki.NOW)
    (spec.parent / "state").mkdir(exist_ok=True)
    (spec.parent / "state" / "callers.json").write_text(table.as_json())
    return callers_of(read_spec(spec), None, now=pki.NOW)


def test_who_calls_with_a_certificate_that_dies_is_listed_with_when_it_was_seen(
    spec: Path,
) -> None:
    noted(spec, caller("b"), caller("c", days=6.5))
    done = handclasp("expiry", "--format", "json", cwd=spec.parent)
    assert done.returncode == 1, done.stderr
    told = {one["subject"]: one for one in validate("expiry", done.stdout)["certificates"]}
    dying = told["CN=svc-c"]
    seen = pki.NOW - timedelta(hours=1)
    assert (dying["state"], dying["days_left"], dying["kind"]) == ("critical", 6, "caller")
    assert dying["source"] == f"ingress api, last seen {seen:%Y-%m-%d %H:%M} UTC"
    assert (dying["name"], dying["last_seen"]) == ("ingress api", seen.isoformat())
    assert dying["breaks"] == ["ingress api refuses it"]
    assert told["CN=svc-b"]["state"] == "ok"


def test_who_did_not_come_for_a_week_is_no_alarm_any_more(spec: Path) -> None:
    kept, gone = caller("c", days=6, seen=6.9 * DAY), caller("d", days=6, seen=7.1 * DAY)
    assert [one.subject for one in noted(spec, kept, gone)] == ["CN=svc-c"]
    # Whose identity has ended is refused, and not heard of here.
    assert noted(spec, caller("e", days=-0.5)) == []


def test_without_an_agent_there_are_none_and_what_cannot_be_read_is_said(spec: Path) -> None:
    assert callers_of(read_spec(spec), None, now=pki.NOW) == []
    (spec.parent / "state" / "callers.json").mkdir(parents=True)
    (one,) = callers_of(read_spec(spec), None, now=pki.NOW)
    assert one.problem == "who calls cannot be read: Is a directory"


def test_of_thousands_that_have_time_the_first_to_end_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    callers = [caller(f"{number}", days=40 + number) for number in range(MOST_WELL + 3)]
    callers += [caller(f"soon-{number}", days=5) for number in range(MOST_WELL + 3)]
    judged = worst_first(
        judge(one, now=pki.NOW, limits=Limits()) for one in entries_of_callers(callers)
    )
    kept = without_many(judged)
    assert kept == judged[: 2 * MOST_WELL + 3]
    assert capsys.readouterr().err == "3 more callers have time\n"
