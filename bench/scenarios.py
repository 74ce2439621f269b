"""What is asked of the subjects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.model import Role

Upstream = Literal["fresh", "resuming", "plain"]
Entry = Literal["direct", "pooled", "handshake"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load.

    `upstream`: which server is behind the proxy; fresh and resuming are mutual TLS without and
    with session resumption. `entry`: how the load reaches the proxy; pooled and handshake go
    through a tunnel that brings the client certificate. `close`: the client asks for a new
    connection per request. `upload`: requests carry a body of 1 MiB.
    """

    name: str
    role: Role
    title: str
    path: str
    upstream: Upstream
    entry: Entry
    subjects: tuple[str, ...]
    close: bool = False
    upload: bool = False
    connections: int = 32


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "egress-keepalive",
        "egress",
        "Egress, keep-alive, small answers",
        "/small",
        "fresh",
        "direct",
        ("handclasp", "handclasp-wheel", "seed", "haproxy", "caddy", "envoy", "floor"),
    ),
    Scenario(
        "egress-connect",
        "egress",
        "Egress, a client connection per request, upstream that resumes no sessions",
        "/small",
        "fresh",
        "direct",
        ("handclasp", "handclasp-wheel", "seed", "haproxy", "caddy"),
        close=True,
    ),
    Scenario(
        "egress-connect-resuming",
        "egress",
        "Egress, a client connection per request, upstream that resumes sessions",
        "/small",
        "resuming",
        "direct",
        ("handclasp", "seed"),
        close=True,
    ),
    Scenario(
        "egress-1mib",
        "egress",
        "Egress, answers of 1 MiB",
        "/1m",
        "fresh",
        "direct",
        ("handclasp", "handclasp-wheel", "seed", "haproxy", "caddy", "envoy", "floor"),
    ),
    Scenario(
        "egress-upload-1mib",
        "egress",
        "Egress, requests of 1 MiB",
        "/sink",
        "fresh",
        "direct",
        ("handclasp", "handclasp-wheel", "seed", "haproxy"),
        upload=True,
    ),
    Scenario(
        "ingress-keepalive",
        "ingress",
        "Ingress, keep-alive, small answers, certificate forwarded, identity headers removed",
        "/small",
        "plain",
        "pooled",
        (
            "handclasp",
            "handclasp-asking",
            "handclasp-wheel",
            "handclasp-asking-wheel",
            "stock",
            "haproxy",
            "caddy",
        ),
    ),
    Scenario(
        "ingress-handshake",
        "ingress",
        "Ingress, a full TLS 1.3 handshake per request",
        "/small",
        "plain",
        "handshake",
        (
            "handclasp",
            "handclasp-lookup",
            "stock",
            "handclasp-wheel",
            "handclasp-lookup-wheel",
            "stock-wheel",
            "haproxy",
            "caddy",
        ),
    ),
    Scenario(
        "ingress-1mib",
        "ingress",
        "Ingress, answers of 1 MiB",
        "/1m",
        "plain",
        "pooled",
        ("handclasp", "handclasp-wheel", "stock", "haproxy", "caddy"),
    ),
)
