"""Edges of the machine the agent meets: sockets nobody listens on, links on the way to its state, names
without an address, pipes in place of files, few descriptors, and what a killed process left."""

from __future__ import annotations

import os
import pwd
import re
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.refusing import attempt, checked
from tests.integration.running import COMMAND, Material, Running, egress_spec, write_spec
from tests.integration.upstreams import ask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving files away takes root")
NOWHERE = "https://127.0.0.1:9"


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    return free_port()


@pytest.fixture
def folder(material: Material, port: int) -> Path:
    """A folder of the test's own, which only its owner and group may enter, for unix sockets."""
    path = material.folder / f"sockets-{port}"
    path.mkdir(mode=0o750)
    return path


def awaited(condition: Callable[[], Any], within: float = 15) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def dead_socket(path: Path) -> Path:
    """A socket file whose listener is gone, as a crash leaves it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
    return path


def placed(material: Material, name: str, listen: str) -> Path:
    return write_spec(material.folder, name, egress_spec(material, listen, NOWHERE))


# -- sockets


def test_a_reload_takes_the_place_of_a_socket_nobody_listens_on(
    material: Material, nginx_build: Path, port: int, folder: Path
) -> None:
    path = placed(material, f"stale-{port}", f"127.0.0.1:{port}")
    with Running(path, nginx_build) as agent:
        stale = dead_socket(folder / "x.sock")
        placed(material, path.stem, f"unix:{stale}")
        agent.reload()
        agent.wait_for("change in effect")
        assert ask(stale).status == 502


def test_a_reload_leaves_the_socket_of_another_program_alone(
    material: Material, nginx_build: Path, port: int, folder: Path
) -> None:
    path = placed(material, f"taken-{port}", f"127.0.0.1:{port}")
    with Running(path, nginx_build) as agent, socket.socket(socket.AF_UNIX) as listener:
        taken = folder / "x.sock"
        listener.bind(str(taken))
        listener.listen()
        placed(material, path.stem, f"unix:{taken}")
        agent.reload()
        agent.wait_for("change refused", within=30)
        assert "ss -lxp" in agent.text
        assert taken.is_socket()
        assert ask(port).status == 502


def given_away(folder: Path) -> None:
    os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)


def shared_with_the_group(folder: Path) -> None:
    folder.chmod(0o770)


def below_a_place_for_all(folder: Path) -> None:
    folder.parent.chmod(0o777)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(given_away, "belongs to nobody", marks=needs_root),
        (shared_with_the_group, "may write to it (mode 0770)"),
        (below_a_place_for_all, "every local user may write to"),
    ],
)
def test_a_socket_that_others_could_replace_is_refused(
    material: Material,
    nginx_builds: dict[str, Path],
    port: int,
    folder: Path,
    change: Callable[[Path], None],
    told: str,
) -> None:
    inner = folder / "inner"
    inner.mkdir(mode=0o750)
    path = placed(material, f"replaceable-{port}", f"unix:{inner}/x.sock")
    nginx, state = nginx_builds["distribution"], path.with_suffix(".state")
    assert checked(path, state, nginx).code == 0
    change(inner)
    for refused in (checked(path, state, nginx), attempt("run", path, state, nginx=nginx)):
        assert refused.code == 1
        (error,) = refused.errors
        assert told in error
        assert "[unix-directory-not-ours]" in error
    inner.chmod(0o750)
    os.chown(inner, os.geteuid(), -1)
    folder.chmod(0o1777)  # with the sticky bit nobody may rename what is another's
    assert checked(path, state, nginx).code == 0


def test_directories_made_for_a_socket_are_closed_to_writers_whatever_the_umask(
    material: Material, nginx_builds: dict[str, Path], port: int, folder: Path
) -> None:
    path = placed(material, f"umask-{port}", f"unix:{folder}/a/b/x.sock")
    under = ["sh", "-c", 'umask 0; exec "$@"', "sh"]
    with Running(path, nginx_builds["distribution"], under=under):
        modes = [(folder / name).stat().st_mode & 0o777 for name in ("a", "a/b")]
        assert modes == [0o755, 0o750]


def test_a_control_socket_whose_path_is_too_long_is_told_with_what_to_do(
    material: Material, nginx_builds: dict[str, Path], port: int
) -> None:
    path = placed(material, f"long-{port}", f"127.0.0.1:{port}")
    state = material.folder / ("s" * 100)
    refused = attempt("run", path, state, nginx=nginx_builds["distribution"])
    assert refused.code == 3
    (error,) = refused.errors
    assert "path too long" in error
    assert "None" not in refused.text
    assert "--state-dir" in refused.text


def test_where_only_the_control_socket_fits_the_trial_takes_place_elsewhere(
    material: Material, nginx_build: Path, port: int, folder: Path
) -> None:
    control = material.folder / f"f-{port}.state" / "run" / "control.sock"
    stem = f"f-{port}".ljust(len(f"f-{port}") + 107 - len(str(control)), "x")
    path = placed(material, stem, f"unix:{folder}/x.sock")
    with Running(path, nginx_build) as agent:
        assert len(str(agent.state / "run" / "control.sock")) == 107
        assert agent.status()["ready"]


# -- the state directory


def test_a_state_directory_may_be_a_link_as_systemd_makes_them(
    material: Material, nginx_build: Path, port: int, free_port: Callable[[], int]
) -> None:
    path = placed(material, f"link-{port}", f"127.0.0.1:{port}")
    real = material.folder / f"private-{port}" / "handclasp"
    path.with_suffix(".state").symlink_to(real)  # to be made, as the directory itself would be
    with Running(path, nginx_build) as agent:
        assert agent.status()["ready"]
        assert (real / "generation" / "current").is_symlink()
        placed(material, path.stem, f"127.0.0.1:{free_port()}")
        agent.reload()
        agent.wait_for("change in effect")


def test_below_the_state_directory_no_link_is_followed(
    material: Material, nginx_builds: dict[str, Path], port: int
) -> None:
    path = placed(material, f"inner-{port}", f"127.0.0.1:{port}")
    state, elsewhere = path.with_suffix(".state"), material.folder / f"elsewhere-{port}"
    with Running(path, nginx_builds["distribution"]):
        pass
    (state / "run").rename(elsewhere)
    (state / "run").symlink_to(elsewhere)
    refused = attempt("run", path, state, nginx=nginx_builds["distribution"])
    assert refused.code == 3
    assert "Too many levels of symbolic links" in refused.text


# -- names


def test_an_upstream_whose_name_has_no_address_is_down_in_the_status_on_every_build(
    material: Material, nginx_build: Path, port: int, free_port: Callable[[], int]
) -> None:
    spec = egress_spec(material, f"127.0.0.1:{port}", "https://no-such-host.invalid")
    up = {**spec["egress"][0], "name": "up", "listen": f"127.0.0.1:{free_port()}"}
    spec["egress"].append({**up, "upstream": NOWHERE})
    with Running(write_spec(material.folder, f"down-{port}", spec), nginx_build) as agent:
        links = {link["name"]: link for link in agent.status()["links"]}
        (down,) = links["orders"]["down"]
        assert "no-such-host.invalid cannot be resolved" in down
        assert links["up"]["down"] == []


# -- the spec


def test_a_pipe_in_place_of_the_spec_holds_nothing_up(
    material: Material, nginx_builds: dict[str, Path], port: int
) -> None:
    path = placed(material, f"pipe-{port}", f"127.0.0.1:{port}")
    nginx = nginx_builds["distribution"]
    with Running(path, nginx) as agent:
        path.unlink()
        os.mkfifo(path)
        agent.reload()
        agent.wait_for("change refused", within=15)
        assert "did not come to an end" in agent.text
        refused = attempt("check", path, path.with_suffix(".other"), nginx=nginx, timeout=20)
        assert refused.code == 2
        assert "[spec-unreadable]" in refused.text
        agent.process.terminate()
        assert agent.process.wait(10) == 0


# -- descriptors


def test_too_few_open_files_are_refused_with_the_number_that_is_needed(
    material: Material, nginx_builds: dict[str, Path], port: int
) -> None:
    path = placed(material, f"few-{port}", f"127.0.0.1:{port}")
    for command in ("check", "run"):
        done = subprocess.run(
            [
                *("sh", "-c", 'ulimit -n 64; exec "$@"', "sh", str(COMMAND), command),
                *("-c", str(path), "--nginx", str(nginx_builds["distribution"])),
                *("--state-dir", str(path.with_suffix(".state"))),
            ],
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        assert done.returncode == 1
        said = done.stdout + done.stderr
        assert "64 open files" in said
        assert "130 at least" in said
        assert "[open-files-limit]" in said
        assert "LimitNOFILE=" in said


def test_with_just_enough_open_files_the_connections_are_as_many_as_fit(
    material: Material, nginx_build: Path, port: int
) -> None:
    path = placed(material, f"enough-{port}", f"127.0.0.1:{port}")
    under = ["sh", "-c", 'ulimit -n 130; exec "$@"', "sh"]
    with Running(path, nginx_build, under=under) as agent:
        written = (agent.state / "generation" / "current" / "nginx.conf").read_text()
        assert re.search(r"worker_connections\s+33;", written)
        assert re.search(r"worker_rlimit_nofile\s+130;", written)
        assert ask(port).status == 502
        assert "worker_connections exceed" not in agent.error_log


# -- what a killed process leaves


def slowly_testing(nginx: Path, spec: Path) -> Path:
    """Never comes to an end with `-t`; its pid is then in SPEC.testing."""
    path, marker = spec.with_suffix(".nginx"), spec.with_suffix(".testing")
    path.write_text(
        f'#!/bin/sh\ncase " $* " in *" -t "*) echo $$ >"{marker}.new";'
        f' mv "{marker}.new" "{marker}"; exec sleep 60;; esac\nexec "{nginx}" "$@"\n'
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("command", ["run", "check"])
def test_what_a_killed_process_was_trying_out_is_gone_after_the_next(
    material: Material, nginx_builds: dict[str, Path], port: int, folder: Path, command: str
) -> None:
    path = placed(material, f"killed-{command}-{port}", f"unix:{folder}/x.sock")
    state, marker = path.with_suffix(".state"), path.with_suffix(".testing")
    temporary = material.folder / "tmp"
    temporary.mkdir(exist_ok=True)
    nginx = nginx_builds["distribution"]
    arguments = ["-c", str(path), "--nginx", str(slowly_testing(nginx, path))]
    process = subprocess.Popen(
        [str(COMMAND), command, *arguments, "--state-dir", str(state)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        awaited(marker.exists)
    finally:
        process.kill()
        process.wait(5)
    os.kill(int(marker.read_text()), 9)

    def left() -> list[Path]:
        return [*state.rglob(".test-*"), *temporary.iterdir()]

    assert left()
    if command == "check":
        assert attempt("check", path, state, nginx=nginx).code == 0
    else:
        with Running(path, nginx, env={"TMPDIR": str(temporary)}):
            pass
    assert left() == []
