"""No connection and no TLS session is ever used under another policy than the one that opened it.

Each case warms the pool under a policy that passes and then calls under one that must fail or must be
somebody else, in both orders and at once; with TLS session reuse on as well.
"""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests import pki
from tests.integration.running import SERVER_NAME, Material, Running, egress_spec, write_spec
from tests.integration.upstreams import Request, Upstream, answer, ask, ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

FAILING: dict[str, dict[str, Any]] = {
    "name": {"verify": {"name": "other.example.com"}},
    "trust": {"trust": "others"},
    "depth": {"verify": {"name": SERVER_NAME, "depth": 1}},
    "crl": {"trust": "revoking"},
    "secure": {},  # set below: beside a link that accepts anything
}


@dataclass
class World:
    running: Running
    folder: Path
    upstream: Upstream
    stranger: Upstream

    def ask(self, link: str, target: str = "/") -> tuple[int, str]:
        got = ask(self.folder / f"{link}.sock", target)
        return got.status, got.text.split(" ")[0]


def tls12(context: ssl.SSLContext) -> None:
    """Session identifiers and tickets of TLS 1.2 are resumed most eagerly."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2


@pytest.fixture(scope="module", params=["tls1.3", "tls1.2"])
def world(request: pytest.FixtureRequest, material: Material, nginx_build: Path) -> Iterator[World]:
    mark = f"ids-{nginx_build.parent.name}-{request.param}"
    folder = material.folder / mark
    # Below two intermediates, so that a depth of 1 is too little.
    upper = pki.authority("Upper", issuer=material.ca)
    middle = pki.authority("Middle", issuer=upper)
    deep = material.add("deep", issuer=middle, sans=[SERVER_NAME], usages=[pki.SERVER])
    material.add("outsider", issuer=material.other_ca, sans=[SERVER_NAME], usages=[pki.SERVER])
    authorities = [material.ca, upper, middle]
    (material.folder / "cas.pem").write_bytes(b"".join(one.pem for one in authorities))
    (material.folder / "revoking.crl").write_bytes(
        b"".join(pki.crl(one, [deep] if one is middle else []) for one in authorities)
    )
    adjust = tls12 if request.param == "tls1.2" else lambda _: None
    with (
        Upstream(material.pair("deep"), material.folder / "ca.pem", adjust=adjust) as upstream,
        Upstream(material.pair("outsider"), material.folder / "ca.pem", adjust=adjust) as stranger,
    ):
        spec = _spec(material, folder, upstream.port, stranger.port)
        path = write_spec(material.folder, mark, spec)
        environment = {"HANDCLASP_ALLOW_INSECURE": "1"}
        with Running(path, nginx_build, env=environment) as running:
            yield World(running, folder, upstream, stranger)


def _spec(material: Material, folder: Path, port: int, stranger: int) -> dict[str, Any]:
    spec = egress_spec(material, "", f"https://127.0.0.1:{port}")
    spec["trust"]["revoking"] = {"certificates": ["cas.pem"], "crl": ["revoking.crl"]}
    base = spec["egress"][0]
    links: list[dict[str, Any]] = []
    for reuse in (False, True):
        for case, change in FAILING.items():
            mark = f"{case}-{'reuse' if reuse else 'pool'}"
            good, bad = {**base, "session_reuse": reuse}, {**base, "session_reuse": reuse, **change}
            if case == "secure":
                good = {**good, "insecure_accept_any": True}
                good["upstream"] = bad["upstream"] = f"https://127.0.0.1:{stranger}"
            links += [
                {**good, "name": f"good-{mark}", "listen": f"unix:{folder}/good-{mark}.sock"},
                {**bad, "name": f"bad-{mark}", "listen": f"unix:{folder}/bad-{mark}.sock"},
            ]
        mark = "reuse" if reuse else "pool"
        routes = [
            {"path": "/x/", "identity": "svc-x"},
            {"path": "/others/", "trust": "others"},
            {"path": "/name/", "verify": {"name": "other.example.com"}},
            {"path": "/stranger/", "insecure_accept_any": True, "trust": "others"},
        ]
        links.append(
            {
                **base,
                "name": f"routes-{mark}",
                "listen": f"unix:{folder}/routes-{mark}.sock",
                "session_reuse": reuse,
                "routes": routes,
            }
        )
        links.append(
            {
                **base,
                "name": f"other-{mark}",
                "listen": f"unix:{folder}/other-{mark}.sock",
                "session_reuse": reuse,
                "identity": "svc-x",
            }
        )
    spec["egress"] = links
    spec["nginx"] = {"workers": 1}  # nginx keeps a pool per worker: with one, reuse can be counted
    return spec


@pytest.mark.parametrize("reuse", ["pool", "reuse"])
@pytest.mark.parametrize("case", sorted(FAILING))
def test_a_warm_connection_never_answers_for_a_policy_that_must_fail(
    world: World, case: str, reuse: str
) -> None:
    good, bad = f"good-{case}-{reuse}", f"bad-{case}-{reuse}"
    assert world.ask(bad)[0] == 502  # bad first: nothing of it may help or hinder
    for _ in range(3):
        assert world.ask(good) == (200, "svc-b")
        assert world.ask(bad)[0] == 502
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(world.ask, [good, bad] * 12))
    assert {status for status, _ in told[::2]} == {200}
    assert {status for status, _ in told[1::2]} == {502}


@pytest.mark.parametrize("reuse", ["pool", "reuse"])
def test_two_links_and_a_route_with_other_identities_are_never_mixed_up(
    world: World, reuse: str
) -> None:
    expected = {
        (f"routes-{reuse}", "/"): "svc-b",
        (f"routes-{reuse}", "/x/"): "svc-x",
        (f"other-{reuse}", "/"): "svc-x",
        (f"good-name-{reuse}", "/"): "svc-b",
    }
    calls = list(expected) * 10
    for link, target in [*calls[:8], *reversed(calls[:8])]:
        assert world.ask(link, target) == (200, expected[link, target])
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda call: (call, world.ask(*call)), calls))
    assert all(seen == (200, expected[call]) for call, seen in told)


@pytest.mark.parametrize("reuse", ["pool", "reuse"])
def test_routes_of_one_link_never_lend_each_other_their_verification(
    world: World, reuse: str
) -> None:
    link = f"routes-{reuse}"
    for _ in range(3):
        assert world.ask(link, "/") == (200, "svc-b")
        assert world.ask(link, "/others/")[0] == 502
        assert world.ask(link, "/name/")[0] == 502
        assert world.ask(link, "/stranger/") == (200, "svc-b")


def test_connections_are_reused_within_a_policy(world: World) -> None:
    world.ask("good-name-pool")
    before = world.upstream.accepted
    for _ in range(8):
        world.ask("good-name-pool")
    # The one worker has pooled the first's connection, and nobody else has used it since.
    assert world.upstream.accepted == before


def test_sessions_are_resumed_only_where_asked(world: World) -> None:
    def resumed(link: str) -> bool:
        seen = []
        for _ in range(6):
            got = ask(world.folder / f"{link}.sock", headers=[("X-Close", "1")])
            assert got.status == 200
            seen.append(world.upstream.last.reused)
        return any(seen)

    world.upstream.respond = closing
    try:
        assert resumed("good-name-reuse")
        assert not resumed("good-name-pool")
    finally:
        world.upstream.respond = ok


def closing(request: Request) -> bytes | None:
    """An answer after which the connection is not used again."""
    return answer(f"{request.peer} \n".encode(), headers=[("Connection", "close")])


def test_a_link_that_verifies_nothing_is_shouted_in_status_and_in_the_table(world: World) -> None:
    links = {link["name"]: link for link in world.running.status()["links"]}
    assert links["good-secure-pool"]["insecure"] is True
    assert links["good-name-pool"]["insecure"] is False
    assert "UPSTREAM NOT VERIFIED" in world.running.text
