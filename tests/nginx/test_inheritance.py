"""Which listening sockets can be had of a running process, and which may be handed on."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handclasp.errors import EnvironmentFault
from handclasp.nginx import inheritance
from handclasp.nginx.inheritance import Inheritance, in_the_way, listening_sockets, wanted_by
from handclasp.spec.values import ListenAddress

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTENER = """
import socket, sys
tcp = socket.create_server(("127.0.0.1", 0))
path = socket.socket(socket.AF_UNIX); path.bind(sys.argv[1]); path.listen()
pair = socket.socketpair()
udp = socket.socket(type=socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 0))
print(tcp.getsockname()[1], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def listener(path: Path) -> Iterator[tuple[int, int]]:
    """A process with two listening sockets and some others; its pid and port."""
    with subprocess.Popen(
        [sys.executable, "-c", LISTENER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def test_the_listening_sockets_of_another_process_are_had_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    before = len(list(Path("/proc/self/fd").iterdir()))
    with listener(path) as (pid, port), listening_sockets(pid) as sockets:
        names = {one.getsockname() for one in sockets}
        assert names == {("127.0.0.1", port), str(path)}
        assert not any(os.get_inheritable(one.fileno()) for one in sockets)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_was_had_still_listens_when_the_other_process_is_gone(tmp_path: Path) -> None:
    with contextlib.ExitStack() as held:
        with listener(tmp_path / "s.sock") as (pid, port):
            held.enter_context(listening_sockets(pid))
        socket.create_connection(("127.0.0.1", port), 5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


def test_a_system_that_does_not_hand_out_descriptors_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inheritance, "_PIDFD_GETFD", 100_000)
    with (
        listener(tmp_path / "s.sock") as (pid, _),
        pytest.raises(EnvironmentFault, match="cannot be handed on: Function not implemented"),
        listening_sockets(pid),
    ):
        pass


def test_a_process_that_is_gone_or_listens_on_nothing_has_none() -> None:
    with subprocess.Popen(["sleep", "10"]) as process:
        with (
            pytest.raises(EnvironmentFault, match="listens on nothing"),
            listening_sockets(process.pid),
        ):
            pass
        process.kill()
    with pytest.raises(EnvironmentFault, match="No such process"), listening_sockets(process.pid):
        pass


def test_the_variable_is_as_nginx_reads_it() -> None:
    """ngx_add_inherited_sockets: a number counts when a semicolon follows."""
    with socket.socket() as one, socket.socket() as other:
        given = Inheritance((one, other), 2)
        assert given.variables == {"NGINX": f"{one.fileno()};{other.fileno()};"}
        assert given.descriptors == (one.fileno(), other.fileno())


def test_unix_sockets_the_next_configuration_lacks_are_kept_from_it(tmp_path: Path) -> None:
    """It would remove their paths."""
    (tmp_path / "link").symlink_to(tmp_path)
    kept, lacking = tmp_path / "kept", tmp_path / "lacking"
    with contextlib.ExitStack() as held:
        tcp = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        sockets = [tcp]
        for path in (kept, lacking):
            sockets.append(held.enter_context(socket.socket(socket.AF_UNIX)))
            sockets[-1].bind(str(path))
        addresses = [ListenAddress(path=str(tmp_path / "link" / "kept"))]
        assert wanted_by(sockets, addresses) == (tcp, sockets[1])


@pytest.mark.parametrize(
    ("bound", "wanted", "free"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", False),
        ("0.0.0.0", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.2", True),
        ("127.0.0.1", "::", True),
        ("::1", "::", False),
    ],
)
def test_overlapping_addresses_are_in_the_way(bound: str, wanted: str, free: bool) -> None:
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    try:
        one = socket.create_server((bound, 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no {bound}")
    with one:
        port = one.getsockname()[1]
        assert (in_the_way([one], [ListenAddress(host=wanted, port=port)]) is None) == free
        assert in_the_way([one], [ListenAddress(host=wanted, port=port + 1)]) is None
        assert in_the_way([one], [ListenAddress(path="/x")]) is None
