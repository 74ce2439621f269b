"""The text of ingress links: what must be in it for any spec on any build, and what must never be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handclasp.backend.dialects import DIALECTS, stripped_headers
from handclasp.nginx.features import Feature
from handclasp.nginx.parts import Machine
from tests.nginx.configuration_tree import Node, expanded
from tests.nginx.planning import DISTRIBUTION, WHEEL, Planner, ingress
from tests.nginx.recorded_builds import USABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

BUILDS = [name for name in USABLE if not name.startswith(("aws-lc", "boringssl"))]
SHARED_ROOT = Machine(
    processors=2, open_files=4096, is_root=True, worker_user="www-data", worker_group="www-data"
)
TLS = {"trust": "company", "identity": "svc-b", "verify": {"name": "b.example.com"}}


def link_keys() -> st.SearchStrategy[dict[str, Any]]:
    """Keys a link may have; those that must agree on one address are left to the fixed cases."""
    rules = st.lists(
        st.sampled_from(
            [
                *("cn:svc-b", "cn:a,b", "dn:CN=svc-b,O=Example Org", "cn:${x}"),
                *("dns:svc-b.internal", "spiffe://example.org/*"),
            ]
        ),
        min_size=1,
        max_size=3,
        unique=True,
    )
    clients = st.fixed_dictionaries(
        {"trust": st.sampled_from(["company", "others", "revoking"])},
        optional={
            "verify": st.sampled_from(["required", "optional"]),
            "depth": st.integers(1, 9),
            "rules": st.sampled_from(
                [
                    [{"path": "/"}, {"path": "/admin/", "methods": ["GET"], "allow": ["cn:root"]}],
                    [{"path": "/a.b/", "allow": ["uri:urn:x"]}],
                ]
            ),
        },
    ).flatmap(
        lambda base: st.one_of(st.just("any"), rules).map(lambda allow: {**base, "allow": allow})
    )
    forward = st.lists(
        st.sampled_from(["x-client-cert", "x-ssl-cert", "rfc9440", "xfcc", "ingress-nginx"]),
        min_size=1,
        unique=True,
    )
    backend: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
        [
            {"backend": "http://127.0.0.1:8000"},
            {"backend": "http://unix:/run/app.sock"},
            {"backend": "https://192.0.2.9:8443", "backend_tls": TLS},
            {"backend": "grpc://127.0.0.1:50051"},
            {"backend": "grpcs://192.0.2.9:50051", "backend_tls": TLS},
        ]
    )
    more = st.fixed_dictionaries(
        {},
        optional={
            "buffering": st.booleans(),
            "rotation": st.sampled_from(["auto", "reload"]),
            "original_certificate": st.sampled_from(
                [{"trusted": ["cn:gateway"]}, {"trusted": ["dns:gateway.internal"]}]
            ),
            "health": st.just({"listen": "192.0.2.1:8081"}),
            "redirect": st.just({"listen": "192.0.2.1:80"}),
            "limits": st.just(
                {"rate": {"requests": 3, "burst": 2}, "connections": 9, "header": "64k"}
            ),
            "real_ip": st.just({"trusted": ["192.0.2.0/24"]}),
        },
    )
    return st.tuples(clients, forward, backend, more).map(
        lambda parts: {"clients": parts[0], "forward": parts[1], **parts[2], **parts[3]}
    )


def rendered(links: Sequence[dict[str, Any]], build: str, **planner: Any) -> Node:
    return expanded(Planner(build, **planner).text(ingress=list(links)))


def links_of(keys: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Links that share one address as far as they may."""
    links: list[dict[str, Any]] = []
    for number, one in enumerate(keys):
        keys_ = dict(one)
        if "health" in one:
            keys_["health"] = {"listen": f"192.0.2.1:{8081 + number}"}
        links.append(ingress(f"link-{number}", **keys_))
    return links


def tls_servers(http: Node) -> tuple[list[Node], list[Node]]:
    """Default servers of TLS addresses, and the links' own."""
    servers = [
        server
        for server in http.all("server")
        if any("ssl" in one for one in server.values_of("listen"))
    ]
    default = [one for one in servers if "default_server" in one.values_of("listen")[0]]
    return default, [one for one in servers if one not in default]


ASKING = ("=", "/.handclasp/authorize")


def passing(node: Node) -> list[Node]:
    """Locations that send requests somewhere else than to the agent."""
    return [
        one
        for one in node.walk()
        if one.name == "location"
        and one.values != ASKING
        and (one.all("proxy_pass") or one.all("grpc_pass"))
    ]


def asks_agent(link: dict[str, Any]) -> bool:
    """Whether nginx cannot decide and write everything by itself."""
    clients, hop = link["clients"], link.get("original_certificate", {})
    rules = [clients["allow"], *(one.get("allow", []) for one in clients.get("rules", []))]
    rules.append(hop.get("trusted", []))
    kinds = {rule.partition(":")[0] for one in rules for rule in one if one != "any"}
    return not kinds <= {"cn", "dn"} or not set(link["forward"]) <= {"x-client-cert", "x-ssl-cert"}


def assert_safe(http: Node, links: Sequence[dict[str, Any]]) -> None:
    """Everything that must hold whatever the spec and the build."""
    default, own = tls_servers(http)
    addresses = [server.one("listen")[0] for server in default]
    assert len(addresses) == len(set(addresses))
    assert {listen[0] for one in own for listen in one.values_of("listen")} == set(addresses)
    assert len(own) == len(links)
    for server in default:
        assert server.one("ssl_verify_client") == ("off",)
        assert server.all("ssl_reject_handshake") or server.all("ssl_certificate")
        assert passing(server) == []
    for server, link in zip(own, links, strict=True):
        verify = link["clients"].get("verify", "required")
        assert server.one("ssl_verify_client") == ("optional" if verify == "optional" else "on",)
        assert server.one("ssl_trusted_certificate") == ("",)
        assert server.one("ssl_client_certificate")[0].startswith("/state/trust/")
        assert bool(server.one("ssl_crl")[0]) == (link["clients"]["trust"] == "revoking")
        rejects = all(one.all("ssl_reject_handshake") for one in default)
        assert_location_is_guarded(server, link, nginx_compares_names=rejects)
    for server in http.all("server"):
        assert_every_request_has_a_handler(server)
        assert server.one("server_tokens") == ("off",)
    for server in default + own:
        assert server.one("ssl_session_tickets") == ("off",)
        assert server.one("ssl_early_data") == ("off",)
        assert server.one("underscores_in_headers") == ("off",)
        assert server.one("ignore_invalid_headers") == ("on",)
    for node in http.walk():
        if node.name in ("proxy_pass", "grpc_pass"):
            assert "$" not in node.values[0]
        assert node.name not in ("alias", "try_files", "autoindex", "stub_status", "dav_methods")
    for location in passing(http):
        assert_headers(location)


def assert_location_is_guarded(
    server: Node, link: dict[str, Any], *, nginx_compares_names: bool
) -> None:
    (root,) = [one for one in server.all("location") if one.values == ("/",)]
    guards = [one.values for one in root.all("if")]
    name = link["name"].replace("-", "_")
    if asks_agent(link):
        assert ("(", f"$hc_too_large_{name}", ")") in guards
        assert_agent_is_asked(server, name)
    else:
        assert ("(", f"$hc_allow_{name}", "=", "0", ")") in guards
        denied = f"/state/denied/$hc_issuer_{name}/$ssl_client_serial"
        assert ("(", "-f", denied, ")") in guards
        assert not any(one.all("auth_request") for one in passing(server))
    if link["clients"].get("rules"):
        assert ("(", f"$hc_rule_{name}", "=", "path-ambiguous", ")") in guards
        assert ("(", f"$hc_uncovered_{name}", ")") in guards
    compares = ("(", "$hc_misdirected", ")")
    assert (guards[0] == compares) is not nginx_compares_names
    # Nothing leads to the backend without passing the guards: other ways in are named locations.
    assert all(one.values[0] in ("/", "@hc_events", "@hc_once") for one in passing(server))


def assert_agent_is_asked(server: Node, name: str) -> None:
    """Before anything is passed on, and what it said is kept under all that it depends on."""
    assert all(one.one("auth_request") == (ASKING[1],) for one in passing(server))
    (asking,) = [one for one in server.all("location") if one.values == ASKING]
    assert asking.all("internal")
    assert asking.one("root") == ("/state/policy/current",)
    (key,) = asking.one("proxy_cache_key")
    parts = ("$hc_policy", "$ssl_client_verify", "$ssl_client_escaped_cert")
    assert key.split("|")[1:] == [f"$hc_rule_{name}", *parts]
    assert asking.one("proxy_cache_use_stale") == ("off",)
    assert asking.one("proxy_pass_request_headers") == ("off",)
    assert asking.one("proxy_pass_request_body") == ("off",)
    assert "X-Accel-Redirect" in asking.one("proxy_ignore_headers")


def assert_every_request_has_a_handler(server: Node) -> None:
    """With a handler in `/` and in each location, nginx's static files are never reached."""
    locations = server.all("location")
    if server.all("return"):
        return
    assert ("/",) in [one.values for one in locations]
    for one in locations:
        assert one.all("return") or one.all("proxy_pass") or one.all("grpc_pass"), one.values
        if one.values[-1].startswith("/.handclasp/"):
            assert one.values[0] == "="
            assert one.all("internal")


def assert_headers(location: Node) -> None:
    """Every name of every dialect is removed, and what is set afterwards is set once."""
    kind = "grpc" if location.all("grpc_pass") else "proxy"
    lines = location.values_of(f"{kind}_set_header")
    removed = {name for name, value in lines if value == ""}
    assert set(stripped_headers()) <= removed
    kept = [name.lower() for name, value in lines if value]
    assert len(kept) == len(set(kept))
    # The first of two lines with one name would win nothing: nginx sends both unless the empty one
    # comes first; ours stand after all that are removed.
    first = next(i for i, (_, value) in enumerate(lines) if value)
    assert all(value for name, value in lines[first:])
    for name, value in lines:
        if name.lower().startswith(("x-client", "x-ssl", "ssl-client")) and value:
            assert value.startswith(("$ssl_client_", "$hc_value_"))


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("machine", ["own", "shared"])
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(keys=st.lists(link_keys(), min_size=1, max_size=3))
def test_whatever_the_spec_the_configuration_is_safe(
    build: str, machine: str, keys: list[dict[str, Any]]
) -> None:
    links = links_of(keys)
    more = {"machine": SHARED_ROOT} if machine == "shared" else {}
    assert_safe(rendered(links, build, **more), links)


def test_the_same_plan_gives_the_same_bytes() -> None:
    links = [ingress("a"), ingress("b", listen="[2001:db8::1]:443")]
    assert Planner().text(ingress=links) == Planner().text(ingress=links)


@pytest.mark.parametrize("build", BUILDS)
def test_an_unknown_name_is_rejected_by_what_the_build_has(build: str) -> None:
    (server,), _ = tls_servers(rendered([ingress()], build))
    if Planner(build).facts.has(Feature.REJECT_HANDSHAKE):
        assert server.one("ssl_reject_handshake") == ("on",)
        assert not server.all("ssl_certificate")
        closing = "421"
    else:
        assert "reject.internal" in server.one("ssl_certificate")[0]
        closing = "444"
    (root,) = [one for one in server.all("location") if one.values == ("/",)]
    assert root.one("return") == (closing,)


def test_the_address_gives_as_much_time_for_the_handshake_as_its_most_patient_link() -> None:
    links = [ingress("a", timeouts={"header": "7s"}), ingress("b", timeouts={"header": "9s"})]
    (server,), own = tls_servers(rendered(links, DISTRIBUTION))
    assert server.one("client_header_timeout") == ("9s",)
    assert [one.one("client_header_timeout") for one in own] == [("7s",), ("9s",)]


def test_sessions_are_kept_by_the_address_and_forgotten_with_what_they_stand_for() -> None:
    again = {"session_reuse": True, "session_lifetime": "3m"}
    links = [ingress("a", **again), ingress("b", **again)]
    (server,), own = tls_servers(rendered(links, WHEEL))
    (zone,) = server.one("ssl_session_cache")
    assert zone.startswith("shared:hc_tls_")
    assert server.one("ssl_session_timeout") == ("180s",)
    assert all(one.one("ssl_session_cache") == (zone,) for one in own)
    clients = {"trust": "revoking", "allow": "any"}
    changed = [ingress(name, **again, clients=clients) for name in ("a", "b")]
    (other,), _ = tls_servers(rendered(changed, WHEEL))
    assert other.one("ssl_session_cache") != (zone,)


def test_no_session_is_kept_unless_asked() -> None:
    default, own = tls_servers(rendered([ingress("a"), ingress("b")], WHEEL))
    assert {one.one("ssl_session_cache") for one in default + own} == {("off",)}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"tls": "modern"}, "TLS versions"),
        ({"tls": {"groups": ["secp384r1"]}}, "groups"),
        ({"http2": False}, "http2"),
        ({"session_reuse": True}, "session_reuse"),
    ],
)
def test_what_an_address_decides_once_may_not_differ_among_its_links(
    keys: dict[str, Any], told: str
) -> None:
    planner = Planner("debian-11-1.18.0" if told == "TLS versions" else "ubuntu-24.04-1.24.0")
    findings = planner.result(ingress=[ingress("a"), ingress("b", **keys)]).findings
    conflicts = [one for one in findings if one.slug == "tls-policy-conflict-on-listener"]
    assert conflicts
    assert any(told in one.seen for one in conflicts)
    apart = ingress("b", listen="192.0.2.1:8443", **keys)
    assert planner.result(ingress=[ingress("a"), apart]).plan is not None


def test_cipher_suites_of_tls_1_2_may_differ_for_openssl_takes_them_from_the_link() -> None:
    tls = {"ciphers": ["ECDHE-ECDSA-AES256-GCM-SHA384"]}
    _, own = tls_servers(rendered([ingress("a"), ingress("b", tls=tls)], DISTRIBUTION))
    assert own[1].one("ssl_ciphers") == ("ECDHE-ECDSA-AES256-GCM-SHA384",)


def test_each_field_of_a_dialect_carries_its_variable_under_its_name() -> None:
    forward = [{"dialect": "x-client-cert", "headers": {"serial": "X-Nr"}}, "x-ssl-cert"]
    location, *_ = passing(rendered([ingress(forward=forward)], DISTRIBUTION))
    lines = {name: value for name, value in location.values_of("proxy_set_header")}  # noqa: C416
    assert lines["X-Nr"] == "$ssl_client_serial"
    assert "X-Client-Serial" not in lines
    for field, name in DIALECTS["x-ssl-cert"].fields.items():
        assert lines[name].startswith("$ssl_client_"), field
    assert lines["x-nr"] == "", "a configured name is stripped like the known ones"


@pytest.mark.parametrize("length", [46, 47])
def test_a_header_name_fits_the_hash_of_the_grpc_module(length: int) -> None:
    forward = [{"dialect": "x-client-cert", "headers": {"serial": "X" * length}}]
    link = ingress(backend="grpc://127.0.0.1:1", forward=forward)
    assert (Planner().result(ingress=[link]).plan is not None) == (length == 46)
    assert Planner().result(ingress=[ingress(forward=forward)]).plan is not None
