"""What node_exporter is to read, read by the client library of Prometheus."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from handclasp.monitor.expiry import Entry, Kind, judge
from handclasp.monitor.textfile import CHECKED, NOT_AFTER, SOURCES, UNREADABLE, textfile
from tests.monitor.moments import DAY, LIMITS, NOW, entry, member


def read(*entries: Entry) -> dict[str, list[Any]]:
    """Samples by the name of their family."""
    judged = [judge(one, now=NOW, limits=LIMITS) for one in entries]
    families = text_string_to_metric_families(textfile(judged, now=NOW))
    return {family.name: list(family.samples) for family in families}


def test_every_member_has_its_own_end() -> None:
    chain = entry(member(90 * DAY), member(5 * DAY, kind=Kind.CA, subject="CN=Middle"))
    told = {
        (one.labels["subject"], one.labels["kind"]): one.value for one in read(chain)[NOT_AFTER]
    }
    assert told == {
        ("CN=svc-b", "certificate"): (NOW + 90 * DAY).timestamp(),
        ("CN=Middle", "ca"): (NOW + 5 * DAY).timestamp(),
    }


def test_of_doubles_the_first_to_end_is_told_once() -> None:
    """node_exporter refuses a file with one series twice."""
    twins = [entry(member(days * DAY)) for days in (90, 5, 40)]
    (one,) = read(*twins)[NOT_AFTER]
    assert one.value == (NOW + 5 * DAY).timestamp()


def test_states_are_counted_and_the_unreadable_named() -> None:
    told = read(entry(member(90 * DAY)), Entry(source="lost.pem", problem="gone"))
    counts = {one.labels["state"]: one.value for one in told[SOURCES]}
    assert (counts["ok"], counts["unreadable"], counts["expired"]) == (1, 1, 0)
    assert [one.labels for one in told[UNREADABLE]] == [{"source": "lost.pem"}]
    assert told[CHECKED][0].value == NOW.timestamp()


def test_a_caller_is_one_series_whenever_it_was_seen() -> None:
    caller = member(DAY, kind=Kind.CALLER)
    seen = [entry(caller, source="ingress api", seen=NOW - days * DAY) for days in (0, 1)]
    (one,) = read(*seen)[NOT_AFTER]
    assert one.labels == {"source": "ingress api", "subject": "CN=svc-b", "kind": "caller"}


@given(source=st.text(), subject=st.text())
def test_any_name_comes_back_as_it_was(source: str, subject: str) -> None:
    """Quotes, backslashes, line ends: a name never ends its label."""
    (one,) = read(entry(member(DAY, subject=subject), source=source))[NOT_AFTER]
    assert one.labels == {"source": source, "subject": subject, "kind": "certificate"}


def test_a_file_name_that_is_no_text_does_not_spoil_the_file() -> None:
    (one,) = read(entry(member(DAY), source="\udcff.pem"))[NOT_AFTER]
    assert one.labels["source"] == "\\udcff.pem"
