"""The log of callers: where it stands in what is rendered, and where it does not."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.nginx.render import render
from tests.nginx.configuration_tree import Node, expanded
from tests.nginx.planning import DISTRIBUTION, LAYOUT, WHEEL, Planner, egress, ingress

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = "/state/nginx/logs/callers.log"


def callers_logs(root: Node) -> list[Node]:
    return [node for node in root.walk() if node.name == "access_log" and node.values[0] == LOG]


def text(*, build: str = DISTRIBUTION, **top: Any) -> Node:
    return expanded(Planner(build).text(egress(), ingress=[ingress()], **top))


@pytest.mark.parametrize("build", [DISTRIBUTION, WHEEL])
def test_callers_are_noted_on_ingress_links_once_per_connection(build: str) -> None:
    root = text(build=build)
    (server,) = [node for node in servers(root) if callers_logs(node)]
    assert server.values_of("access_log")[-1] == (
        *(LOG, "hc_callers_api", "buffer=8k", "flush=1s", "if=$hc_first_of_connection"),
    )
    (first,) = [node for node in root.all("map") if node.values[1] == "$hc_first_of_connection"]
    assert first.values[0] == "$connection_requests:$ssl_client_verify"
    assert [(node.name, node.values) for node in first.children] == [
        ("default", ("",)),
        ("1:SUCCESS", ("1",)),
    ]


def test_they_are_noted_beside_what_the_access_log_says() -> None:
    for access, beside in (("refused", 1), ("all", 1), ("off", 0)):
        root = text(log={"access": access})
        (server,) = [node for node in servers(root) if callers_logs(node)]
        logs = server.values_of("access_log")
        assert len(logs) == 1 + beside
        assert ("off",) not in logs, "it would switch off both"


def servers(root: Node) -> Iterator[Node]:
    return (node for node in root.walk() if node.name == "server")


def test_answers_to_grpc_callers_note_them_too() -> None:
    """A location with an access log of its own inherits none."""
    link = ingress(backend="grpc://127.0.0.1:50051")
    root = expanded(Planner().text(ingress=[link]))
    own = [node for node in root.walk() if node.name == "location" and node.all("access_log")]
    assert own
    assert all(callers_logs(node) for node in own)


def test_nobody_is_noted_where_that_is_not_wanted() -> None:
    root = text(log={"callers": False})
    assert callers_logs(root) == []
    assert "hc_callers_api" not in str(root)
    assert "$hc_first_of_connection" not in str(root)


def test_an_installation_of_somebody_else_notes_nobody() -> None:
    planner = Planner()
    place = PurePosixPath("/elsewhere")
    files = render(planner.plan(ingress=[ingress()]), planner.facts, LAYOUT, include_base=place)
    assert LOG not in str(files)
    assert "hc_first_of_connection" not in str(files)
    existing = {"mode": "existing", "reload": ["true"]}
    assert not planner.plan(ingress=[ingress()], nginx=existing).callers_log
