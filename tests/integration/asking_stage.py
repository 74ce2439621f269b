"""Links that ask the agent, with a stand-in before its socket."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests import pki
from tests.integration.authorizer_stage import (
    WITHOUT_X_SSL_CERT,
    StandIn,
    assert_caller_is,
    pair_of,
)
from tests.integration.ingress_stage import (
    NAMES,
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

    from tests.integration.ingress_stage import Answer
    from tests.integration.running import Material

FULL, BARE, OPEN, PAGES = (f"{one}.example.com" for one in ("full", "bare", "open", "pages"))
SVC_B = ["dns:svc-b.internal"]


@contextlib.contextmanager
def asking(material: Material, nginx: Path, name: str) -> Iterator[Stage]:
    """`full` writes every dialect and `bare` none, for svc-b; `open` takes all certificates, large ones
    too; `pages` has a rule of its own for /admin/."""
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    (port,) = ports(1)
    listen = f"127.0.0.1:{port}"
    clients = {"trust": "company", "allow": SVC_B}
    with Backend() as backend:
        url = f"http://127.0.0.1:{backend.port}"
        links = [
            link("full", listen, url, clients=clients, forward=list(WITHOUT_X_SSL_CERT)),
            link("bare", listen, url, clients=clients, forward=[]),
            link(
                "open",
                listen,
                url,
                clients={"trust": "company", "allow": "any", "certificate_size": "64k"},
                forward=["handclasp"],
            ),
            link(
                "pages",
                listen,
                url,
                clients={
                    **clients,
                    "rules": [{"path": "/"}, {"path": "/admin/", "allow": ["dns:admin.internal"]}],
                },
                forward=[],
            ),
        ]
        for one in links:
            one["limits"] = {"header": "64k"}
        spec = spec_of(material, links, log={"access": "all"})
        with (
            running_stage(material, nginx, name, spec, port, backend=backend) as running,
            StandIn(running.running.state / "ask" / "sock") as stand_in,
        ):
            running.extra["agent"] = stand_in
            yield running


def agent(stage: Stage) -> StandIn:
    stand_in: StandIn = stage.extra["agent"]
    return stand_in


def arrivals(stage: Stage) -> int:
    return len(stage.extra["backend"].seen)


def get(stage: Stage, who: str, sni: str = FULL, path: str = "/", **more: str) -> Answer:
    return stage.caller.get(path, sni=sni, credentials=stage.pair(who), **more)  # type: ignore[arg-type]


_NUMBER = iter(range(1000))


def newcomer(stage: Stage, *sans: str) -> str:
    """A certificate that nobody was asked about before."""
    who = f"new-{next(_NUMBER)}"
    stage.material.add(who, sans=sans or ["svc-b.internal"], key_label="same")
    return who


def assert_who(stage: Stage, who: str) -> None:
    assert_caller_is(stage.extra["backend"].last, pair_of(stage.material, who), WITHOUT_X_SSL_CERT)
