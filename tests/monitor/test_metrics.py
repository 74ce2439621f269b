"""/metrics is valid in both formats, whatever the names in it, and says what it is given."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from handclasp.monitor.expiring import Expiring
from handclasp.monitor.limits import Limits
from handclasp.monitor.metrics import LinkReading, Readings, exposition

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
READINGS = Readings(
    version="0.1",
    python="3.11.2",
    nginx_version="1.22.1",
    tls_library="OpenSSL 3.0.19",
    started=NOW,
    ready=True,
    serving=True,
    workers=2,
    generation=7,
    refused_change=False,
    links=[LinkReading("orders", "egress", up=True), LinkReading("api", "ingress", up=False)],
    identities=["svc-b"],
    expiring=[Expiring("identity", "svc-b", "CN=svc-b", NOW - timedelta(days=1), NOW)],
)


def samples(readings: Readings, accept: str = "") -> dict[tuple[str, frozenset[object]], float]:
    """Every sample, by its name and labels, as Prometheus reads it."""
    body, media_type = exposition(readings, accept)
    parse = parse_openmetrics if media_type.startswith("application/openmetrics") else parse_text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


def value(
    of: Mapping[tuple[str, frozenset[object]], float], metric: str, /, **labels: str
) -> float:
    return of[metric, frozenset(labels.items())]


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_both_formats_tell_the_same(accept: str) -> None:
    told = samples(READINGS, accept)
    assert value(told, "handclasp_build_info", version="0.1", python="3.11.2") == 1
    assert value(told, "handclasp_nginx_info", version="1.22.1", tls="OpenSSL 3.0.19") == 1
    assert value(told, "handclasp_generation") == 7
    assert value(told, "handclasp_link_up", link="orders", kind="egress") == 1
    assert value(told, "handclasp_link_up", link="api", kind="ingress") == 0
    end = value(
        told,
        "handclasp_certificate_not_after_timestamp_seconds",
        kind="identity",
        name="svc-b",
        subject="CN=svc-b",
    )
    assert end == NOW.timestamp()


def test_prometheus_is_told_when_the_agent_begins_to_warn() -> None:
    year = Expiring("trust", "company", "CN=CA", NOW - timedelta(days=365), NOW)
    limits = Limits(timedelta(days=20), timedelta(days=5))
    told = samples(replace(READINGS, expiring=[year], limits=limits))
    for level, days in (("warning", 20), ("critical", 5)):
        metric = f"handclasp_certificate_{level}_timestamp_seconds"
        since = value(told, metric, kind="trust", name="company", subject="CN=CA")
        assert since == (NOW - timedelta(days=days)).timestamp()


def test_openmetrics_is_given_only_to_whom_asks_for_it() -> None:
    assert exposition(READINGS, OPENMETRICS)[1].startswith("application/openmetrics-text")
    for accept in ("", "*/*", "text/plain", "text/html,application/xhtml+xml"):
        body, media_type = exposition(READINGS, accept)
        assert media_type.startswith("text/plain")
        assert b"# EOF" not in body


def test_what_can_happen_to_a_link_or_identity_begins_at_zero() -> None:
    told = samples(READINGS)
    for result in ("committed", "rolled_back"):
        assert value(told, "handclasp_rotations_total", identity="svc-b", result=result) == 0
    for link in ("orders", "api"):
        assert value(told, "handclasp_handshake_failures_total", link=link, cause="unknown") == 0


def test_counts_take_the_place_of_zeros() -> None:
    counted = replace(
        READINGS,
        rotations={("svc-b", "committed"): 3, ("gone", "rolled_back"): 1},
        handshake_failures={("api", "unknown"): 4, ("api", "cert-expired"): 5},
        answers={"allowed": 6},
    )
    told = samples(counted)
    rotations, failures = "handclasp_rotations_total", "handclasp_handshake_failures_total"
    assert value(told, rotations, identity="svc-b", result="committed") == 3
    assert value(told, rotations, identity="svc-b", result="rolled_back") == 0
    assert value(told, rotations, identity="gone", result="rolled_back") == 1
    assert value(told, failures, link="api", cause="unknown") == 4
    assert value(told, failures, link="api", cause="cert-expired") == 5
    assert value(told, "handclasp_caller_answers_total", reason="allowed") == 6


def test_renewals_are_told_by_identity_and_issuer() -> None:
    told = samples(replace(READINGS, renewals={("auto", "ca"): True, ("well", "ca"): False}))
    failing = "handclasp_renewal_failing"
    assert value(told, failing, identity="auto", issuer="ca") == 1
    assert value(told, failing, identity="well", issuer="ca") == 0


def test_tokens_are_told_of_only_where_there_are_some() -> None:
    assert not [name for name, _ in samples(READINGS) if "token" in name]
    told = samples(replace(READINGS, token_outage=True, token_restarts=2))
    assert value(told, "handclasp_token_outage") == 1
    assert value(told, "handclasp_token_restarts_total") == 2


@given(subject=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_whatever_a_subject_holds_the_text_can_be_read_back(subject: str) -> None:
    readings = replace(
        READINGS, expiring=[Expiring("trust", "company", subject, NOW - timedelta(days=1), NOW)]
    )
    for accept in ("", OPENMETRICS):
        told = samples(readings, accept)
        metric = "handclasp_certificate_not_after_timestamp_seconds"
        assert value(told, metric, kind="trust", name="company", subject=subject)
