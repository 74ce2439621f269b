"""What /metrics says: the families of the OpenMetrics text, made from values. Pure.

Names follow Prometheus' rules (https://prometheus.io/docs/practices/naming/): base units, `_total` for what
only grows, times as seconds since 1970. docs/how-to/monitoring.md lists them.

prometheus-client is imported when the first reading is asked for, so that an agent nobody scrapes does not
carry it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from handclasp.monitor.limits import Limits
from handclasp.spec.access import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from prometheus_client.metrics_core import Metric

    from handclasp.monitor.expiring import Expiring

Result = Literal["committed", "rolled_back"]
RESULTS: tuple[Result, ...] = ("committed", "rolled_back")
UNKNOWN_CAUSE = "unknown"


@dataclass(frozen=True, slots=True)
class LinkReading:
    """One link, and whether requests through it can succeed."""

    name: str
    kind: Literal["egress", "ingress"]
    up: bool


@dataclass(frozen=True, slots=True)
class CallersReading:
    """Certificates that callers of one link presented in the last day: how many, how many of them the agent
    warns of, and when the first of them ends."""

    in_use: int
    ending: int
    soonest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Everything that is told, at one moment. Counts are since the start of the agent."""

    version: str
    python: str
    nginx_version: str
    tls_library: str
    started: datetime
    ready: bool
    serving: bool
    workers: int
    generation: int
    refused_change: bool
    links: Sequence[LinkReading]
    identities: Sequence[str]
    expiring: Sequence[Expiring]
    limits: Limits = field(default_factory=Limits)
    not_taken: int = 0
    """New files that were not taken."""
    renewals: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    """By identity and issuer: whether the last try failed."""
    lists_problem: bool = False
    denied: int = 0
    callers: Mapping[str, CallersReading] | None = None
    """By link; None where nginx does not note who calls."""
    answers: Mapping[str, int] = field(default_factory=dict)
    rotations: Mapping[tuple[str, Result], int] = field(default_factory=dict)
    handshake_failures: Mapping[tuple[str, str], int] = field(default_factory=dict)
    token_outage: bool | None = None
    """None where no key is in a token."""
    token_restarts: int = 0
    unread_log_bytes: int = 0
    hook_failures: int = 0


def exposition(readings: Readings, accept: str) -> tuple[bytes, str]:
    """The text and its media type: OpenMetrics or Prometheus' older text, as `accept` (the request's Accept
    header) asks."""
    from prometheus_client.exposition import choose_encoder

    encode, media_type = choose_encoder(accept)
    return encode(_Collected(readings)), media_type


class _Collected:
    """What prometheus-client's encoders ask for their families."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        return families(self._readings)


def families(readings: Readings) -> Iterator[Metric]:
    """All of them, in the order in which they are written."""
    yield from _builds(readings)
    yield from _state(readings)
    yield _links(readings)
    yield from _callers(readings)
    yield _renewals(readings)
    yield from _ends(readings)
    yield from _counts(readings)


def _builds(readings: Readings) -> Iterator[Metric]:
    from prometheus_client.metrics_core import InfoMetricFamily

    yield InfoMetricFamily(
        "handclasp_build",
        "The agent's version and the Python it runs in.",
        {"version": readings.version, "python": readings.python},
    )
    yield InfoMetricFamily(
        "handclasp_nginx",
        "The nginx that carries the traffic, and its TLS library.",
        {"version": readings.nginx_version, "tls": readings.tls_library},
    )


def _state(readings: Readings) -> Iterator[Metric]:
    yield _gauge(
        "handclasp_start_time_seconds", "When the agent started.", readings.started.timestamp()
    )
    yield _gauge(
        "handclasp_ready",
        "1 when nginx serves, with all of its keys and no expired identity (/readyz).",
        readings.ready,
    )
    yield _gauge(
        "handclasp_nginx_serving", "1 when nginx serves the plan in effect.", readings.serving
    )
    yield _gauge("handclasp_nginx_workers", "Worker processes of nginx.", readings.workers)
    yield _gauge(
        "handclasp_generation", "Number of the configuration in effect.", readings.generation
    )
    yield _gauge(
        "handclasp_refused_change",
        "1 when the spec on disk was refused and an older one is in effect.",
        readings.refused_change,
    )
    yield _gauge(
        "handclasp_material_not_taken",
        "Identities and trusts whose new files were not taken; the old ones are served on.",
        readings.not_taken,
    )
    yield _gauge(
        "handclasp_lists_problem",
        "1 when a revocation list on disk could not be taken.",
        readings.lists_problem,
    )
    yield _gauge("handclasp_denied_certificates", "Certificates denied by hand.", readings.denied)
    if readings.token_outage is not None:
        yield _gauge(
            "handclasp_token_outage",
            "1 when a key in a token does not work.",
            readings.token_outage,
        )
        yield _counter(
            "handclasp_token_restarts",
            "Restarts of nginx because a token was back.",
            readings.token_restarts,
        )


def _links(readings: Readings) -> Metric:
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(
        "handclasp_link_up",
        "1 when the link is served and nothing is known that makes its requests fail.",
        labels=("link", "kind"),
    )
    for link in readings.links:
        family.add_metric((link.name, link.kind), int(link.up))
    return family


def _callers(readings: Readings) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    if readings.callers is None:
        return
    in_use = GaugeMetricFamily(
        "handclasp_callers",
        "Certificates that callers presented in the last day and that are in force.",
        labels=("link",),
    )
    ending = GaugeMetricFamily(
        "handclasp_callers_ending", "Those of them whose end is near.", labels=("link",)
    )
    soonest = GaugeMetricFamily(
        "handclasp_caller_not_after_timestamp_seconds",
        "When the first of them ends.",
        labels=("link",),
    )
    for link, reading in readings.callers.items():
        in_use.add_metric((link,), reading.in_use)
        ending.add_metric((link,), reading.ending)
        if reading.soonest is not None:
            soonest.add_metric((link,), reading.soonest.timestamp())
    yield from (in_use, ending, soonest)


def _renewals(readings: Readings) -> Metric:
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(
        "handclasp_renewal_failing",
        "1 when the issuer of an identity gave no new certificate the last time it was asked.",
        labels=("identity", "issuer"),
    )
    for values, failing in readings.renewals.items():
        family.add_metric(values, int(failing))
    return family


def _ends(readings: Readings) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    labels = ("kind", "name", "subject")
    ends = GaugeMetricFamily(
        "handclasp_certificate_not_after_timestamp_seconds",
        "When a certificate in use ends (notAfter), or a revocation list (nextUpdate).",
        labels=labels,
    )
    warned = GaugeMetricFamily(
        "handclasp_certificate_warning_timestamp_seconds",
        "From when on the agent warns of that end.",
        labels=labels,
    )
    critical = GaugeMetricFamily(
        "handclasp_certificate_critical_timestamp_seconds",
        "From when on it is critical.",
        labels=labels,
    )
    for one in readings.expiring:
        values = one.kind, one.name, one.subject
        own = readings.limits.of(one.lifetime, renewed=one.renewed)
        ends.add_metric(values, one.not_after.timestamp())
        warned.add_metric(values, (one.not_after - own.warn).timestamp())
        critical.add_metric(values, (one.not_after - own.critical).timestamp())
    yield ends
    yield warned
    yield critical


def _counts(readings: Readings) -> Iterator[Metric]:
    """What can happen to a link or identity of the plan begins at 0: a rate has to see the first time."""
    from prometheus_client.metrics_core import CounterMetricFamily

    rotations = CounterMetricFamily(
        "handclasp_rotations",
        "Identities replaced, or put back because what was new did not prove itself.",
        labels=("identity", "result"),
    )
    zeros = {(name, result): 0 for name in readings.identities for result in RESULTS}
    for (name, result), count in {**zeros, **readings.rotations}.items():
        rotations.add_metric((name, result), count)
    yield rotations
    failures = CounterMetricFamily(
        "handclasp_handshake_failures",
        "Handshakes that failed, by what nginx's error log tells for certain.",
        labels=("link", "cause"),
    )
    none = {(link.name, UNKNOWN_CAUSE): 0 for link in readings.links}
    for values, count in {**none, **readings.handshake_failures}.items():
        failures.add_metric(values, count)
    yield failures
    answers = CounterMetricFamily(
        "handclasp_caller_answers",
        "Answers to nginx about callers, by reason; nginx remembers them for a while.",
        labels=("reason",),
    )
    for reason, count in {**dict.fromkeys(map(str, Reason), 0), **readings.answers}.items():
        answers.add_metric((str(reason),), count)
    yield answers
    yield _counter(
        "handclasp_error_log_unread_bytes",
        "Bytes of nginx's error log that came faster than they are read: failures not counted.",
        readings.unread_log_bytes,
    )
    yield _counter(
        "handclasp_event_hook_failures",
        "Programs of on_event that failed, took too long or could not be run.",
        readings.hook_failures,
    )


def _gauge(name: str, about: str, value: float) -> Metric:
    from prometheus_client.metrics_core import GaugeMetricFamily

    return GaugeMetricFamily(name, about, value=float(value))


def _counter(name: str, about: str, value: int) -> Metric:
    from prometheus_client.metrics_core import CounterMetricFamily

    return CounterMetricFamily(name, about, value=value)
