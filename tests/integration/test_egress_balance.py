"""Several servers behind one link: how requests are shared, what is retried and what never is."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.nginx.features import Feature
from tests import pki
from tests.conftest import facts_of
from tests.integration.running import SERVER_NAME, Material, Running, egress_spec, write_spec
from tests.integration.upstreams import Answer, Request, Upstream, answer, ask, dead_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from handclasp.nginx.facts import Facts

pytestmark = pytest.mark.integration


def named(name: str, *, pause: float = 0.0) -> Any:
    """An answer that tells which server gave it; /hangup is read and never answered."""

    def respond(request: Request) -> bytes | None:
        if request.target == "/hangup":
            return None
        if request.target == "/pause":
            time.sleep(pause)
        return answer(name.encode())

    return respond


@dataclass
class World:
    running: Running
    folder: Path
    a: Upstream
    b: Upstream
    bad: Upstream
    forgetful: Upstream
    deaf: socket.socket

    def ask(self, link: str, target: str = "/", **more: Any) -> Answer:
        return ask(self.folder / f"{link}.sock", target, **more)

    def shares(self, link: str, count: int) -> Counter[str]:
        return Counter(self.ask(link).text for _ in range(count))


@pytest.fixture(scope="module")
def world(material: Material, nginx_build: Path) -> Iterator[World]:
    mark = f"balance-{nginx_build.parent.name}"
    folder = material.folder / mark
    material.add("bad", issuer=material.other_ca, sans=[SERVER_NAME], usages=[pki.SERVER])
    server, ca = material.pair("server-a"), material.folder / "ca.pem"
    with ExitStack() as stack:
        a = stack.enter_context(Upstream(server, ca, named("a", pause=0.5)))
        b = stack.enter_context(Upstream(server, ca, named("b")))
        bad = stack.enter_context(Upstream(material.pair("bad"), ca, named("bad")))
        forgetful = stack.enter_context(Upstream(server, ca, named("forgetful"), idle=0.2))
        # Accepts connections and never says a word: the handshake does not come about.
        deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        spec = _spec(material, folder, a, b, bad, forgetful, deaf, facts_of(nginx_build))
        with Running(write_spec(material.folder, mark, spec), nginx_build) as running:
            yield World(running, folder, a, b, bad, forgetful, deaf)


def _spec(
    material: Material,
    folder: Path,
    a: Upstream,
    b: Upstream,
    bad: Upstream,
    forgetful: Upstream,
    deaf: socket.socket,
    facts: Facts,
) -> dict[str, Any]:
    def url(server: Upstream) -> str:
        return f"https://127.0.0.1:{server.port}"

    dead = f"https://127.0.0.1:{dead_port()}"
    silent = f"https://127.0.0.1:{deaf.getsockname()[1]}"
    upstreams: dict[str, tuple[Any, dict[str, Any]]] = {
        "even": ([url(a), url(b)], {}),
        "weighted": ([{"url": url(a), "weight": 3}, url(b)], {}),
        "least": ([url(a), url(b)], {"balance": "least-connections"}),
        "random": ([url(a), url(b)], {"balance": "random"}),
        "backed": ([url(a), {"url": url(b), "backup": True}], {}),
        "fallen": ([dead, {"url": url(b), "backup": True}], {}),
        "refused": ([dead, url(b)], {}),
        "distrusted": ([{"url": url(bad), "max_fails": 1}, url(b)], {}),
        "hanging": ([{"url": url(one), "max_fails": 0} for one in (a, b)], {}),
        "once": ([{"url": dead, "max_fails": 0}, {"url": url(b), "max_fails": 0}], {"tries": 1}),
        "all-down": (
            [
                {"url": one, "max_fails": 1}
                for one in (dead, dead.replace("127.0.0.1", "127.0.0.2"))
            ],
            {},
        ),
        "all-bad": ([url(bad)], {}),
        "forgetful": (url(forgetful), {"pool": {"idle": "30s"}}),
        "idle": (url(a), {"pool": {"idle": "200ms"}}),
        "requests": (url(a), {"pool": {"requests": 3}}),
        "age": (url(a), {"pool": {"age": "300ms"}}),
        "deaf": (silent, {"timeouts": {"connect": "300ms"}}),
    }
    spec = egress_spec(material, "", "")
    base = spec["egress"][0]
    spec["egress"] = [
        {
            **base,
            "name": name,
            "listen": f"unix:{folder}/{name}.sock",
            "upstream": upstream,
            **more,
        }
        for name, (upstream, more) in upstreams.items()
    ]
    if not facts.has(Feature.UPSTREAM_KEEPALIVE_TIME):
        spec["egress"] = [link for link in spec["egress"] if link["name"] != "age"]  # refused
    # One worker, so that shares and pools can be counted.
    spec["nginx"] = {"workers": 1}
    return spec


def test_requests_are_shared_evenly_or_by_weight(world: World) -> None:
    assert world.shares("even", 10) == {"a": 5, "b": 5}
    assert world.shares("weighted", 8) == {"a": 6, "b": 2}
    assert set(world.shares("random", 40)) == {"a", "b"}


def test_least_connections_avoids_a_busy_server(world: World) -> None:
    results: list[str] = []
    for _ in range(2):  # whichever server gets it first, one of the two pauses
        busy = threading.Thread(target=world.ask, args=("least", "/pause"))
        busy.start()
        time.sleep(0.15)
        results = [world.ask("least").text for _ in range(6)]
        slow = busy.is_alive()
        busy.join()
        if slow:
            break
        world.ask("least")
    assert results == ["b"] * 6


def test_a_backup_is_used_only_when_the_others_are_down(world: World) -> None:
    assert world.shares("backed", 6) == {"a": 6}
    assert world.shares("fallen", 6) == {"b": 6}


def test_a_server_that_refuses_connections_is_passed_over_even_for_a_post(world: World) -> None:
    before = len(world.b.seen)
    assert world.shares("refused", 6) == {"b": 6}
    assert world.ask("refused", method="POST", body=b"x").text == "b"
    assert len(world.b.seen) - before == 7


def test_a_server_with_a_bad_certificate_is_passed_over_and_left_alone_for_a_while(
    world: World,
) -> None:
    before = world.bad.accepted
    assert world.shares("distrusted", 8) == {"b": 8}
    assert world.bad.seen == []
    # max_fails 1: after the first failure it is not tried again for fail_timeout.
    assert world.bad.accepted - before == 1


def test_a_post_whose_answer_never_came_is_not_sent_again(world: World) -> None:
    def posts() -> int:
        return sum(one.method == "POST" and one.target == "/hangup" for one in both())

    def both() -> list[Request]:
        return [*world.a.seen, *world.b.seen]

    got = world.ask("hanging", "/hangup", method="POST", body=b"pay 100")
    assert got.status == 502
    assert posts() == 1


def test_a_get_whose_answer_never_came_is_sent_to_the_other_server(world: World) -> None:
    def gets() -> int:
        seen = [*world.a.seen, *world.b.seen]
        return sum(one.method == "GET" and one.target == "/hangup" for one in seen)

    before = gets()
    assert world.ask("hanging", "/hangup").status == 502  # both hang up
    assert gets() - before == 2


def test_tries_bounds_how_many_servers_are_asked(world: World) -> None:
    statuses = [world.ask("once").status for _ in range(4)]
    assert sorted(statuses) == [200, 200, 502, 502]


def test_when_no_server_is_left_the_link_says_so(world: World) -> None:
    for _ in range(2):
        got = world.ask("all-down")
        assert got.status == 502
        assert "link all-down" in got.text
    assert "no live upstreams" in world.running.error_log


def test_a_single_bad_server_is_named_each_time_and_never_hidden(world: World) -> None:
    """nginx does not leave out the only server, so its log keeps the reason."""
    # 20 or 21, unknown issuer, by the OpenSSL.
    told = re.compile(r"verify error: \(2[01]:unable to ")
    before = len(told.findall(world.running.error_log))
    assert [world.ask("all-bad").status for _ in range(3)] == [502] * 3
    after = len(told.findall(world.running.error_log))
    assert after - before == 3


def test_a_connection_the_upstream_has_closed_costs_no_request(world: World) -> None:
    for _ in range(3):
        assert world.ask("forgetful").text == "forgetful"
        time.sleep(0.35)
    assert world.ask("forgetful", method="POST", body=b"x").status == 200
    assert world.forgetful.accepted >= 3


def _connections(world: World, link: str, count: int, pause: float) -> int:
    used = set()
    for _ in range(count):
        assert world.ask(link).text == "a"
        used.add(world.a.last.connection)
        time.sleep(pause)
    return len(used)


def test_the_pool_keeps_connections_for_as_long_and_as_often_as_its_keys_say(world: World) -> None:
    assert _connections(world, "backed", 6, 0.0) == 1
    assert _connections(world, "requests", 6, 0.0) == 2
    assert _connections(world, "idle", 3, 0.05) == 1
    assert _connections(world, "idle", 3, 0.4) == 3
    if facts_of(world.running.nginx).has(Feature.UPSTREAM_KEEPALIVE_TIME):
        assert 2 <= _connections(world, "age", 6, 0.12) <= 4


def test_an_upstream_that_never_shakes_hands_is_given_up_after_the_connect_timeout(
    world: World,
) -> None:
    started = time.monotonic()
    assert world.ask("deaf").status == 504
    assert 0.25 < time.monotonic() - started < 2


def test_the_table_of_links_says_where_each_leads(world: World) -> None:
    (line,) = [one for one in world.running.text.splitlines() if one.startswith("backed ")]
    assert f"https://{SERVER_NAME} at 127.0.0.1:{world.a.port} and 1 more" in line
