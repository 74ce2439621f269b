"""The nginx master as a process, with real builds and real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handclasp.errors import EnvironmentFault, ExitCode, InternalFault
from handclasp.findings import FindingsError
from handclasp.nginx import orphans, proc
from handclasp.nginx.features import Feature
from handclasp.nginx.master_record import MasterRecord
from handclasp.nginx.process import NginxMaster
from tests.nginx.installation import ENV, Installation, fetch, run, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handclasp.nginx.facts import Facts

pytestmark = pytest.mark.integration


def open_file(pid: int, number: int) -> Path:
    return Path(f"/proc/{pid}/fd/{number}").readlink()


@contextlib.contextmanager
def taken(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


# -- testing a configuration


def test_good_configuration_passes_without_a_line(here: Installation, port: int) -> None:
    here.write(port)
    result = NginxMaster.test(here.binary, here.prefix, here.conf, ENV)
    assert (result.ok, result.lines) == (True, ())


def test_bad_configuration_is_told_with_nginxs_line(here: Installation, port: int) -> None:
    here.write(port, http="nonsense;")
    result = NginxMaster.test(here.binary, here.prefix, here.conf, ENV)
    assert not result.ok
    assert any('unknown directive "nonsense"' in line for line in result.lines)
    assert "successful" not in " ".join(result.lines)


def test_warning_does_not_fail_a_configuration(here: Installation, port: int) -> None:
    here.write(
        port,
        http="types_hash_max_size 16; types_hash_bucket_size 64; server { listen "
        f"127.0.0.1:{port}; }}",
    )
    result = NginxMaster.test(here.binary, here.prefix, here.conf, ENV)
    assert result.ok
    assert any("conflicting server name" in line for line in result.lines)


def test_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    for binary in (tmp_path / "none", tmp_path):
        with pytest.raises(EnvironmentFault, match=f"cannot run {binary}"):
            NginxMaster.test(binary, tmp_path, tmp_path / "nginx.conf", ENV)
        starting = Installation(binary, tmp_path).start()
        with pytest.raises(EnvironmentFault, match=f"cannot run {binary}"):
            run(starting)


def test_configuration_test_is_bounded_in_time(tmp_path: Path) -> None:
    slow = tmp_path / "nginx"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    result = NginxMaster.test(slow, tmp_path, tmp_path / "nginx.conf", ENV, timeout=0.2)
    assert (result.ok, result.lines) == (False, ("nginx -t did not end within 0.2 s",))


# -- starting and ending


def test_started_master_serves_and_quits_without_a_trace(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port, workers=3)
        master = await here.start()
        assert await fetch(port) == "one"
        await until(lambda: len(master.workers()) == 3)
        assert {worker.uid for worker in master.workers()} == {os.geteuid()}
        assert not any(worker.shutting_down for worker in master.workers())
        assert master.record.binary_change() is None
        assert not master.adopted
        ended = await master.quit(5)
        assert (ended.code, ended.killed_by, ended.forced) == (0, None, False)
        assert str(ended) == f"nginx (pid {master.pid}) ended (exit code 0)"
        assert here.left_running() == []
        assert not (here.prefix / "nginx.pid").exists()
        with pytest.raises(ConnectionRefusedError):
            await fetch(port)

    run(scenario())


def test_nginx_has_no_pipe_or_terminal_of_ours(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        opened = [open_file(master.pid, number) for number in (0, 1, 2)]
        logs = here.prefix / "logs"
        assert opened == [Path("/dev/null"), logs / "stderr.log", logs / "error.log"]
        stat = proc.read_stat(master.pid)
        assert stat is not None
        assert stat.session == master.pid
        await master.terminate()

    run(scenario())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: workers drop privileges")
def test_uid_of_workers_is_what_they_dropped_to(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        here.conf.write_text(here.conf.read_text().replace("user root root", "user daemon"))
        master = await here.start()
        assert {worker.uid for worker in master.workers()} == {pwd.getpwnam("daemon").pw_uid}
        await master.terminate()

    run(scenario())


def test_port_in_use_is_the_finding_and_nothing_is_left(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        with taken(port), pytest.raises(FindingsError) as caught:
            await here.start()
        assert [finding.slug for finding in caught.value.findings] == ["port-in-use"]
        assert f"127.0.0.1:{port}" in caught.value.findings[0].seen
        assert caught.value.exit_code is ExitCode.ENVIRONMENT
        assert here.left_running() == []
        master = await here.start()
        assert await fetch(port) == "one"
        await master.terminate()

    run(scenario())


def test_nginx_that_exits_at_once_is_told_with_its_line(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port, http="nonsense;")
        with pytest.raises(FindingsError) as caught:
            await here.start()
        (finding,) = caught.value.findings
        assert finding.slug == "nginx-exited-at-once"
        assert 'unknown directive "nonsense"' in finding.seen
        assert "(exit code 1)" in finding.seen

    run(scenario())


def test_lines_of_an_earlier_failure_are_not_told_again(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port, http="first_nonsense;")
        with pytest.raises(FindingsError, match="first_nonsense"):
            await here.start()
        here.write(port, http="other_nonsense;")
        with pytest.raises(FindingsError, match="other_nonsense") as caught:
            await here.start()
        assert "first_nonsense" not in str(caught.value)

    run(scenario())


def test_workers_that_cannot_live_fail_the_start(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port, main="working_directory /nonexistent;")
        with pytest.raises(FindingsError, match=r"its workers exit at once.*nonexistent"):
            await here.start()
        assert here.left_running() == []

    run(scenario())


def test_start_that_never_gets_ready_is_bounded_and_ended(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        here.conf.write_text(here.conf.read_text().replace("pid nginx.pid", "pid elsewhere.pid"))
        with pytest.raises(FindingsError, match=r"not ready within 0\.5 s"):
            await here.start(within=0.5)
        assert here.left_running() == []

    run(scenario())


def test_cancelled_start_leaves_nothing_running(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        with taken(port):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.4):
                    await here.start()
            assert here.left_running() == []

    run(scenario())


def test_ending_without_patience_has_killed_before_it_can_be_cancelled(
    here: Installation, port: int
) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        for stat in orphans.members(master.record):
            os.kill(stat.pid, signal.SIGSTOP)  # deaf to anything gentler
        ending = asyncio.ensure_future(orphans.end_session(master.record, patience=0.0))
        await asyncio.sleep(0)
        ending.cancel()
        await until(lambda: not here.left_running())
        await master.wait()

    run(scenario())


def test_second_start_on_a_living_master_is_refused(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        with pytest.raises(InternalFault, match="is alive: adopt it"):
            await here.start()
        assert await fetch(port) == "one"
        await master.terminate()

    run(scenario())


def test_early_log_option_is_accepted_where_the_build_has_it(
    here: Installation, port: int, nginx_facts: Facts
) -> None:
    async def scenario() -> None:
        here.write(port)
        if not nginx_facts.has(Feature.EARLY_LOG):
            with pytest.raises(FindingsError, match='invalid option: "e"'):
                await here.start(early_log_option=True)
            return
        master = await here.start(early_log_option=True)
        assert await fetch(port) == "one"
        await master.terminate()

    run(scenario())


def test_client_that_hangs_on_cannot_hold_up_the_end(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost:")
        await writer.drain()
        await asyncio.sleep(0.2)
        ended = await master.quit(0.3)
        assert ended.forced
        assert here.left_running() == []
        assert await reader.read() == b""
        writer.close()

    run(scenario())


def test_request_in_flight_is_finished_by_a_graceful_end(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n")
        await writer.drain()
        await asyncio.sleep(0.2)
        ending = asyncio.ensure_future(master.quit(10))
        await asyncio.sleep(0.2)
        writer.write(b"\r\n")
        assert (await reader.read()).endswith(b"one")
        writer.close()
        assert not (await ending).forced

    run(scenario())


def test_master_that_does_not_answer_is_killed_with_its_workers(
    here: Installation, port: int
) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        os.kill(master.pid, signal.SIGSTOP)
        ended = await master.terminate(within=0.3)
        assert (ended.killed_by, ended.forced) == (signal.SIGKILL, True)
        assert str(ended) == f"nginx (pid {master.pid}) ended (killed by SIGKILL, forced)"
        assert here.left_running() == []

    run(scenario())


# -- reloading


def test_reload_is_confirmed_when_all_workers_are_new(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        before = {worker.pid for worker in master.workers()}
        here.write(port, "two", workers=3)
        outcome = await master.reloaded(master.reload(), 10, expected_workers=3)
        assert outcome.ok, outcome
        assert len(outcome.workers) == 3
        assert not before & set(outcome.workers)
        assert await fetch(port) == "two"
        await master.terminate()

    run(scenario())


def test_refused_reload_is_told_and_the_old_configuration_serves_on(
    here: Installation, port: int
) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        before = {worker.pid for worker in master.workers()}
        here.write(port, "two", http="nonsense;")
        outcome = await master.reloaded(master.reload(), 10)
        assert not outcome.ok
        assert 'unknown directive "nonsense"' in " ".join(outcome.lines)
        assert outcome.seconds < 5
        assert await fetch(port) == "one"
        assert before == {worker.pid for worker in master.workers()}
        here.write(port, "three")
        assert (await master.reloaded(master.reload(), 10)).ok
        assert await fetch(port) == "three"
        await master.terminate()

    run(scenario())


def test_reload_onto_a_taken_port_is_refused(
    here: Installation, free_port: Callable[[], int]
) -> None:
    async def scenario() -> None:
        port, other = free_port(), free_port()
        here.write(port)
        master = await here.start()
        here.write(port, "two", http=f"server {{ listen 127.0.0.1:{other}; }}")
        with taken(other):
            outcome = await master.reloaded(master.reload(), 10)
        assert not outcome.ok
        assert outcome.reason == "nginx refused it"
        assert f"bind() to 127.0.0.1:{other} failed" in outcome.lines[0]
        assert await fetch(port) == "one"
        await master.terminate()

    run(scenario())


def test_reload_that_gets_its_port_at_a_later_try_is_confirmed(
    here: Installation, free_port: Callable[[], int]
) -> None:
    async def scenario() -> None:
        port, other = free_port(), free_port()
        here.write(port)
        master = await here.start()
        here.write(port, "two", http=f'server {{ listen 127.0.0.1:{other}; return 200 "x"; }}')
        with taken(other):
            request = master.reload()
            await until(lambda: any("bind()" in line for line in request.mark.lines()))
        assert (await master.reloaded(request, 10)).ok
        assert await fetch(other) == "x"
        await master.terminate()

    run(scenario())


def test_reload_with_too_few_workers_is_not_confirmed(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        outcome = await master.reloaded(master.reload(), 1, expected_workers=5)
        assert not outcome.ok
        assert "2 workers are there, not 5" in outcome.reason
        await master.terminate()

    run(scenario())


def test_reload_is_not_confirmed_while_a_stopped_master_does_nothing(
    here: Installation, port: int
) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        os.kill(master.pid, signal.SIGSTOP)
        outcome = await master.reloaded(master.reload(), 0.5)
        os.kill(master.pid, signal.SIGCONT)
        assert not outcome.ok
        assert "old workers go on serving" in outcome.reason
        await master.terminate()

    run(scenario())


def test_old_worker_with_a_client_is_seen_shutting_down(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port, workers=1)
        master = await here.start()
        (old,) = master.workers()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost:")
        await writer.drain()
        await asyncio.sleep(0.2)
        outcome = await master.reloaded(master.reload(), 10, expected_workers=1)
        assert outcome.ok
        assert {worker.pid: worker.shutting_down for worker in master.workers()} == {
            old.pid: True,
            outcome.workers[0]: False,
        }
        writer.close()
        await master.terminate()

    run(scenario())


# -- deaths


def test_killed_worker_is_replaced_and_the_master_goes_on(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        before = {worker.pid for worker in master.workers()}
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        await until(lambda: len({worker.pid for worker in master.workers()} - {victim}) == 2)
        assert master.running
        assert await fetch(port) == "one"
        await master.terminate()

    run(scenario())


def test_killed_master_is_noticed_and_its_workers_end_before_the_next_start(
    here: Installation, port: int
) -> None:
    async def scenario() -> None:
        here.write(port)
        first = await here.start()
        os.kill(first.pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            ended = await first.wait()
        assert ended.killed_by == signal.SIGKILL
        assert "killed by SIGKILL" in str(ended)
        assert not first.running
        left = here.left_running()
        assert len(left) == 2
        assert await fetch(port) == "one"  # the workers go on
        here.write(port, "two")
        second = await here.start()
        assert {await fetch(port) for _ in range(8)} == {"two"}
        assert all(proc.read_stat(pid) is None for pid in left)
        await second.terminate()

    run(scenario())


def test_without_ending_orphans_the_port_would_be_taken(
    here: Installation, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        here.write(port)
        first = await here.start()
        left = [worker.pid for worker in first.workers()]
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()

        async def nothing(*_: object, **__: object) -> tuple[int, ...]:
            return ()

        monkeypatch.setattr(orphans, "end_orphans", nothing)
        try:
            with pytest.raises(FindingsError, match="port-in-use"):
                await here.start(within=0.5)
        finally:
            for pid in left:
                os.kill(pid, signal.SIGKILL)

    run(scenario())


def test_orphan_that_does_not_let_go_is_killed(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        stuck = min(worker.pid for worker in master.workers())
        os.kill(stuck, signal.SIGSTOP)
        os.kill(master.pid, signal.SIGKILL)
        await master.wait()
        ended = await orphans.end_orphans(here.prefix, patience=0.3)
        assert stuck in ended
        assert here.left_running() == []

    run(scenario())


def test_living_masters_workers_are_no_orphans(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        assert await orphans.end_orphans(here.prefix) == ()
        assert await fetch(port) == "one"
        await master.terminate()

    run(scenario())


def test_stale_unix_socket_of_a_killed_nginx_is_removed(here: Installation) -> None:
    async def scenario() -> None:
        path = here.prefix / "hop.sock"
        here.write(f"unix:{path}")
        await here.start()
        assert orphans.remove_stale_sockets([path]) == ()  # it answers
        here.kill()
        await until(lambda: not here.left_running())
        assert path.is_socket()
        with pytest.raises(FindingsError, match="port-in-use"):
            await here.start(within=0.5)
        here.conf.touch()
        stale = [path, here.prefix / "never.sock", here.conf]
        await here.start(unix_listeners=stale)
        assert here.conf.exists()
        assert orphans.remove_stale_sockets(stale) == ()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        here.kill()
        await until(lambda: not here.left_running())
        assert orphans.remove_stale_sockets(stale) == (path,)

    run(scenario())


async def lose_workers(here: Installation, master: NginxMaster) -> None:
    """Every worker from now on exits with code 2, and there are none any more."""
    (here.prefix / "work").rmdir()
    for worker in master.workers():
        os.kill(worker.pid, signal.SIGKILL)
    await until(lambda: not master.workers())


def write_with_work_directory(here: Installation, port: int) -> None:
    (here.prefix / "work").mkdir()
    here.write(port, main=f'working_directory "{here.prefix}/work";')


def test_master_whose_workers_cannot_be_respawned_is_ended_by_whoever_waits(
    here: Installation, port: int
) -> None:
    async def scenario() -> None:
        write_with_work_directory(here, port)
        master = await here.start()
        assert await master.serves()
        await lose_workers(here, master)
        assert not await master.serves()
        assert master.running
        async with asyncio.timeout(8):
            ended = await master.wait()
        assert (ended.code, ended.forced) == (0, False)
        assert "no worker of it took connections any more; [alert] worker process" in str(ended)
        assert "cannot be respawned" in str(ended)
        assert here.left_running() == []

    run(scenario())


def test_master_that_drains_as_asked_is_not_taken_for_one_without_workers(
    here: Installation, port: int
) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        waiting = asyncio.ensure_future(master.wait())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n")
        await writer.drain()
        await asyncio.sleep(0.2)
        ending = asyncio.ensure_future(master.quit(20))
        await until(lambda: all(worker.shutting_down for worker in master.workers()))
        assert not await master.serves()
        await asyncio.sleep(3.5)  # longer than the look for workers takes
        writer.write(b"\r\n")
        assert (await reader.read()).endswith(b"one")
        writer.close()
        assert not (await ending).forced
        assert (await waiting).because == ""

    run(scenario())


def test_reload_whose_workers_exit_at_once_fails_without_delay_and_can_be_undone(
    here: Installation, port: int
) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        here.write(port, "two", main="working_directory /nonexistent;")
        outcome = await master.reloaded(master.reload(), 20)
        assert (outcome.ok, outcome.lines) == (False, ())
        assert outcome.seconds < 5
        assert "its new workers exit at once: " in outcome.reason
        assert "nonexistent" in outcome.reason
        here.write(port)
        assert (await master.reloaded(master.reload(), 20)).ok
        assert await fetch(port) == "one"
        await master.terminate()

    run(scenario())


# -- adoption

AGENT = """
import asyncio, os, sys
from pathlib import Path
from tests.nginx.installation import Installation

async def main():
    here = Installation(Path(sys.argv[1]), Path(sys.argv[2]))
    master = await here.start()
    print(master.pid, flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def killed_agent(here: Installation) -> int:
    """An agent that starts nginx and is killed; the pid of the nginx it leaves."""
    done = subprocess.run(
        [sys.executable, "-c", AGENT, str(here.binary), str(here.prefix)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return int(done.stdout)


def test_nginx_of_a_killed_agent_serves_on_and_is_adopted(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        pid = await asyncio.to_thread(killed_agent, here)
        assert await fetch(port) == "one"
        master = NginxMaster.adopt(here.prefix)
        assert master is not None
        assert (master.pid, master.adopted) == (pid, True)
        here.write(port, "two")
        assert (await master.reloaded(master.reload(), 10, expected_workers=2)).ok
        assert await fetch(port) == "two"
        ended = await master.quit(5)
        assert (ended.code, ended.killed_by, ended.forced) == (None, None, False)
        assert "exit code is not known" in str(ended)
        assert NginxMaster.adopt(here.prefix) is None

    run(scenario())


def test_death_of_an_adopted_master_is_noticed(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        await asyncio.to_thread(killed_agent, here)
        master = NginxMaster.adopt(here.prefix)
        assert master is not None
        os.kill(master.pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            await master.wait()
        assert not master.running
        again = await here.start()
        assert await fetch(port) == "one"
        await again.terminate()

    run(scenario())


def test_master_is_adopted_by_its_pid_file_when_the_record_is_lost(
    here: Installation, port: int
) -> None:
    async def scenario() -> None:
        here.write(port)
        pid = await asyncio.to_thread(killed_agent, here)
        record = MasterRecord.read(here.prefix)
        (here.prefix / "master.json").write_text("{")
        master = NginxMaster.adopt(here.prefix)
        assert master is not None
        assert master.pid == pid
        assert MasterRecord.read(here.prefix) == record
        await master.terminate()

    run(scenario())


def test_master_is_adopted_by_its_record_when_the_pid_file_is_lost(
    here: Installation, port: int
) -> None:
    async def scenario() -> None:
        here.write(port)
        pid = await asyncio.to_thread(killed_agent, here)
        (here.prefix / "nginx.pid").unlink()
        master = NginxMaster.adopt(here.prefix)
        assert master is not None
        assert master.pid == pid
        await master.terminate()

    run(scenario())


def test_reused_pid_is_not_adopted(here: Installation, port: int, tmp_path: Path) -> None:
    async def scenario() -> None:
        here.write(port)
        first = await here.start()
        record = first.record
        await first.terminate()
        # The record's pid, and by a miracle its start time, now are another program's.
        sleeper = await asyncio.create_subprocess_exec("sleep", "60")
        try:
            stat = proc.read_stat(sleeper.pid)
            assert stat is not None
            replace(record, pid=stat.pid, start_time=stat.start_time).write(here.prefix)
            (here.prefix / "nginx.pid").write_text(f"{sleeper.pid}\n")
            assert NginxMaster.adopt(here.prefix) is None
        finally:
            sleeper.kill()
            await sleeper.wait()
        # Or another nginx's.
        with Installation(here.binary, tmp_path / "other nginx").cleaned_up() as other:
            other.write(port)
            neighbour = await other.start()
            replace(record, pid=neighbour.pid).write(here.prefix)
            (here.prefix / "nginx.pid").write_text(f"{neighbour.pid}\n")
            assert NginxMaster.adopt(here.prefix) is None
            assert await orphans.end_orphans(here.prefix) == ()
            assert await fetch(port) == "one"
            await neighbour.terminate()

    run(scenario())


@pytest.mark.parametrize("lost", ["nothing", "master.json", "nginx.pid"])
def test_copied_prefix_says_nothing_of_the_nginx_on_the_original(
    here: Installation, port: int, tmp_path: Path, lost: str
) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        workers = master.workers()
        copy = tmp_path / "copy"
        shutil.copytree(here.prefix, copy)
        (copy / lost).unlink(missing_ok=True)
        assert NginxMaster.adopt(copy) is None
        assert await orphans.end_orphans(copy) == ()
        # Even if the record claims that it belongs there.
        arguments = tuple(
            str(copy) if one == str(here.prefix) else one for one in master.record.arguments
        )
        forged = replace(master.record, arguments=arguments)
        forged.write(copy)
        assert NginxMaster.adopt(copy) is None
        assert orphans.members(forged) == ()
        assert await orphans.end_orphans(copy) == ()
        assert master.running
        assert master.workers() == workers
        await master.terminate()

    run(scenario())


@pytest.mark.parametrize("record_kept", [True, False])
def test_prefix_reached_by_another_name_is_the_same(
    here: Installation, port: int, tmp_path: Path, record_kept: bool
) -> None:
    async def scenario() -> None:
        here.write(port)
        first = await here.start()
        first.close()
        if not record_kept:
            (here.prefix / "master.json").unlink()
        (tmp_path / "link").symlink_to(here.prefix)
        second = NginxMaster.adopt(tmp_path / "link")
        assert second is not None
        assert second.pid == first.pid
        await second.terminate()

    run(scenario())


def test_master_that_runs_another_file_is_not_the_one_recorded(
    here: Installation, port: int
) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        assert master.record.is_alive()
        assert not replace(master.record, inode=master.record.inode + 1).is_alive()
        assert not replace(master.record, device=master.record.device + 1).is_alive()
        await master.terminate()

    run(scenario())


def test_record_of_an_earlier_boot_is_not_believed(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        (here.prefix / "nginx.pid").unlink()
        replace(master.record, boot_id="another").write(here.prefix)
        assert NginxMaster.adopt(here.prefix) is None
        master.record.write(here.prefix)
        await master.terminate()

    run(scenario())


def test_nothing_is_adopted_where_nothing_ran(tmp_path: Path) -> None:
    async def scenario() -> None:
        assert NginxMaster.adopt(tmp_path) is None
        (tmp_path / "nginx.pid").write_text("")  # as `nginx -t` leaves it
        assert NginxMaster.adopt(tmp_path) is None

    run(scenario())


@pytest.mark.parametrize("env", [{}, ENV])
def test_adoption_does_not_need_an_environment(
    here: Installation, port: int, env: dict[str, str]
) -> None:
    async def scenario() -> None:
        here.env = env
        here.write(port)
        first = await here.start()
        first.close()
        second = NginxMaster.adopt(here.prefix)
        assert second is not None
        assert second.pid == first.pid
        await second.terminate()

    run(scenario())


def test_nginx_behind_a_wrapper_script_is_started_and_adopted(
    here: Installation, port: int, tmp_path: Path
) -> None:
    async def scenario() -> None:
        here.write(port)
        wrapper = tmp_path / "wrapped nginx"
        wrapper.write_text(f'#!/bin/sh\nsleep 0.1\nexec {here.binary} "$@"\n')
        wrapper.chmod(0o755)
        wrapped = Installation(wrapper, here.prefix)
        first = await wrapped.start()
        assert Path(first.record.executable) == here.binary
        assert first.record.binary_change() is None
        assert first.is_other_than(wrapper) is None
        assert first.is_other_than(here.binary) is not None
        first.close()
        second = NginxMaster.adopt(here.prefix)
        assert second is not None
        await second.terminate()

    run(scenario())


def test_prefix_with_spaces_and_beyond_ascii_works(
    nginx_build: Path, port: int, tmp_path: Path
) -> None:
    async def scenario() -> None:
        with Installation(nginx_build, tmp_path / "é 日本 nginx").cleaned_up() as here:
            here.write(port)
            first = await here.start()
            first.close()
            (here.prefix / "master.json").unlink()
            second = NginxMaster.adopt(here.prefix)
            assert second is not None
            assert second.record.configuration == str(here.conf)
            await second.terminate()

    run(scenario())


def test_replaced_program_is_noticed(here: Installation, port: int, tmp_path: Path) -> None:
    async def scenario() -> None:
        here.write(port)
        binary = tmp_path / "nginx-copy"
        shutil.copy2(here.binary, binary)
        copied = Installation(binary, here.prefix)
        master = await copied.start()
        assert master.record.binary_change() is None
        master.close()
        shutil.copy2(here.binary, tmp_path / "newer")
        (tmp_path / "newer").rename(binary)
        adopted = NginxMaster.adopt(here.prefix)
        assert adopted is not None
        assert f"{binary} was replaced" in str(adopted.record.binary_change())
        assert adopted.is_other_than(binary) == adopted.record.binary_change()
        assert f"was started as {binary}, not as {here.binary}" in str(
            adopted.is_other_than(here.binary)
        )
        binary.unlink()
        assert f"{binary} is gone from disk" in str(adopted.record.binary_change())
        await adopted.terminate()

    run(scenario())


def test_leaving_nginx_running_makes_no_noise(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            master.close()
            del master
        adopted = NginxMaster.adopt(here.prefix)
        assert adopted is not None
        await adopted.terminate()

    run(scenario())


# -- logs


def test_logs_are_rotated_by_rename_and_reopen(here: Installation, port: int) -> None:
    async def scenario() -> None:
        here.write(port)
        master = await here.start()
        await fetch(port)
        logs = here.prefix / "logs"
        await until(lambda: "GET /" in (logs / "access.log").read_text())
        for name in ("access.log", "error.log"):
            (logs / name).rename(logs / f"{name}.1")
        await fetch(port)
        # The line is written after the answer.
        await until(lambda: (logs / "access.log.1").read_text().count("GET /") == 2)
        assert not (logs / "access.log").exists()
        master.reopen_logs()
        await until((logs / "access.log").exists)
        await until((logs / "error.log").exists)

        async def until_logged() -> None:
            async with asyncio.timeout(5):
                while not (logs / "access.log").read_text():
                    await fetch(port)

        await until_logged()
        # A reload is still judged by the new file.
        here.write(port, http="nonsense;")
        outcome = await master.reloaded(master.reload(), 10)
        assert 'unknown directive "nonsense"' in " ".join(outcome.lines)
        await master.terminate()

    run(scenario())
