"""What an egress link is decided to be, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.nginx.planning import DISTRIBUTION, UNPRIVILEGED, WHEEL, Planner, egress

if TYPE_CHECKING:
    from handclasp.nginx.parts import Machine

WITHOUT_CONF_COMMAND = "debian-11-1.18.0"


def slugs(planner: Planner, *links: dict[str, Any], **more: Any) -> dict[str, str]:
    return {
        finding.slug: finding.where.path or ""
        for finding in planner.result(*links, **more).findings
        if finding.severity == "error"
    }


@pytest.mark.parametrize(
    ("tls", "path"),
    [
        ({"groups": ["X25519"]}, "egress[0].tls.groups"),
        ({"ciphers": ["TLS_AES_128_GCM_SHA256"]}, "egress[0].tls.ciphers"),
        ({"ciphers": ["ECDHE-ECDSA-AES128-GCM-SHA256"]}, None),
        ("intermediate", None),
    ],
    ids=str,
)
def test_what_a_build_cannot_do_is_refused_instead_of_left_out(tls: Any, path: str | None) -> None:
    refused = slugs(Planner(WITHOUT_CONF_COMMAND), egress(tls=tls))
    assert refused.get("nginx-feature-missing", "none").startswith(path or "none")
    assert "nginx-feature-missing" not in slugs(Planner(DISTRIBUTION), egress(tls=tls))


def test_the_policy_at_the_top_and_of_a_route_is_checked_too() -> None:
    groups = {"groups": ["X25519"]}
    found = slugs(Planner(WITHOUT_CONF_COMMAND), egress(), tls=groups)
    assert found["nginx-feature-missing"].startswith("tls.groups")
    route = {"path": "/x/", "tls": groups}
    found = slugs(Planner(WITHOUT_CONF_COMMAND), egress(routes=[route]))
    assert "routes[0].tls.groups" in found["nginx-feature-missing"]


def test_the_age_of_pooled_connections_is_refused_where_it_would_not_hold() -> None:
    """Without being written it is left to `keepalive_requests` there."""
    aged = {"age": "5m"}
    old = Planner(WITHOUT_CONF_COMMAND)
    assert slugs(old, egress(pool={"size": 8})) == {}
    assert slugs(old, egress(pool=aged))["nginx-feature-missing"] == "egress[0].pool.age"
    routes = [{"path": "/x/"}, {"path": "/y/", "pool": aged}]
    refused = slugs(old, egress(routes=routes))["nginx-feature-missing"]
    assert refused == "egress[0].routes[1].pool.age"
    assert slugs(Planner(DISTRIBUTION), egress(pool=aged, routes=routes)) == {}


def test_a_route_takes_what_it_does_not_state_from_the_link_but_never_its_name() -> None:
    routes = [
        {"path": "/same/"},
        {"path": "/other/", "upstream": "https://b.example.com", "identity": "svc-x"},
    ]
    planner = Planner(DISTRIBUTION)
    plan = planner.plan(egress(routes=routes), addresses={"b.example.com": ("192.0.2.9",)})
    by_path = {route.path: route for route in plan.egress[0].routes}
    assert by_path["/"].upstream == by_path["/same/"].upstream
    other = next(one for one in plan.upstreams if one.name == by_path["/other/"].upstream)
    assert other.tls is not None
    assert (other.tls.name, other.tls.identity) == ("b.example.com", "svc-x")
    assert by_path["/other/"].host == "b.example.com"


def test_the_path_without_the_slash_goes_where_the_next_shorter_route_goes() -> None:
    routes = [
        {"path": "/a/", "identity": "svc-x"},
        {"path": "/a/b/", "trust": "others"},
        {"path": "/c/", "identity": "svc-x"},
        {"path": "/c", "trust": "others"},
    ]
    plan = Planner().plan(egress(routes=routes))
    served = {(route.path, route.exact): route.upstream for route in plan.egress[0].routes}
    assert served["/a", True] == served["/", False]
    assert served["/a/b", True] == served["/a/", False]
    assert ("/c", True) not in served


def test_a_route_for_everything_replaces_the_links_own() -> None:
    plan = Planner().plan(egress(routes=[{"path": "/", "identity": "svc-x"}]))
    (route,) = plan.egress[0].routes
    assert plan.upstreams[0].tls is not None
    assert (route.path, plan.upstreams[0].tls.identity) == ("/", "svc-x")


@pytest.mark.parametrize(
    ("machine", "link", "looked_up"),
    [
        (UNPRIVILEGED, {}, True),
        (UNPRIVILEGED, {"rotation": "reload"}, False),
        (UNPRIVILEGED, {"session_reuse": True}, False),
        (replace(UNPRIVILEGED, is_root=True), {}, False),
        (replace(UNPRIVILEGED, is_root=True, dedicated=True), {}, True),
    ],
)
def test_identities_are_read_per_handshake_only_where_that_is_safe(
    machine: Machine, link: dict[str, Any], looked_up: bool
) -> None:
    plan = Planner(DISTRIBUTION, machine).plan(egress(**link))
    assert plan.lookups == (("svc-b",) if looked_up else ())
    assert Planner(WITHOUT_CONF_COMMAND, machine).plan(egress(**link)).lookups == ()


def test_an_unresolvable_name_marks_its_own_route_down_with_a_warning() -> None:
    links = [
        egress("down", upstream="https://nowhere.example", verify={}),
        egress("up"),
        egress(
            "partly",
            upstream=["https://nowhere.example", {"url": "https://192.0.2.3", "backup": True}],
        ),
    ]
    result = Planner(DISTRIBUTION).result(*links)
    assert result.plan is not None
    down, up, partly = result.plan.egress
    assert down.routes[0].upstream is None
    assert down.routes[0].reason == "upstream name nowhere.example cannot be resolved"
    assert up.routes[0].upstream
    (group,) = (one for one in result.plan.upstreams if one.name == partly.routes[0].upstream)
    assert [server.backup for server in group.servers] == [False]
    warned = [one.where.path for one in result.findings if one.slug == "upstream-unresolvable"]
    assert len(warned) == 2
    assert result.plan.resolved_names == ("nowhere.example",)


def test_a_name_nginx_will_follow_is_warned_of_unless_other_nameservers_are_named() -> None:
    link = egress(upstream="https://nowhere.example", verify={})
    for resolver, warned in (({}, True), ({"addresses": ["192.0.2.1"]}, False)):
        result = Planner(WHEEL).result(link, resolver=resolver)
        assert result.plan is not None
        assert result.plan.egress[0].routes[0].upstream
        assert ("upstream-unresolvable" in {one.slug for one in result.findings}) == warned


@pytest.mark.parametrize(
    ("link", "hosts"),
    [
        ({}, {"localhost", "127.0.0.1", "[::1]", "servera.example.com"}),
        (
            {"listen": "[2001:db8::1]:80", "expose": True, "accept_hosts": ["a.internal"]},
            {
                *("localhost", "127.0.0.1", "[::1]", "servera.example.com"),
                *("[2001:db8::1]", "a.internal"),
            },
        ),
        ({"accept_hosts": ["*", "a.internal"]}, {"*"}),
    ],
)
def test_the_hosts_answered_are_those_of_this_machine_and_the_upstream(
    link: dict[str, Any], hosts: set[str]
) -> None:
    assert set(Planner().plan(egress(**link)).egress[0].hosts) == hosts
