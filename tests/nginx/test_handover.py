"""One master stood down for another: with real builds, without anything of the agent's."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from handclasp.nginx import orphans
from handclasp.nginx.handover import until_finished
from handclasp.nginx.inheritance import Inheritance, listening_sockets
from handclasp.nginx.master_record import SUCCESSOR_FILE, MasterRecord, written_pid
from tests.nginx.installation import Installation, fetch, run, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from handclasp.nginx.process import NginxMaster

pytestmark = pytest.mark.integration


async def successor(here: Installation, old: NginxMaster) -> NginxMaster:
    with listening_sockets(old.pid) as sockets:
        return await here.start(inheritance=Inheritance(sockets, 7))


def test_a_binary_upgrade_by_usr2_is_refused_by_a_master_whose_parent_lives(
    here: Installation, port: int
) -> None:
    """So it is no way to another nginx (ngx_signal_handler)."""

    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        os.kill(master.pid, signal.SIGUSR2)
        await until(lambda: "(SIGUSR2) received" in here.log_path.read_text())
        assert ", ignoring" in here.log_path.read_text().split("(SIGUSR2)")[1].splitlines()[0]
        assert here.left_running()[0] == master.pid
        await master.terminate()

    run(scenario())


def test_a_master_stood_down_lets_connections_wait_and_stands_up_with_other_workers(
    here: Installation, port: int
) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        before = {worker.pid for worker in master.workers()}
        with master.changing():
            await master.stand_down()
            assert not await master.serves()
            with socket.create_connection(("127.0.0.1", port), 5) as waiting:
                waiting.sendall(b"GET / HTTP/1.0\r\n\r\n")
                waiting.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    waiting.recv(1)
                assert await master.stand_up()
                waiting.settimeout(5)
                assert waiting.recv(100).startswith(b"HTTP/1.1 200")
        await until(lambda: len(master.workers()) == here.workers)
        assert not before & {worker.pid for worker in master.workers()}
        assert (await master.quit(5)).code == 0

    run(scenario())


def test_a_successor_serves_on_the_sockets_it_was_given_and_its_predecessor_goes_without_a_trace(
    here: Installation, port: int
) -> None:
    async def scenario() -> None:
        unix = here.prefix / "s.sock"
        listen = f"127.0.0.1:{port}; listen unix:{unix}"
        here.write(listen, body="one")
        old = await here.start()
        here.write(listen, body="two")
        new = await successor(here, old)
        known, next_one = (
            MasterRecord.read(here.prefix),
            MasterRecord.read(here.prefix, SUCCESSOR_FILE),
        )
        assert known is not None
        assert next_one is not None
        assert (known.pid, next_one.pid, next_one.generation) == (old.pid, new.pid, 7)
        await old.stand_down()
        assert {await fetch(port) for _ in range(10)} == {"two"}
        new.succeed()
        assert MasterRecord.read(here.prefix) == new.record
        assert not (here.prefix / SUCCESSOR_FILE).exists()
        assert (await old.retire()).killed_by == signal.SIGKILL
        assert await until_finished(old.record, 5)
        assert written_pid(here.prefix) == new.pid
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(unix))
        assert await fetch(port) == "two"
        await new.quit(5)

    run(scenario())


def test_workers_of_a_retired_master_are_known_until_their_last_request_is_answered(
    here: Installation, port: int, free_port: Callable[[], int]
) -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as upstream:
            away = f"http://127.0.0.1:{upstream.getsockname()[1]}"
            here.write(
                free_port(),
                http=f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {away}; }} }}",
            )
            old = await here.start()
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                upstream.settimeout(5)
                answering, _ = upstream.accept()
                new = await successor(here, old)
                await old.stand_down()
                new.succeed()
                await old.retire()
                assert not await until_finished(old.record, 0)
                await until(lambda: len(orphans.members(old.record)) == 1)
                with answering:
                    answering.recv(1000)
                    answering.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
                client.settimeout(5)
                assert client.recv(100).startswith(b"HTTP/1.1 200")
            assert await until_finished(old.record, 5)
            await new.quit(5)

    run(scenario())
