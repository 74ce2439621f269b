"""Connections that are open with a listener are counted, and no others."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from handclasp.agent.connections import open_connections
from handclasp.spec.values import ListenAddress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def accepted(listener: socket.socket) -> Iterator[None]:
    """A client's connection that the server has accepted."""
    with socket.socket(listener.family) as client:
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        with server:
            yield


def listening(host: str, family: socket.AddressFamily) -> socket.socket:
    try:
        return socket.create_server((host, 0), family=family)
    except OSError as error:
        pytest.skip(f"nothing can listen at {host}: {error}")


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_a_tcp_connection_is_seen_from_the_accept_to_its_end(
    host: str, family: socket.AddressFamily
) -> None:
    with listening(host, family) as listener, listening(host, family) as other:
        here = [ListenAddress(host=host, port=listener.getsockname()[1])]
        assert open_connections(here) == frozenset()
        with accepted(listener), accepted(other):
            first = open_connections(here)
            assert len(first) == 1  # not the client's end, nor that of another port
            with accepted(listener):
                assert len(open_connections(here)) == 2
                assert first < open_connections(here)
            assert open_connections(here) == first
        assert open_connections(here) == frozenset()


def test_a_unix_connection_is_seen_from_the_accept_to_its_end(tmp_path: Path) -> None:
    path, other = tmp_path / "with space.sock", tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as elsewhere:
        for one, place in ((listener, path), (elsewhere, other)):
            one.bind(str(place))
            one.listen()
        here = [ListenAddress(path=str(path))]
        assert open_connections(here) == frozenset()  # the listener itself is none
        with accepted(listener), accepted(elsewhere):
            first = open_connections(here)
            assert len(first) == 1
            with accepted(listener):
                assert first < open_connections(here)
            assert open_connections(here) == first
        assert open_connections(here) == frozenset()


def test_nobody_is_connected_with_no_listener() -> None:
    assert open_connections([]) == frozenset()
