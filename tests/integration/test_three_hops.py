"""Client, earlier hop, ingress link, backend: who is told apart, and whose word is removed."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.agent.machine import worker_account
from handclasp.backend import IdentityError
from handclasp.backend.asgi import KEY, ClientIdentityMiddleware
from tests.integration.earlier_hops import haproxy_hop, nginx_hops
from tests.integration.hop_stage import (
    KINDS,
    ORIGINAL,
    XFCC,
    assert_told,
    element,
    escaped,
    hop_stage,
    last,
    read,
    sha256,
    straight,
    through,
)
from tests.integration.http2_client import Http2Client
from tests.integration.ingress_stage import link, ports, spec_of
from tests.integration.running import Running, write_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.ingress_stage import Stage
    from tests.integration.running import Material

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    with hop_stage(material, nginx_build, "three") as running:
        yield running


@pytest.fixture(scope="module")
def nginx_ports(stage: Stage, material: Material) -> Iterator[dict[str, int]]:
    """An nginx before the links, under the gateway's identity and under another's."""
    names = ("gateway", "impostor")
    with nginx_hops(stage.running.nginx, material, stage.port, *names) as found:
        yield dict(zip(names, found, strict=True))


@pytest.mark.parametrize("who", ["customer", "hostile", "rsa"])
@pytest.mark.parametrize(
    ("link_name", "dialect"),
    [
        ("cn", "x-client-cert"),
        ("dns", "x-client-cert"),
        ("spiffe", "x-client-cert"),
        ("compact", "handclasp"),
        ("compact", "rfc9440"),
    ],
)
def test_behind_an_nginx_the_backend_knows_the_hop_and_the_customer_apart(
    stage: Stage, nginx_ports: dict[str, int], link_name: str, dialect: str, who: str
) -> None:
    forged = escaped(stage, "svc-b")
    through(
        stage,
        nginx_ports["gateway"],
        link_name,
        who,
        X_Client_Cert=forged,
        X_Original_Client_Cert=forged,
        X_Client_Verify="SUCCESS",
    )
    assert_told(stage, dialect, "gateway", who)
    told = read(last(stage), "original-client-cert")
    assert told is not None
    assert told.spiffe_id == "spiffe://customers.example/seven"


@pytest.mark.parametrize("link_name", ["cn", "dns", "spiffe", "compact"])
def test_the_same_nginx_under_another_identity_is_not_believed(
    stage: Stage, nginx_ports: dict[str, int], link_name: str
) -> None:
    dialect = "handclasp" if link_name == "compact" else "x-client-cert"
    for _ in range(2):  # the second answer is one that nginx remembers
        through(stage, nginx_ports["impostor"], link_name, "customer")
        assert_told(stage, dialect, "impostor", None)
        through(stage, nginx_ports["gateway"], link_name, "customer")
        assert_told(stage, dialect, "gateway", "customer")


@pytest.mark.parametrize("link_name", ["cn", "spiffe"])
@pytest.mark.parametrize("who", ["customer", "hostile", "rsa"])
def test_behind_haproxy_as_well(
    stage: Stage, material: Material, haproxy_port: int, link_name: str, who: str
) -> None:
    through(stage, haproxy_port, link_name, who, X_Client_Cert=escaped(stage, "svc-b"))
    assert_told(stage, "x-client-cert", "gateway", who)


@pytest.fixture(scope="module")
def haproxy_port(stage: Stage, material: Material) -> Iterator[int]:
    with haproxy_hop(material, stage.port, "gateway") as found:
        yield found


@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_of_every_kind_names_the_hop_and_nobody_like_it(stage: Stage, kind: str) -> None:
    headers = [("X-Client-Cert", escaped(stage, "customer"))]
    for _ in range(2):
        straight(stage, kind, "gateway", headers)
        assert_told(stage, "x-client-cert", "gateway", "customer")
        for other in ("impostor", "svc-b"):
            straight(stage, kind, other, headers)
            assert_told(stage, "x-client-cert", other, None)


@pytest.mark.parametrize("link_name", ["cn", "spiffe"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "a b",
        "{0},{0}",
        "{0}, {0}",
        "{0};x",
        '"{0}"',
        "{0}\tx",
        "{0}\xe4",
        "MII+/=",
        "%{0}\\",
        "hello",
        "%2D%2D",
        "{0}{0}",
        "{0}x",
        "x{0}",
    ],
)
def test_what_is_no_single_escaped_certificate_is_removed(
    stage: Stage, link_name: str, value: str
) -> None:
    told = value.format(escaped(stage, "customer"))
    straight(stage, link_name, "gateway", [("X-Client-Cert", told)])
    assert_told(stage, "x-client-cert", "gateway", None)


def test_what_looks_like_a_certificate_and_is_none_the_backend_refuses(stage: Stage) -> None:
    certificate = escaped(stage, "customer")
    for value in (
        certificate.replace("%0AMI", "%0AMIMI", 1),
        certificate.replace("%0AMI", "%0AMIA", 1),
    ):
        seen = straight(stage, "spiffe", "gateway", [("X-Client-Cert", value)])
        assert seen.values(ORIGINAL) == [value]
        with pytest.raises(IdentityError):
            read(seen, "original-client-cert")


@pytest.mark.parametrize("link_name", ["cn", "spiffe"])
def test_of_two_certificates_of_a_hop_none_is_believed(stage: Stage, link_name: str) -> None:
    """nginx before 1.23.0 knows the first of two headers only, and cannot see that there is another: a
    trusted hop must send one."""
    headers = [("X-Client-Cert", escaped(stage, name)) for name in ("customer", "svc-b")]
    straight(stage, link_name, "gateway", headers)
    joined = stage.facts.version >= (1, 23, 0)
    assert_told(stage, "x-client-cert", "gateway", None if joined else "customer")


@pytest.mark.parametrize("link_name", ["same-name", "spiffe", "cn", "no-hop", "optional"])
@pytest.mark.parametrize("spelling", [ORIGINAL, ORIGINAL.lower(), ORIGINAL.replace("-", "_")])
def test_the_header_for_the_backend_cannot_be_sent_by_those_who_are_no_hop(
    stage: Stage, link_name: str, spelling: str
) -> None:
    seen = straight(stage, link_name, "svc-b", [(spelling, escaped(stage, "customer"))])
    assert seen.values(ORIGINAL) == seen.values(ORIGINAL.replace("-", "_")) == []


def test_a_hop_may_use_the_name_that_the_backend_sees(stage: Stage) -> None:
    straight(stage, "same-name", "gateway", [(ORIGINAL, escaped(stage, "customer"))])
    assert_told(stage, "handclasp", "gateway", "customer")
    straight(stage, "same-name", "gateway", [("X-Client-Cert", escaped(stage, "customer"))])
    assert_told(stage, "handclasp", "gateway", None)


def test_a_hop_speaks_by_the_header_that_is_read_and_by_no_other(stage: Stage) -> None:
    for spelling in (ORIGINAL, "X-SSL-CERT", "X_Client_Cert", XFCC):
        straight(stage, "spiffe", "gateway", [(spelling, escaped(stage, "customer"))])
        assert_told(stage, "x-client-cert", "gateway", None)


@pytest.mark.parametrize("who", ["gateway", "impostor"])
def test_two_middlewares_give_the_application_both_of_them(stage: Stage, who: str) -> None:
    """As docs/how-to/backend.md puts them together."""
    trusted, given = ["127.0.0.1"], list[Any]()

    async def app(scope: Any, _: Any, __: Any) -> None:
        given.append((scope[KEY], scope["original_client"]))

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        given.append(message)

    def wrapped(inner: dict[str, Any], outer: dict[str, Any]) -> Any:
        within = ClientIdentityMiddleware(app, trusted_peers=trusted, **inner)
        return ClientIdentityMiddleware(within, trusted_peers=trusted, **outer)

    original = {"key": "original_client"}
    stacks = {
        "spiffe": wrapped(
            {"dialect": "original-client-cert", "required": False, **original},
            {"dialect": "x-client-cert", "keep_other_dialects": True},
        ),
        "appending": wrapped(
            {"dialect": "xfcc", "hop": "original", **original},
            {"dialect": "xfcc", "hop": "nearest"},
        ),
    }
    told = [("X-Client-Cert", escaped(stage, "customer")), (XFCC, element(stage, "customer"))]
    for link_name, stack in stacks.items():
        seen = straight(stage, link_name, who, told)
        scope = {
            "type": "http",
            "headers": [(name.lower().encode(), value.encode()) for name, value in seen.headers],
            "client": ("127.0.0.1", 4711),
            "server": ("127.0.0.1", 8000),
        }
        asyncio.run(stack(scope, receive, send))
        hop, before = given[-1]
        assert hop.sha256 == sha256(stage, who)
        if who == "gateway":
            assert before.sha256 == sha256(stage, "customer")
        elif link_name == "appending":
            assert before.sha256 == hop.sha256
        else:
            assert before is None


@pytest.mark.parametrize("who", ["gateway", "impostor"])
@pytest.mark.parametrize("kind", ["events", "post", "http2"])
def test_every_kind_of_request_tells_the_same(stage: Stage, kind: str, who: str) -> None:
    trusted = who == "gateway"
    told = [
        ("x-client-cert", escaped(stage, "customer")),
        (XFCC.lower(), element(stage, "customer")),
    ]
    for link_name in ("spiffe", "appending"):
        name, pair = f"{link_name}.example.com", stage.pair(who)
        if kind == "http2":
            with Http2Client(stage.caller, name, pair) as client:
                assert client.request("/", headers=told).status == 200
        elif kind == "post":
            answer = stage.caller.get(
                sni=name, credentials=pair, headers=told, method="POST", body=b"hello"
            )
            assert answer.status == 200
        else:
            straight(stage, link_name, who, [*told, ("Accept", "text/event-stream")])
        if link_name == "spiffe":
            assert_told(stage, "x-client-cert", who, "customer" if trusted else None)
            continue
        expected = [*([element(stage, "customer")] if trusted else []), element(stage, who)]
        assert last(stage).values(XFCC) == [",".join(expected)]


def test_nobody_without_certificate_speaks_for_others(stage: Stage) -> None:
    forged = [
        ("X-Client-Cert", escaped(stage, "customer")),
        (XFCC, element(stage, "customer")),
    ]
    seen = straight(stage, "optional", None, forged)
    assert seen.values(ORIGINAL) == seen.values(XFCC) == seen.values("X-Client-Cert") == []


def test_a_link_before_a_link_hands_the_customer_on(
    stage: Stage, material: Material, nginx_build: Path
) -> None:
    """Ingress, egress by a unix socket, ingress: with the header names that each has by default."""
    (port,) = ports(1)
    mark, name = f"before-{port}", "same-name.example.com"
    socket = material.folder / mark / "onward.sock"
    edge = link(
        "same-name",
        f"127.0.0.1:{port}",
        f"http://unix:{socket}",
        clients={"trust": "others", "allow": "uri:spiffe://customers.example/seven"},
        forward=["x-client-cert"],
    )
    spec = spec_of(material, [edge])
    spec["identities"]["gateway"] = material.identity("gateway")
    spec["trust"]["company"] = {"certificates": ["ca.pem"]}
    onward = {
        "name": "onward",
        "listen": f"unix:{socket}",
        "accept_hosts": [name],
        "upstream": f"https://127.0.0.1:{stage.port}",
        "identity": "gateway",
        "trust": "company",
        "verify": {"name": name},
        "original_certificate": {"from": "x-client-cert", "trusted": ["unix"]},
    }
    if account := worker_account(None, stage.facts):
        onward["group"] = account.group  # the earlier hop is nginx's workers themselves
    spec["egress"] = [onward]
    with Running(write_spec(material.folder, mark, spec), nginx_build):
        forged = escaped(stage, "svc-b")
        for who in ("customer", "rsa", "hostile"):
            through(
                stage, port, "same-name", who, X_Client_Cert=forged, X_Original_Client_Cert=forged
            )
            assert_told(stage, "handclasp", "gateway", who)
            assert last(stage).values("X-Client-Cert") == []
        before = len(stage.extra["backend"].seen)
        refused = dataclasses.replace(stage.caller, port=port).get(
            sni=name, credentials=stage.pair("stranger")
        )
        assert refused.status == 403
        assert len(stage.extra["backend"].seen) == before
