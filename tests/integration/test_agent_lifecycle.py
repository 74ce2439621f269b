"""Running for a long time: reloads good and bad, crashes, adoption, draining, logs, two agents."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.fault_stage import IN_A_HURRY, OURS
from tests.integration.running import (
    SERVER_NAME,
    Running,
    handclasp,
    write_spec,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.running import Material

pytestmark = pytest.mark.integration


def call(material: Material, port: int, path: str = "/", *, client: str | None = "svc-b") -> int:
    """The status an HTTPS request gets; with `client` that identity is presented."""
    context = ssl.create_default_context(cafile=str(material.folder / "ca.pem"))
    if client:
        context.load_cert_chain(*material.pair(client))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=SERVER_NAME) as connection,
    ):
        head = f"GET {path} HTTP/1.1\r\nHost: {SERVER_NAME}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        return int(connection.recv(4096).split(b" ")[1])


def processes_of(state: Path) -> list[int]:
    """Every process whose command line names the state directory (nginx masters do)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(state).encode() in line:
                found.append(int(entry.name))
    return found


def test_a_good_change_takes_effect_on_hup_and_a_bad_one_is_refused(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"hup-{port}", spec)
    with Running(path, nginx_build) as agent:
        master = agent.master_pid
        assert call(material, port) == 200

        spec["ingress"][0]["clients"]["allow"] = ["cn:svc-x"]
        write_spec(material.folder, f"hup-{port}", spec)
        agent.reload()
        agent.wait_for("change in effect")
        assert call(material, port) == 403
        assert call(material, port, client="svc-x") == 200
        assert agent.status()["generation"] == 2

        for number, nonsense in enumerate(
            ("ingress: [", "name: x\ningres: []\n", "name: x\negress: []\ningress: []\n")
        ):
            path.write_text(nonsense, encoding="utf-8")
            agent.reload()
            agent.wait_for("change refused", count=number + 1)
            assert call(material, port, client="svc-x") == 200
        status = agent.status()
        assert status["ready"]
        assert status["generation"] == 2
        assert status["refused_change"]
        asked = handclasp("status", "-c", path, "--state-dir", agent.state, cwd=path.parent)
        assert asked.returncode == 1
        assert "REFUSED" in asked.stdout

        write_spec(material.folder, f"hup-{port}", spec)
        agent.reload()
        agent.wait_for("nothing changed")
        assert agent.status()["refused_change"] is None
        assert agent.master_pid == master


def test_the_key_of_an_identity_taken_out_of_the_spec_is_removed_in_time(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    material.add("server-two", sans=[SERVER_NAME], usages=[_server_usage()])
    path = write_spec(material.folder, f"forget-{port}", spec)
    with Running(path, nginx_build) as agent:
        old = agent.state / "identities" / "server-a"
        spec["identities"] = {"server-two": material.identity("server-two")}
        for change in range(1, 4):
            spec["ingress"][0].update(identity="server-two", timeouts={"idle": f"{change}m"})
            write_spec(material.folder, f"forget-{port}", spec)
            agent.reload()
            agent.wait_for("change in effect", count=change)
            # Workers of the generation before may still look it up.
            assert old.exists() == (change < 3)
        assert call(material, port) == 200


def test_a_changed_identity_is_served_after_hup_and_a_mismatched_one_is_refused(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    material.add("server-new", sans=[SERVER_NAME], usages=[_server_usage()])
    path = write_spec(material.folder, f"identity-{port}", spec)
    with Running(path, nginx_build) as agent:
        before = served(material, port)
        spec["identities"]["server-a"] = material.identity("server-new")
        write_spec(material.folder, f"identity-{port}", spec)
        agent.reload()
        agent.wait_for("change in effect")
        after = served(material, port)
        assert after != before

        spec["identities"]["server-a"]["key"] = "svc-b.key"
        write_spec(material.folder, f"identity-{port}", spec)
        agent.reload()
        agent.wait_for("change refused")
        assert "key-cert-mismatch" in agent.text
        assert served(material, port) == after


def served(material: Material, port: int) -> bytes:
    context = ssl.create_default_context(cafile=str(material.folder / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=SERVER_NAME) as connection,
    ):
        certificate = connection.getpeercert(binary_form=True)
        assert certificate is not None
        return certificate


def _server_usage() -> Any:
    from tests import pki

    return pki.SERVER


def test_a_change_whose_port_is_taken_is_rolled_back(
    material: Material,
    nginx_build: Path,
    port: int,
    spec: dict[str, Any],
    free_port: Callable[[], int],
) -> None:
    path = write_spec(material.folder, f"taken-{port}", spec)
    with Running(path, nginx_build) as agent, socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        spec["ingress"][0]["listen"] = [f"127.0.0.1:{port}", f"127.0.0.1:{taken}"]
        write_spec(material.folder, f"taken-{port}", spec)
        agent.reload()
        agent.wait_for("change refused", within=30)
        assert str(taken) in agent.text
        assert call(material, port) == 200
        generation = (agent.state / "generation" / "current").readlink()
        assert str(generation) == "1"
        assert not (agent.state / "switch.pending").exists()


def test_nginx_serves_on_when_the_agent_is_killed_and_the_next_run_adopts_it(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"adopt-{port}", spec)
    with Running(path, nginx_build) as first:
        master = first.master_pid
        first.process.kill()
        first.process.wait(5)
        assert call(material, port) == 200
        asked = handclasp("status", "-c", path, "--state-dir", first.state, cwd=path.parent)
        assert asked.returncode == 3
        with Running(path, nginx_build) as second:
            second.wait_for(" ready ", count=2)
            assert "nginx adopted" in second.text
            assert second.master_pid == master
            assert call(material, port) == 200
            spec["ingress"][0]["clients"]["allow"] = ["cn:svc-x"]
            write_spec(material.folder, f"adopt-{port}", spec)
            second.reload()
            second.wait_for("change in effect")
            assert call(material, port) == 403
        assert second.process.returncode == 0
        assert processes_of(first.state) == []


def test_a_spec_that_cannot_take_effect_leaves_an_adopted_nginx_serving(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"keep-{port}", spec)
    with Running(path, nginx_build) as first, socket.create_server(("127.0.0.1", 0)) as holder:
        first.process.kill()
        first.process.wait(5)
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        spec["ingress"][0]["listen"] = [f"127.0.0.1:{port}", taken]
        write_spec(material.folder, f"keep-{port}", spec)
        with Running(path, nginx_build, expect_ready=False) as second:
            assert second.process.wait(30) == 3
            assert call(material, port) == 200
            assert str((second.state / "generation" / "current").readlink()) == "1"


def test_a_killed_master_is_started_again(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"crash-{port}", spec)
    with Running(path, nginx_build) as agent:
        master = agent.master_pid
        assert master is not None
        os.kill(master, signal.SIGKILL)
        agent.wait_for("nginx started", count=2)
        deadline = time.monotonic() + 10
        while not agent.status()["ready"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert agent.master_pid != master
        assert call(material, port) == 200


def test_an_nginx_that_cannot_be_started_again_is_given_up_loudly(
    material: Material, nginx_builds: dict[str, Path], port: int, spec: dict[str, Any]
) -> None:
    # The waiting between starts takes long whatever nginx it is, so one build stands for both.
    nginx_build = nginx_builds["distribution"]
    wrapper = material.folder / f"nginx-{port}"
    wrapper.write_text(
        f'#!/bin/sh\nif [ -e "{wrapper}.broken" ] && [ "$1" != -V ]; then exit 1; fi\n'
        f'exec "{nginx_build}" "$@"\n'
    )
    wrapper.chmod(0o755)
    path = write_spec(material.folder, f"hopeless-{port}", spec)
    with Running(path, wrapper, program=IN_A_HURRY, env=OURS) as agent:
        Path(f"{wrapper}.broken").touch()
        assert agent.master_pid is not None
        os.kill(agent.master_pid, signal.SIGKILL)
        assert agent.process.wait(60) == 3
        assert "ended too often" in agent.text
        assert processes_of(agent.state) == []
        with pytest.raises(ConnectionRefusedError):  # no orphaned worker holds the socket
            call(material, port)


def test_term_lets_a_request_finish_and_leaves_nothing_running(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"drain-{port}", spec)
    answers: list[int] = []
    with Running(path, nginx_build) as agent:
        slow = threading.Thread(target=lambda: answers.append(call(material, port, "/slow/1.5")))
        slow.start()
        time.sleep(0.5)
        agent.process.terminate()
        slow.join(10)
        assert agent.process.wait(10) == 0
    assert answers == [200]
    assert processes_of(agent.state) == []
    assert not (agent.state / "nginx" / "nginx.pid").exists()


def test_a_second_term_cuts_the_draining_short(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"hurry-{port}", spec)
    with Running(path, nginx_build, arguments=("--drain", "25")) as agent:
        slow = threading.Thread(target=_ignoring_the_cut, args=(material, port))
        slow.start()
        time.sleep(0.5)
        agent.process.terminate()
        agent.wait_for("draining")
        time.sleep(0.5)
        assert agent.process.poll() is None
        assert agent.status()["nginx"]["state"] == "stopping"
        agent.process.terminate()
        assert agent.process.wait(5) == 0
        slow.join(10)
    assert processes_of(agent.state) == []


def _ignoring_the_cut(material: Material, port: int) -> None:
    with contextlib.suppress(OSError, IndexError):
        call(material, port, "/slow/20")


def test_a_refused_change_while_nginx_is_down_does_not_end_the_trying(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"down-{port}", spec)
    with Running(path, nginx_build) as agent:
        assert agent.master_pid is not None
        os.kill(agent.master_pid, signal.SIGKILL)
        agent.wait_for("started again")
        spec["identities"]["server-a"]["key"] = "svc-b.key"
        write_spec(material.folder, f"down-{port}", spec)
        agent.reload()
        agent.wait_for("change refused")
        agent.wait_for("nginx started", count=2)
        deadline = time.monotonic() + 10
        while not agent.status()["ready"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert call(material, port) == 200


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_an_early_signal_does_not_end_what_is_starting(
    material: Material,
    nginx_builds: dict[str, Path],
    port: int,
    spec: dict[str, Any],
    number: signal.Signals,
) -> None:
    slow = material.folder / f"slow-nginx-{port}"
    real = nginx_builds["distribution"]
    slow.write_text(
        f'#!/bin/sh\n[ "$1" = -V ] && touch "{slow}.asked" && sleep 1\nexec "{real}" "$@"\n'
    )
    slow.chmod(0o755)
    path = write_spec(material.folder, f"early-{number.name.lower()}-{port}", spec)
    with Running(path, slow, expect_ready=False) as agent:
        deadline = time.monotonic() + 10
        while not Path(f"{slow}.asked").exists():  # it is reading what nginx can do
            assert time.monotonic() < deadline
            time.sleep(0.02)
        agent.process.send_signal(number)
        agent.wait_for(" ready ")
        assert call(material, port) == 200


def test_a_taken_port_is_named_with_exit_code_3_and_nothing_is_left(
    material: Material, nginx_build: Path, spec: dict[str, Any]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        spec["ingress"][0]["listen"] = f"127.0.0.1:{port}"
        path = write_spec(material.folder, f"port-{port}", spec)
        with Running(path, nginx_build, expect_ready=False) as agent:
            assert agent.process.wait(20) == 3
            assert "port-in-use" in agent.text
            assert f"127.0.0.1:{port}" in agent.text
        assert processes_of(agent.state) == []
        assert not (agent.state / "generation" / "current").exists()


def test_a_second_agent_on_the_same_state_directory_is_refused_by_name(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"lock-{port}", spec)
    with Running(path, nginx_build) as agent:
        done = handclasp(
            *("run", "-c", path, "--nginx", nginx_build, "--state-dir", agent.state),
            cwd=path.parent,
        )
        assert done.returncode == 3
        assert str(agent.process.pid) in done.stderr
        assert call(material, port) == 200


def test_usr1_makes_nginx_write_to_new_log_files(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"logs-{port}", spec)
    with Running(path, nginx_build) as agent:
        logs = agent.state / "nginx" / "logs"
        for name in ("error.log", "access.log"):
            (logs / name).rename(logs / f"{name}.1")
        agent.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 5
        while not ((logs / "error.log").exists() and (logs / "access.log").exists()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.3)  # the workers reopen after the master
        assert call(material, port, client=None) == 400
        deadline = time.monotonic() + 5
        access = logs / "access.log"
        while "client sent no required" not in agent.error_log or not access.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        entry = json.loads(access.read_text().splitlines()[-1])
        assert (entry["link"], entry["status"], entry["verify"]) == ("api", "400", "NONE")


def test_systemd_is_told_when_everything_is_proven(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"notify-{port}", spec)
    address = material.folder / f"notify-{port}.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(20)
        with Running(
            path, nginx_build, env={"NOTIFY_SOCKET": str(address)}, expect_ready=False
        ) as agent:
            told = listener.recv(4096).decode()
            assert told.startswith("READY=1")
            assert call(material, port) == 200
            agent.reload()
            assert listener.recv(4096).decode().startswith("RELOADING=1")
            assert listener.recv(4096).decode().startswith("READY=1")
            agent.process.terminate()
            assert listener.recv(4096).decode() == "STOPPING=1"


def test_the_control_socket_is_private_and_status_over_http_needs_the_spec_to_ask(
    material: Material,
    nginx_build: Path,
    port: int,
    spec: dict[str, Any],
    free_port: Callable[[], int],
) -> None:
    status = free_port()
    spec["status"] = {"listen": f"127.0.0.1:{status}"}
    path = write_spec(material.folder, f"status-{port}", spec)
    with Running(path, nginx_build) as agent:
        control = agent.state / "run" / "control.sock"
        assert stat.S_IMODE(control.stat().st_mode) == 0o600
        with urllib.request.urlopen(f"http://127.0.0.1:{status}/readyz", timeout=5) as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{status}/status.json", timeout=5) as answer:
            assert json.load(answer)["links"][0]["name"] == "api"
        with socket.create_server(("127.0.0.1", 0)) as holder:
            spec["status"] = {"listen": f"127.0.0.1:{holder.getsockname()[1]}"}
            spec["ingress"][0]["clients"]["allow"] = ["cn:svc-x"]
            write_spec(material.folder, f"status-{port}", spec)
            agent.reload()
            agent.wait_for("change refused")
            assert call(material, port) == 200  # nothing of the change took effect
        with urllib.request.urlopen(f"http://127.0.0.1:{status}/readyz", timeout=5) as answer:
            assert answer.status == 200
        spec["ingress"][0]["clients"]["allow"] = "any"
        del spec["status"]
        write_spec(material.folder, f"status-{port}", spec)
        agent.reload()
        agent.wait_for("nothing changed")
        with pytest.raises(urllib.error.URLError, match="refused"):
            urllib.request.urlopen(f"http://127.0.0.1:{status}/readyz", timeout=5)


def test_private_keys_are_the_owners_alone_and_appear_nowhere_else(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"keys-{port}", spec)
    secret = material.server.key_pem.splitlines()[1]
    with Running(path, nginx_build) as agent:
        holders = [
            file
            for file in agent.state.rglob("*")
            if file.is_file() and not file.is_symlink() and secret in file.read_bytes()
        ]
        # `current` is a link to the version, so rglob sees one file only.
        assert [file.name for file in holders] == ["key.pem"]
        assert stat.S_IMODE(holders[0].stat().st_mode) == 0o600
        assert secret.decode() not in agent.text
        assert secret.decode() not in json.dumps(agent.status())


def test_a_read_only_state_directory_is_an_environment_error(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"readonly-{port}", spec)
    blocker = material.folder / f"file-{port}"
    blocker.write_text("a file where a directory should be")
    done = handclasp(
        *("run", "-c", path, "--nginx", nginx_build, "--state-dir", blocker / "state"),
        cwd=path.parent,
    )
    assert done.returncode == 3
    assert str(blocker) in done.stderr
    assert "Traceback" not in done.stderr


def test_an_ordinary_user_can_run_it_and_a_privileged_port_is_refused_with_the_reason(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any], ordinary_user: list[str]
) -> None:
    import subprocess

    place = material.folder / f"user-{port}"
    shutil.copytree(
        material.folder,
        place,
        ignore=lambda _, names: [n for n in names if not n.endswith((".pem", ".key"))],
    )
    for file in (place, *place.iterdir()):
        os.chown(file, 65534, 65534)
    path = write_spec(place, "user", spec)
    command = [
        *ordinary_user,
        "run",
        "-c",
        str(path),
        "--nginx",
        str(nginx_build),
        "--state-dir",
        str(place / "state"),
    ]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=place, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        deadline = time.monotonic() + 20
        while " ready " not in (place / "log").read_text():
            assert process.poll() is None, (place / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert call(material, port) == 200
        key = next((place / "state" / "identities" / "server-a").glob("*/key.pem"))
        assert (key.stat().st_uid, stat.S_IMODE(key.stat().st_mode)) == (65534, 0o600)
        assert "$hc_id_server_a" in (place / "state/generation/current/link-api.conf").read_text()
    finally:
        process.terminate()
        process.wait(15)
    assert process.returncode == 0

    spec["ingress"][0]["listen"] = "127.0.0.1:443"
    write_spec(place, "user", spec)
    done = subprocess.run(
        command, cwd=place, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode in (1, 3)
    assert "port-privileged" in done.stderr
