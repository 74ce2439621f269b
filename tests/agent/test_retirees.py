"""Workers of replaced nginxes: they end in time, and the next agent knows of them."""

from __future__ import annotations

import contextlib
import shutil
import socket
from typing import TYPE_CHECKING

import pytest

from handclasp.agent.retirees import Retirees
from handclasp.nginx import orphans
from tests.nginx.installation import Installation, run, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from handclasp.nginx.master_record import MasterRecord

pytestmark = pytest.mark.integration


@pytest.fixture
def here(nginx_builds: dict[str, Path], tmp_path: Path) -> Iterator[Installation]:
    with Installation(nginx_builds["distribution"], tmp_path / "nginx").cleaned_up() as made:
        yield made


@contextlib.asynccontextmanager
async def retired(here: Installation, port: int, other: int) -> AsyncIterator[MasterRecord]:
    """A master that is gone, and a worker with a request nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = f"http://127.0.0.1:{silent.getsockname()[1]}"
        server = f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {away}; }} }}"
        here.write(other, http=server)
        master = await here.start()
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            silent.settimeout(5)
            answering, _ = silent.accept()
            master.record.write(here.prefix, master.record.retired_file)
            await master.stand_down()
            await master.retire()
            await until(lambda: len(orphans.members(master.record)) == 1)
            with answering:
                yield master.record


def test_a_request_that_outlasts_the_time_given_is_cut(
    here: Installation, free_port: Callable[[], int]
) -> None:
    async def scenario() -> None:
        async with retired(here, free_port(), free_port()) as record:
            retirees = Retirees(here.prefix)
            retirees.take(record)
            await retirees.end(0.0)
            assert orphans.members(record) == ()
            assert not (here.prefix / record.retired_file).exists()

    run(scenario())


def test_the_next_agent_takes_over_what_an_agent_leaves(
    here: Installation, free_port: Callable[[], int]
) -> None:
    async def scenario() -> None:
        async with retired(here, free_port(), free_port()) as record:
            first, second = Retirees(here.prefix), Retirees(here.prefix)
            first.take(record)
            first.leave()
            assert len(orphans.members(record)) == 1
            second.take_over()
            await second.end(0.0)
            assert orphans.members(record) == ()

    run(scenario())


def test_records_that_were_copied_with_a_directory_are_nobody_s(
    here: Installation, free_port: Callable[[], int], tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with retired(here, free_port(), free_port()) as record:
            copy = tmp_path / "copy"
            copy.mkdir()
            shutil.copy(here.prefix / record.retired_file, copy)
            retirees = Retirees(copy)
            retirees.take_over()
            await retirees.end(0.0)
            assert list(copy.iterdir()) == []
            assert len(orphans.members(record)) == 1

    run(scenario())
