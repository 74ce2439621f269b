from __future__ import annotations

import asyncio
import itertools
import socket
from typing import TYPE_CHECKING

import pytest

from handclasp.wire.connect import (
    Address,
    ConnectTimeoutError,
    connect,
    error_name,
    proxy_header,
    resolve,
    socket_name,
)
from handclasp.wire.observation import AddressAttempt, Target
from tests.wire.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path


def reach(addresses: list[Address], seconds: float = 5) -> tuple[str, list[AddressAttempt]]:
    async def scenario() -> tuple[str, list[AddressAttempt]]:
        attempts: list[AddressAttempt] = []
        deadline = asyncio.get_running_loop().time() + seconds
        ticks = itertools.count()
        try:
            sock = await connect(addresses, attempts, deadline, lambda: float(next(ticks)))
        except (OSError, ConnectTimeoutError) as error:
            return type(error).__name__, attempts
        with sock:
            return "connected", attempts

    return asyncio.run(scenario())


def test_a_refusing_address_is_followed_by_the_next() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        good: Address = (socket.AF_INET, listener.getsockname())
        bad: Address = (socket.AF_INET, ("127.0.0.1", free_port()))
        outcome, attempts = reach([bad, good, bad])
    assert outcome == "connected"
    assert [(attempt.ok, attempt.errno_name) for attempt in attempts] == [
        (False, "ECONNREFUSED"),
        (True, None),
    ]
    assert [attempt.seconds for attempt in attempts] == [1.0, 1.0]


def test_a_silent_address_leaves_time_for_the_next(tmp_path: Path) -> None:
    """A unix listener with a full backlog is the silent address that can be had anywhere."""
    with (
        socket.socket(socket.AF_UNIX) as full,
        socket.socket(socket.AF_UNIX) as waiting,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        path = str(tmp_path / "s")
        full.bind(path)
        full.listen(0)
        waiting.connect(path)
        silent: Address = (socket.AF_UNIX, path)
        outcome, attempts = reach([silent, (socket.AF_INET, listener.getsockname())], seconds=0.4)
        only, _ = reach([silent], seconds=0.1)
    assert outcome == "connected"
    assert [(attempt.ok, attempt.errno) for attempt in attempts] == [(False, None), (True, None)]
    assert only == "ConnectTimeoutError"


def test_the_last_refusal_is_the_one_raised() -> None:
    bad: Address = (socket.AF_INET, ("127.0.0.1", free_port()))
    outcome, attempts = reach([bad, bad])
    assert outcome == "ConnectionRefusedError"
    assert len(attempts) == 2


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target(host="192.0.2.1", port=1), [(socket.AF_INET, ("192.0.2.1", 1))]),
        (Target(host="2001:db8::1", port=1), [(socket.AF_INET6, ("2001:db8::1", 1, 0, 0))]),
        (Target(unix_path="/run/x"), [(socket.AF_UNIX, "/run/x")]),
    ],
)
def test_literals_need_no_lookup(target: Target, expected: list[Address]) -> None:
    assert asyncio.run(resolve(target)) == expected


def test_a_name_is_looked_up_as_the_system_does() -> None:
    addresses = asyncio.run(resolve(Target(host="localhost", port=7)))
    assert (socket.AF_INET, ("127.0.0.1", 7)) in addresses


def test_errors_have_names() -> None:
    assert error_name(111) == "ECONNREFUSED"
    assert error_name(socket.EAI_NONAME) == "EAI_NONAME"
    assert error_name(None) is None


@pytest.mark.parametrize(
    ("family", "host", "expected"),
    [
        (socket.AF_INET, "127.0.0.1", "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n"),
        (socket.AF_INET6, "::1", "PROXY TCP6 ::1 ::1 {} {}\r\n"),
    ],
)
def test_the_proxy_line_has_the_sockets_own_ends(
    family: socket.AddressFamily, host: str, expected: str
) -> None:
    with (
        socket.create_server((host, 0), family=family) as listener,
        socket.create_connection(listener.getsockname()[:2]) as sock,
    ):
        ends = sock.getsockname()[1], listener.getsockname()[1]
        assert proxy_header(sock) == expected.format(*ends).encode()


def test_a_unix_socket_has_no_address_to_tell() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert proxy_header(ours) == b"PROXY UNKNOWN\r\n"
        assert socket_name(ours.getsockname()) is None
    assert socket_name(("::1", 5, 0, 0)) == "[::1]:5"
