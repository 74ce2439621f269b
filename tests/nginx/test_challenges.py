"""Where challenges of ACME servers are answered: in the plan and in the configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from handclasp.nginx.render import render
from tests.nginx.configuration_tree import Node, expanded
from tests.nginx.planning import DISTRIBUTION, LAYOUT, UNPRIVILEGED, WHEEL, Planner, egress, ingress

WHERE = "192.0.2.1:80"
REDIRECTING = [
    ingress("a", redirect={"listen": WHERE}),
    ingress("b", redirect={"listen": WHERE}),
]


def acme(listen: str = WHERE) -> dict[str, Any]:
    return {
        "type": "acme",
        "directory": "https://acme.example.com/directory",
        "listen": listen,
        "expose": True,
    }


def plain_servers(http: Node) -> list[Node]:
    return [
        one for one in http.all("server") if any(WHERE in line for line in one.values_of("listen"))
    ]


@pytest.mark.parametrize("build", [DISTRIBUTION, WHEEL])
def test_two_issuers_at_one_address_are_one_server_that_gives_tokens_alone(build: str) -> None:
    issuers = {"web": acme(), "other": acme(), "more": acme("192.0.2.2:80")}
    planner = Planner(build)
    assert [str(one) for one in planner.plan(egress(), issuers=issuers).challenges] == [
        "192.0.2.1:80",
        "192.0.2.2:80",
    ]
    (server,) = plain_servers(expanded(planner.text(egress(), issuers=issuers)))
    assert server.one("listen") == (WHERE, "default_server")
    tokens, rest = server.all("location")
    assert tokens.one("alias") == ("/state/acme-challenges/$hc_token",)
    assert tokens.one("disable_symlinks") == ("on", "from=/state/acme-challenges")
    assert (rest.values, rest.one("return")) == (("/",), ("404",))


def test_on_a_listener_of_redirects_every_server_answers_before_it_redirects() -> None:
    servers = plain_servers(expanded(Planner().text(ingress=REDIRECTING, issuers={"web": acme()})))
    assert [server.one("server_name") for server in servers] == [
        ("_",),
        ("a.example.com",),
        ("b.example.com",),
    ]
    assert [len(server.values_of("return")) for server in servers] == [0, 0, 0]
    for server, status in zip(servers, ("421", "308", "308"), strict=True):
        tokens, rest = server.all("location")
        assert tokens.one("alias") == ("/state/acme-challenges/$hc_token",)
        assert rest.one("return")[0] == status


def test_redirects_without_challenges_have_no_location() -> None:
    servers = plain_servers(expanded(Planner().text(ingress=REDIRECTING)))
    assert [server.one("return")[0] for server in servers] == ["421", "308", "308"]
    assert not any(server.all("location") for server in servers)


@pytest.mark.parametrize("links", [[], REDIRECTING], ids=["alone", "shared"])
def test_in_an_existing_nginx_its_settings_are_kept_out(links: list[dict[str, Any]]) -> None:
    planner = Planner()
    plan = planner.plan(ingress=links or [ingress()], issuers={"web": acme()})
    text = render(plan, planner.facts, LAYOUT, include_base=LAYOUT.root / "g")["redirects.conf"]
    assert (
        text.count("include /state/g/inherited.conf;")
        == text.count("alias ")
        == (3 if links else 1)
    )


def test_an_address_for_challenges_takes_a_connection_of_each_worker() -> None:
    def told(open_files: int) -> list[str]:
        planner = Planner(machine=replace(UNPRIVILEGED, open_files=open_files))
        findings = planner.result(egress(), issuers={"web": acme()}).findings
        return [one.slug for one in findings if one.slug == "open-files-limit"]

    assert told(132) == []
    assert told(131) == ["open-files-limit"]
