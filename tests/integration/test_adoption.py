"""Whose nginx it is and whether it can be had: copied states, upgrades, endings, lost workers."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.nginx.workers import workers_of
from tests.integration.running import Running, write_spec
from tests.integration.test_agent_lifecycle import call, processes_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.running import Material

pytestmark = pytest.mark.integration


def killed(agent: Running) -> int:
    """Ends the agent with SIGKILL; the pid of the nginx it leaves."""
    agent.process.kill()
    agent.process.wait(5)
    master = agent.master_pid
    assert master is not None
    return master


def program_of(master: int | None) -> Path:
    return Path(f"/proc/{master}/exe").readlink()


def replaced(program: Path, content: Path) -> None:
    """As a package manager does it: another file gets the name, the one that runs goes on."""
    fresh = program.with_name(f"{program.name}.dpkg-new")
    shutil.copy2(content, fresh)
    fresh.rename(program)


def script(path: Path, nginx: Path, *, refuses: str) -> Path:
    """A program that is nginx, except that it fails in a test (`-t`) or in serving (`serving`)."""
    failing = '*" -t "*' if refuses == "-t" else '*" -t "*|*" -V "*) ;; *'
    path.write_text(
        f'#!/bin/sh\ncase " $* " in {failing}) echo "nginx: [emerg] not today" >&2; exit 1;; esac\n'
        f'exec "{nginx}" "$@"\n'
    )
    path.chmod(0o755)
    return path


def until(condition: Callable[[], bool], within: float = 15) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


# -- copies of a state directory


def test_a_copied_state_directory_leaves_the_nginx_of_the_original_alone(
    material: Material,
    nginx_build: Path,
    port: int,
    spec: dict[str, Any],
    free_port: Callable[[], int],
) -> None:
    path = write_spec(material.folder, f"original-{port}", spec)
    with Running(path, nginx_build) as original:
        master = original.master_pid
        assert master is not None
        workers = workers_of(master)
        other = free_port()
        spec["ingress"][0]["listen"] = f"127.0.0.1:{other}"
        copied = write_spec(material.folder, f"copied-{port}", spec)
        shutil.copytree(original.state, copied.with_suffix(".state"), symlinks=True, ignore=sockets)
        with Running(copied, nginx_build) as copy:
            assert "adopted" not in copy.text
            assert copy.master_pid != master
            assert call(material, other) == 200
            assert call(material, port) == 200
        assert processes_of(copy.state) == []
        assert workers_of(master) == workers
        assert call(material, port) == 200
        assert original.status()["ready"]


def test_a_copy_with_the_same_ports_says_that_they_are_taken(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"origin-{port}", spec)
    with Running(path, nginx_build) as original:
        master = killed(original)
        copied = write_spec(material.folder, f"twin-{port}", spec)
        shutil.copytree(original.state, copied.with_suffix(".state"), symlinks=True, ignore=sockets)
        with Running(copied, nginx_build, expect_ready=False) as copy:
            assert copy.process.wait(20) == 3
            assert "port-in-use" in copy.text
        assert call(material, port) == 200
        with Running(path, nginx_build, expect_ready=False) as again:  # the original itself may
            again.wait_for(" ready ", count=2)
            assert again.master_pid == master


def sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_socket()]


# -- another program


@pytest.mark.parametrize("order", [("distribution", "wheel"), ("wheel", "distribution")])
def test_after_an_upgrade_of_nginx_the_next_run_starts_the_new_program(
    material: Material,
    nginx_builds: dict[str, Path],
    port: int,
    spec: dict[str, Any],
    order: tuple[str, str],
    tmp_path: Path,
) -> None:
    before, after = (nginx_builds[name] for name in order)
    program = tmp_path / "nginx"
    shutil.copy2(before, program)
    path = write_spec(material.folder, f"upgrade-{port}", spec)
    with Running(path, program) as first:
        old = killed(first)
        replaced(program, after)
        with Running(path, program, expect_ready=False) as second:
            second.wait_for(" ready ", count=2)
            assert f"{program} was replaced" in second.text
            assert second.master_pid != old
            assert program_of(second.master_pid) == program
            assert call(material, port) == 200
        assert processes_of(second.state) == []


@pytest.mark.parametrize("order", [("distribution", "wheel"), ("wheel", "distribution")])
def test_an_upgrade_under_a_running_agent_takes_effect_on_hup_and_is_watched(
    material: Material,
    nginx_builds: dict[str, Path],
    port: int,
    spec: dict[str, Any],
    order: tuple[str, str],
    tmp_path: Path,
) -> None:
    before, after = (nginx_builds[name] for name in order)
    program = tmp_path / "nginx"
    shutil.copy2(before, program)
    path = write_spec(material.folder, f"live-{port}", spec)
    with Running(path, program) as agent:
        old = agent.master_pid
        version = agent.status()["nginx"]["version"]
        replaced(program, after)
        spec["ingress"][0]["clients"]["allow"] = ["cn:svc-x"]
        write_spec(material.folder, f"live-{port}", spec)
        agent.reload()
        agent.wait_for("change in effect")
        assert "has to be restarted, not reloaded" in agent.text
        assert call(material, port) == 403
        assert agent.master_pid != old
        assert agent.status()["nginx"]["version"] != version
        new = agent.master_pid
        assert new is not None
        os.kill(new, signal.SIGKILL)
        agent.wait_for("nginx started", count=3)
        until(lambda: agent.status()["ready"])
        assert call(material, port) == 403
        assert agent.text.count("nginx is started again") == 1


def test_an_upgrade_to_a_program_that_refuses_the_configuration_leaves_nginx_as_it_is(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any], tmp_path: Path
) -> None:
    program = tmp_path / "nginx"
    shutil.copy2(nginx_build, program)
    path = write_spec(material.folder, f"refuses-{port}", spec)
    with Running(path, program) as agent:
        master = agent.master_pid
        replaced(program, script(tmp_path / "broken", nginx_build, refuses="-t"))
        agent.reload()
        agent.wait_for("change refused, the old configuration serves on")
        assert "not today" in agent.text
        assert agent.master_pid == master
        assert call(material, port) == 200
        assert str((agent.state / "generation" / "current").readlink()) == "1"


def test_an_upgrade_to_a_program_that_does_not_serve_leaves_the_old_one_serving(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any], tmp_path: Path
) -> None:
    program = tmp_path / "nginx"
    shutil.copy2(nginx_build, program)
    path = write_spec(material.folder, f"comeback-{port}", spec)
    with Running(path, program) as agent:
        old = agent.master_pid
        replaced(program, script(tmp_path / "broken", nginx_build, refuses="serving"))
        spec["ingress"][0]["clients"]["allow"] = ["cn:svc-x"]
        write_spec(material.folder, f"comeback-{port}", spec)
        agent.reload()
        agent.wait_for("change refused, the old configuration serves on")
        assert agent.master_pid == old
        assert str(program_of(agent.master_pid)) == f"{program} (deleted)"
        assert call(material, port) == 200
        assert agent.status()["ready"]
        # Once there is a good one, that is taken.
        replaced(program, nginx_build)
        agent.reload()
        agent.wait_for("change in effect")
        assert program_of(agent.master_pid) == program
        assert call(material, port) == 403


@pytest.mark.parametrize("order", [("distribution", "wheel"), ("wheel", "distribution")])
def test_a_run_with_another_program_replaces_the_nginx_left_running(
    material: Material,
    nginx_builds: dict[str, Path],
    port: int,
    spec: dict[str, Any],
    order: tuple[str, str],
) -> None:
    before, after = (nginx_builds[name] for name in order)
    path = write_spec(material.folder, f"other-{port}", spec)
    with Running(path, before) as first:
        killed(first)
        with Running(path, after, expect_ready=False) as second:
            second.wait_for(" ready ", count=2)
            assert program_of(second.master_pid) == after.resolve()
            assert call(material, port) == 200


@pytest.mark.parametrize("refuses", ["-t", "serving"])
def test_a_run_with_another_program_that_fails_leaves_the_old_one_serving(
    material: Material,
    nginx_build: Path,
    port: int,
    spec: dict[str, Any],
    tmp_path: Path,
    refuses: str,
) -> None:
    path = write_spec(material.folder, f"fails-{port}", spec)
    broken = script(tmp_path / "broken", nginx_build, refuses=refuses)
    with Running(path, nginx_build) as first:
        master = killed(first)
        with Running(path, broken, expect_ready=False) as second:
            assert second.process.wait(30) == (1 if refuses == "-t" else 3)
            assert "not today" in second.text
            assert second.master_pid == master
            assert program_of(second.master_pid) == nginx_build.resolve()
            assert call(material, port) == 200
            assert str((second.state / "generation" / "current").readlink()) == "1"
            with Running(path, nginx_build, expect_ready=False) as third:
                third.wait_for(" ready ", count=2)
                assert third.text.count("nginx adopted") == 2


def test_an_nginx_started_by_a_wrapper_is_adopted_and_reloaded_as_it_is(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any], tmp_path: Path
) -> None:
    wrapper = script(tmp_path / "wrapper", nginx_build, refuses="never")
    wrapper.write_text(f'#!/bin/sh\nexec "{nginx_build}" "$@"\n')
    path = write_spec(material.folder, f"wrapped-{port}", spec)
    with Running(path, wrapper) as first:
        master = killed(first)
        with Running(path, wrapper, expect_ready=False) as second:
            second.wait_for(" ready ", count=2)
            spec["ingress"][0]["clients"]["allow"] = ["cn:svc-x"]
            write_spec(material.folder, f"wrapped-{port}", spec)
            second.reload()
            second.wait_for("change in effect")
            assert second.master_pid == master
            assert "has to be restarted" not in second.text


# -- an nginx that serves no more


def test_an_agent_killed_while_draining_leaves_an_nginx_that_the_next_run_waits_for(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"drained-{port}", spec)
    answers: list[int] = []
    with Running(path, nginx_build) as first:
        slow = threading.Thread(target=lambda: answers.append(call(material, port, "/slow/7")))
        slow.start()
        time.sleep(0.5)
        first.process.terminate()
        first.wait_for("draining")
        time.sleep(0.3)
        master = killed(first)
        assert Path(f"/proc/{master}").exists()
        with Running(path, nginx_build, expect_ready=False) as second:
            second.wait_for(" ready ", count=2)
            assert "an nginx that serves no more is ended" in second.text
            assert second.master_pid != master
            assert call(material, port) == 200
            slow.join(10)
    assert answers == [200]
    assert processes_of(first.state) == []


def without_memory_for_workers(master: int) -> None:
    """Every worker it starts from now on exits with code 2: its connections cannot be allocated."""
    resource.prlimit(master, resource.RLIMIT_AS, (1 << 20, resource.RLIM_INFINITY))
    for worker in workers_of(master):
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)
    until(lambda: not workers_of(master))


def test_an_nginx_whose_workers_cannot_live_is_started_again(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"workerless-{port}", spec)
    with Running(path, nginx_build) as agent:
        master = agent.master_pid
        assert master is not None
        without_memory_for_workers(master)
        assert not agent.status()["ready"]
        agent.wait_for("no worker of it took connections any more")
        assert "cannot be respawned" in agent.text
        agent.wait_for("nginx started", count=2)
        until(lambda: agent.status()["ready"])
        assert agent.master_pid != master
        assert call(material, port) == 200


def test_an_nginx_left_without_workers_is_not_adopted(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"empty-{port}", spec)
    with Running(path, nginx_build) as first:
        master = killed(first)
        without_memory_for_workers(master)
        with Running(path, nginx_build, expect_ready=False) as second:
            second.wait_for(" ready ", count=2)
            assert "an nginx that serves no more is ended" in second.text
            assert second.master_pid != master
            assert call(material, port) == 200
