"""Who listens at an address."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from handclasp.agent.port_holder import holder_of
from handclasp.spec.values import ListenAddress

NAME = Path("/proc/self/comm").read_text().strip()


@pytest.mark.parametrize(
    ("listening", "asked"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("0.0.0.0", "127.0.0.1"),
        ("::1", "::1"),
        ("::", "127.0.0.1"),
    ],
)
def test_a_process_that_has_the_address_or_stands_in_its_way_is_named(
    listening: str, asked: str
) -> None:
    family = socket.AF_INET6 if ":" in listening else socket.AF_INET
    with socket.create_server((listening, 0), family=family) as server:
        port = server.getsockname()[1]
        assert holder_of(ListenAddress(host=asked, port=port)) == f"{NAME} (pid {os.getpid()})"
    assert holder_of(ListenAddress(host=asked, port=port)) is None


def test_another_address_of_the_port_and_a_socket_that_only_connects_are_not_meant() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert holder_of(ListenAddress(host="127.0.0.2", port=port)) is None
        with socket.create_connection(("127.0.0.1", port)) as client:
            mine = ListenAddress(host="127.0.0.1", port=client.getsockname()[1])
            assert holder_of(mine) is None
