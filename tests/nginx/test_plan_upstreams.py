"""One upstream block stands for one connection policy: the same policy the same block, another never."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handclasp.nginx.parts import Server
from handclasp.nginx.plan_upstreams import without_idle_backups
from tests.nginx.planning import DISTRIBUTION, WHEEL, Planner, egress

# Every key that must keep connections apart, with values that all differ from each other.
POLICY: dict[str, list[Any]] = {
    "upstream": [
        "https://192.0.2.1",
        "https://192.0.2.2",
        "https://192.0.2.1:8443",
        "https://[2001:db8::1]",
        "https://unix:/run/up.sock",
        ["https://192.0.2.1", "https://192.0.2.2"],
        [{"url": "https://192.0.2.1", "max_fails": 2}],
        [{"url": "https://192.0.2.1", "fail_timeout": "3s"}],
    ],
    "identity": ["svc-b", "svc-x"],
    "trust": ["company", "others", "revoking"],
    "verify": [
        {"name": "a.example.com"},
        {"name": "b.example.com"},
        {"name": "a-example.com"},
        {"name": "a.example.com", "depth": 2},
    ],
    "tls": [
        "intermediate",
        "modern",
        {"ciphers": ["ECDHE-ECDSA-AES128-GCM-SHA256"]},
        {"ciphers": ["TLS_AES_256_GCM_SHA384"]},
        {"groups": ["X25519"]},
        {"groups": ["prime256v1"]},
    ],
    "session_reuse": [False, True],
    "rotation": ["auto", "reload"],
    "insecure_accept_any": [False, True],
    "balance": ["round-robin", "least-connections", "random"],
    "pool": [{}, {"size": 7}, {"idle": "1s"}, {"requests": 9}, {"age": "5s"}],
}
# Keys that are a link's own business.
FREE: dict[str, list[Any]] = {
    "tries": [1, 3],
    "buffering": [True, False],
    "host": ["upstream", "preserve"],
    "accept_hosts": [[], ["orders.internal"]],
    "timeouts": [{}, {"read": "9s"}],
    "limits": [{}, {"body": "1m"}],
}


def choices(keys: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({key: st.sampled_from(values) for key, values in keys.items()})


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two links are of one policy, judged by what they say."""
    if one == other:
        return True
    # Session reuse takes an identity out of the per-handshake lookup, as `rotation: reload` does.
    effect = [
        {**link, "rotation": "reload"} if link["session_reuse"] else dict(link)
        for link in (one, other)
    ]
    for link in effect:
        if link["insecure_accept_any"]:
            link["trust"] = None
    return effect[0] == effect[1]


@settings(max_examples=150, deadline=None)
@given(choices(POLICY), choices(POLICY), choices(FREE), choices(FREE))
def test_links_share_an_upstream_block_exactly_when_their_policies_are_equal(
    one: dict[str, Any], other: dict[str, Any], free: dict[str, Any], freely: dict[str, Any]
) -> None:
    for second in (other, one):
        plan = Planner().plan(egress("a", **one, **free), egress("b", **second, **freely))
        names = [server.routes[0].upstream for server in plan.egress]
        assert (names[0] == names[1]) == same(one, second)
        assert {upstream.name for upstream in plan.upstreams} == set(names)


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key, values in POLICY.items() for value in values[1:]],
    ids=str,
)
def test_each_key_of_a_policy_alone_keeps_connections_apart(key: str, value: Any) -> None:
    usual = {name: values[0] for name, values in POLICY.items()}
    plan = Planner().plan(egress("a", **usual), egress("b", **{**usual, key: value}))
    assert len(plan.upstreams) == 2


def test_the_same_spec_gives_the_same_bytes() -> None:
    links = [egress("a"), egress("b", identity="svc-x"), egress("c", trust="others")]
    assert Planner().text(*links) == Planner().text(*links)
    forth, back = Planner().text(*links), Planner().text(*reversed(links))
    assert forth["link-a.conf"] == back["link-a.conf"]


def test_names_of_upstreams_and_identities_do_not_collide_when_sanitised() -> None:
    """A name has no underscore, so hyphens can become underscores one to one."""
    from handclasp.errors import HandclaspError
    from handclasp.nginx.render.context import identity_variable

    assert identity_variable("svc-b") == "$hc_id_svc_b"
    with pytest.raises(HandclaspError):
        Planner().plan(egress("a_b"))
    plan = Planner().plan(
        egress("a", verify={"name": "a-b.example"}), egress("b", verify={"name": "a.b.example"})
    )
    assert len(plan.upstreams) == 2


@pytest.mark.parametrize(
    ("build", "name", "hosts", "resolver", "followed"),
    [
        (WHEEL, "up.example.com", (), {}, True),
        (DISTRIBUTION, "up.example.com", (), {}, False),
        (WHEEL, "up", (), {}, False),  # a search domain would be needed
        (WHEEL, "up.example.com", ("up.example.com",), {}, False),
        (WHEEL, "x.localhost", (), {}, False),
    ],
)
def test_nginx_follows_a_name_only_where_dns_alone_decides(
    build: str, name: str, hosts: tuple[str, ...], resolver: dict[str, Any], followed: bool
) -> None:
    from dataclasses import replace

    from tests.nginx.planning import UNPRIVILEGED

    machine = replace(UNPRIVILEGED, hosts_file_names=frozenset(hosts))
    plan = Planner(build, machine).plan(
        egress(upstream=f"https://{name}", verify={}),
        addresses={name: ("192.0.2.7", "2001:db8::7")},
        resolver=resolver,
    )
    servers = [server.address for server in plan.upstreams[0].servers]
    assert servers == ([f"{name}:443"] if followed else ["192.0.2.7:443", "[2001:db8::7]:443"])
    assert plan.resolved_names == (() if followed else (name,))


def test_backups_become_ordinary_servers_only_when_nothing_else_is_left() -> None:
    backup, ordinary = Server("192.0.2.1:1", backup=True), Server("192.0.2.2:1")
    assert without_idle_backups((backup, ordinary)) == (backup, ordinary)
    assert without_idle_backups((backup,)) == (Server("192.0.2.1:1"),)
    assert without_idle_backups(()) == ()
