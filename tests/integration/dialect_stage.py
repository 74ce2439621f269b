"""Links that write every dialect, and what their backend is told."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests import pki
from tests.integration.authorizer_stage import (
    WITHOUT_HAPROXY,
    WITHOUT_X_SSL_CERT,
)
from tests.integration.ingress_stage import (
    NAMES,
    RecordingBackend,
    Stage,
    link,
    ports,
    running_stage,
    spec_of,
)
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.running import Material
    from tests.integration.servers import Seen

DIALECTS_OF = {
    "all": WITHOUT_X_SSL_CERT,
    "legacy": WITHOUT_HAPROXY,
    "guarded": WITHOUT_X_SSL_CERT,
    "optional": WITHOUT_X_SSL_CERT,
    "admins": WITHOUT_X_SSL_CERT,
    "single": ("rfc9440",),
}
"""Links, each NAME.example.com, with what they write."""
EVERY_LINK = list(DIALECTS_OF)
MAIN = "guarded.example.com"


@contextlib.contextmanager
def every_dialect(material: Material, nginx: Path, name: str) -> Iterator[Stage]:
    """`all` and `legacy` let every certificate in, `admins` that of admin, the others svc-b's;
    `recorded` is `guarded` before a backend that keeps every byte."""
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    material.add("admin", sans=["admin.internal", "uri:spiffe://admin"])
    (port,) = ports(1)
    listen = f"127.0.0.1:{port}"
    named: dict[str, object] = {"trust": "company", "allow": ["dns:svc-b.internal"]}
    clients = {
        "all": {"trust": "company", "allow": "any"},
        "legacy": {"trust": "company", "allow": "any"},
        "guarded": named,
        "optional": {**named, "verify": "optional"},
        "admins": {"trust": "company", "allow": ["dns:admin.internal"]},
        "single": named,
    }
    with Backend() as backend, RecordingBackend() as recorder:
        url = f"http://127.0.0.1:{backend.port}"
        links = [
            link(one, listen, url, clients=clients[one], forward=list(DIALECTS_OF[one]))
            for one in EVERY_LINK
        ]
        recorded = f"http://127.0.0.1:{recorder.port}"
        links.append(
            link("recorded", listen, recorded, clients=named, forward=list(WITHOUT_X_SSL_CERT))
        )
        for one in links:
            one["limits"] = {"header": "64k"}
        servers = {"backend": backend, "recorder": recorder}
        spec = spec_of(material, links, log={"access": "all"})
        with running_stage(material, nginx, name, spec, port, **servers) as running:
            yield running


def last(stage: Stage) -> Seen:
    seen: Seen = stage.extra["backend"].last
    return seen


def arrivals(stage: Stage) -> int:
    return len(stage.extra["backend"].seen)


def host(link_name: str) -> str:
    return f"{link_name}.example.com"


def admitted(link_name: str) -> str:
    return "admin" if link_name == "admins" else "svc-b"
