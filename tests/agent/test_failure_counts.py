"""The error log is followed line by line, through rotation and floods, and failures go to their links."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.agent.counts import Counts
from handclasp.agent.failure_counts import FailureCounts, LogFollower
from handclasp.monitor.log_causes import SEVERAL_LINKS, LinkIndex
from handclasp.nginx.errorlog import parse_line

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.nginx.parts import Plan

FRONT = "2026/11/24 15:58:34 [info] 1424#1424: *13 "


def add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as log:
        log.write(text)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "error.log"


def test_what_stood_there_before_is_not_given(log: Path) -> None:
    add(log, "old\n")
    follower = LogFollower(log)
    assert list(follower.lines()) == []
    add(log, "new\n")
    assert list(follower.lines()) == ["new"]
    assert list(follower.lines()) == []


def test_a_log_that_is_made_later_is_read_from_its_beginning(log: Path) -> None:
    follower = LogFollower(log)
    assert list(follower.lines()) == []
    add(log, "first\n")
    assert list(follower.lines()) == ["first"]


def test_a_line_is_given_once_it_is_whole(log: Path) -> None:
    follower = LogFollower(log)
    add(log, "one\ntw")
    assert list(follower.lines()) == ["one"]
    add(log, "o\n")
    assert list(follower.lines()) == ["two"]


def test_a_rotated_log_is_read_to_its_end_and_the_new_one_from_its_beginning(log: Path) -> None:
    add(log, "old\n")
    follower = LogFollower(log)
    add(log, "before\n")
    old = log.rename(log.with_suffix(".1"))
    add(old, "after the rename\n")
    add(log, "in the new one\n")
    assert list(follower.lines()) == ["before", "after the rename"]
    add(old, "nginx had not reopened it yet\n")
    assert list(follower.lines()) == ["nginx had not reopened it yet", "in the new one"]
    add(log, "and on\n")
    assert list(follower.lines()) == ["and on"]


def test_a_log_that_is_rotated_at_every_look_is_followed(log: Path) -> None:
    follower = LogFollower(log)
    seen: list[str] = []
    for number in range(6):
        add(log, f"{number}\n")
        seen += follower.lines()
        seen += follower.lines()
        log.rename(log.with_suffix(f".{number}"))
    assert seen == [str(number) for number in range(6)]


def test_a_log_that_is_emptied_in_place_is_read_from_its_beginning(log: Path) -> None:
    add(log, "a long line that was there\n")
    follower = LogFollower(log)
    os.truncate(log, 0)
    add(log, "short\n")
    assert list(follower.lines()) == ["short"]


def test_a_flood_is_read_in_part_and_the_rest_is_counted(log: Path) -> None:
    follower = LogFollower(log, most_bytes=100)
    add(log, "x\n" * 10)
    assert len(list(follower.lines())) == 10
    add(log, "0123456789\n" * 100)
    given = list(follower.lines())
    assert given[-1] == "0123456789"
    assert len(given) <= 10
    assert follower.unread_bytes == 1000


def test_a_directory_or_a_pipe_in_its_place_stops_nothing(log: Path) -> None:
    log.mkdir()
    follower = LogFollower(log)
    assert list(follower.lines()) == []
    log.rmdir()
    os.mkfifo(log)
    assert list(follower.lines()) == []
    log.unlink()
    add(log, "at last\n")
    assert list(follower.lines()) == ["at last"]


@given(pieces=st.lists(st.binary(max_size=40), max_size=20))
def test_however_it_is_written_every_line_is_given_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    log = tmp_path_factory.mktemp("log") / "error.log"
    follower = LogFollower(log)
    given_lines: list[str] = []
    for piece in pieces:
        with log.open("ab") as file:
            file.write(piece)
        given_lines += follower.lines()
    follower.close()
    whole = b"".join(pieces).split(b"\n")[:-1]
    assert given_lines == [line.decode(errors="backslashreplace") for line in whole]


def upstream(name: str, *addresses: str) -> SimpleNamespace:
    servers = tuple(SimpleNamespace(address=address) for address in addresses)
    return SimpleNamespace(name=name, servers=servers)


def egress(link: str, upstream: str | None, *hosts: str) -> SimpleNamespace:
    return SimpleNamespace(link=link, hosts=hosts, routes=(SimpleNamespace(upstream=upstream),))


def ingress(link: str, listen: str, name: str, backend: str) -> SimpleNamespace:
    return SimpleNamespace(link=link, listen=(listen,), server_names=(name,), backend=backend)


PLAN = cast(
    "Plan",
    SimpleNamespace(
        upstreams=(
            upstream("orders", "192.0.2.1:443"),
            upstream("search", "[2001:db8::1]:443", "192.0.2.2:443"),
            upstream("shared", "192.0.2.3:443"),
            upstream("unix", "unix:/run/up.sock"),
            upstream("named", "followed.example.com:443"),
            upstream("app", "127.0.0.1:8000"),
        ),
        egress=(
            egress("orders", "orders", "localhost"),
            egress("search", "search", "localhost"),
            egress("one", "shared", "localhost"),
            egress("two", "shared", "localhost"),
            egress("sock", "unix", "localhost"),
            egress("followed", "named", "only-here"),
            egress("down", None, "localhost"),
        ),
        ingress=(
            ingress("api", "0.0.0.0:443", "API.example.com", "app"),
            ingress("web", "0.0.0.0:443", "web.example.com", "app"),
            ingress("alone", "127.0.0.1:8443", "alone.example.com", "app"),
        ),
    ),
)


@pytest.mark.parametrize(
    ("fields", "link"),
    [
        ({"server": "127.0.0.1:8443"}, "alone"),
        ({"server": "0.0.0.0:443"}, SEVERAL_LINKS),
        ({"server": "api.example.com"}, "api"),
        ({"server": "web.example.com"}, "web"),
        ({"server": "_"}, SEVERAL_LINKS),
        ({"server": "localhost", "upstream": "https://192.0.2.1:443/x"}, "orders"),
        ({"server": "localhost", "upstream": "grpcs://[2001:db8::1]:443"}, "search"),
        ({"server": "localhost", "upstream": "https://192.0.2.3:443/x"}, SEVERAL_LINKS),
        ({"server": "localhost", "upstream": "https://unix:/run/up.sock:/x:y"}, "sock"),
        ({"server": "only-here", "upstream": "https://198.51.100.9:443/"}, "followed"),
        ({"server": "web.example.com", "upstream": "https://127.0.0.1:8000/"}, "web"),
    ],
)
def test_a_line_is_about_the_link_whose_addresses_it_names(
    fields: dict[str, str], link: str
) -> None:
    request = (
        f', request: "GET / HTTP/1.1", upstream: "{fields["upstream"]}"'
        if "upstream" in fields
        else ""
    )
    parsed = parse_line(f"{FRONT}said, client: 127.0.0.1, server: {fields['server']}{request}")
    assert parsed is not None
    assert LinkIndex(PLAN).link(parsed) == link


def test_failures_are_counted_by_link_and_cause_and_other_lines_are_not(log: Path) -> None:
    counts = Counts()
    failures = FailureCounts(log, counts)
    add(
        log,
        f"{FRONT}handshake rejected while SSL handshaking, client: 127.0.0.1, server: 127.0.0.1:8443\n"
        f"{FRONT}client sent no required SSL certificate while reading client request headers,"
        ' client: 127.0.0.1, server: api.example.com, request: "GET / HTTP/1.1", host: "x"\n'
        * 2
        + f"{FRONT}client closed connection while SSL handshaking, client: 127.0.0.1, server: x\n"
        "no line of nginx: SSL\n",
    )
    failures.look(PLAN)
    failures.look(PLAN)
    assert counts.handshake_failures == {
        ("alone", "no-certificate-for-vhost"): 2,
        ("api", "client-cert-not-sent"): 2,
    }


def test_another_plan_has_other_links(log: Path) -> None:
    counts: Any = Counts()
    failures = FailureCounts(log, counts)
    failures.look(PLAN)
    add(
        log,
        f"{FRONT}handshake rejected while SSL handshaking, client: 1.1.1.1, server: 127.0.0.1:8443\n",
    )
    other = SimpleNamespace(
        upstreams=(upstream("app", "127.0.0.1:8000"),),
        egress=(),
        ingress=(ingress("renamed", "127.0.0.1:8443", "a.example.com", "app"),),
    )
    failures.look(cast("Plan", other))
    assert list(counts.handshake_failures) == [("renamed", "no-certificate-for-vhost")]
