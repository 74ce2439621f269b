"""`handclasp demo` as it is typed: the installed command, both nginx builds, and nothing left behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handclasp.nginx.features import Feature
from tests.conftest import absent
from tests.integration.running import COMMAND, handclasp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.nginx.facts import Facts

pytestmark = pytest.mark.integration

SLUGS = (
    "client-cert-not-sent",
    "server-does-not-trust-client-ca",
    "cert-expired",
    "no-certificate-for-vhost",
    "hostname-not-in-san",
    "identity-header-not-cleared",
)
BOUND_SECONDS = 30  # for a machine with much else to do; docs/demo.md says what it takes alone


@pytest.fixture
def temporary() -> Iterator[Path]:
    """TMPDIR of a demo: empty before, and to be empty after. Workers of a root's nginx may enter."""
    with tempfile.TemporaryDirectory(prefix="handclasp-test-demo-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path
        for pid in left_running(path):
            os.kill(pid, signal.SIGKILL)


def left_running(folder: Path) -> list[int]:
    """Processes that name something below the folder, in their arguments or as what they log to."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(folder) in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def assert_nothing_left(folder: Path) -> None:
    assert list(folder.iterdir()) == []
    assert left_running(folder) == []


class Demo:
    """A demo under way; its output goes to a file."""

    def __init__(self, temporary: Path, output: Path, *arguments: str) -> None:
        self._output = output
        with output.open("wb") as stream:
            self.process = subprocess.Popen(
                [str(COMMAND), "demo", *arguments],
                env={**os.environ, "TMPDIR": str(temporary)},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    @property
    def text(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def until(self, words: str) -> None:
        deadline = time.monotonic() + BOUND_SECONDS
        while words not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.01)

    def ended(self) -> int:
        return self.process.wait(BOUND_SECONDS)


def test_everything_holds_and_is_named_on_each_build(
    nginx_build: Path, nginx_facts: Facts, temporary: Path
) -> None:
    unknown_name = (
        "TLS alert unrecognized_name (112)"
        if nginx_facts.has(Feature.REJECT_HANDSHAKE)
        else "the peer closed the connection without an answer"
    )
    began = time.monotonic()
    done = handclasp(
        *("demo", "--nginx", nginx_build), cwd=temporary, env={"TMPDIR": str(temporary)}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < BOUND_SECONDS
    assert done.stderr == ""
    text = done.stdout
    assert "All 7 expectations held" in text
    assert re.findall(
        r"✓ (?:refused as|stripped; else it would be) (\S+) \(HC\d{3}\)", text
    ) == list(SLUGS)
    for evidence in (
        "TLSv1.3, asked for server-a.example",
        "client CN=svc-b,O=Demo, verified: SUCCESS",
        "X-Client-Subject: CN=svc-b,O=Demo",
        "X-Client-Cert: the certificate of CN=svc-b,O=Demo",
        "client sent no required SSL certificate",
        "(10:certificate has",
        unknown_name,
        'upstream SSL certificate does not match "server-a.example"',
        "no X-Forwarded-Client-Cert",
    ):
        assert evidence in text
    assert "\x1b" not in text
    assert_nothing_left(temporary)


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("A mutual-TLS hop", signal.SIGINT),  # the agents have just been started
        ("b.yaml", signal.SIGTERM),  # they are on their way up
        ("What must not work", signal.SIGINT),  # requests are under way
        ("3. An expired certificate", signal.SIGHUP),
    ],
)
def test_a_signal_in_the_middle_leaves_nothing(
    temporary: Path, tmp_path: Path, moment: str, number: int
) -> None:
    demo = Demo(temporary, tmp_path / "output")
    demo.until(moment)
    demo.process.send_signal(number)
    code = demo.ended()
    if "All 7 expectations held" not in demo.text:  # else it was faster than we
        assert code == 128 + number
        assert "Stopped: everything" in demo.text
    assert_nothing_left(temporary)


def test_keep_stays_up_with_commands_that_work_until_it_is_interrupted(
    temporary: Path, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        absent("curl (apt install curl)")
    demo = Demo(temporary, tmp_path / "output", "--keep")
    demo.until("ends it and removes")
    _, _, rest = demo.text.partition("Try it yourself:\n")
    commands, _, _ = rest.partition("\nCtrl-C")
    answers: dict[str, str] = {}
    for block in re.split(r"^# ", commands, flags=re.MULTILINE)[1:]:
        shows, _, command = block.partition("\n")
        done = subprocess.run(
            command, shell=True, capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        answers[shows] = done.stdout
    assert len(answers) == 9
    for shows in ("through B, as an application does", "straight to A, as svc-b"):
        assert '"X-Client-Subject: CN=svc-b,O=Demo"' in answers[shows]
    assert "forged" not in answers["the same, with a forged header"]
    assert answers["without a certificate"].startswith("No client certificate was sent")
    for shows in ("with the other CA's", "with the expired one"):
        assert answers[shows].startswith("The client certificate was refused")
    assert "a: serving" in answers["what agent A knows"]
    assert demo.process.poll() is None
    demo.process.send_signal(signal.SIGINT)
    assert demo.ended() == 0
    assert_nothing_left(temporary)


def test_keep_says_so_when_an_agent_ends_by_itself(temporary: Path, tmp_path: Path) -> None:
    demo = Demo(temporary, tmp_path / "output", "--keep")
    demo.until("ends it and removes")
    (agent,) = [
        pid
        for pid in left_running(temporary)
        if b"/b.yaml" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(agent, signal.SIGKILL)  # its nginx lives on, and must be ended all the same
    assert demo.ended() == 3
    assert "the agent of B has ended by itself" in demo.text
    assert_nothing_left(temporary)


def test_without_nginx_it_says_so_and_makes_nothing(temporary: Path) -> None:
    done = handclasp(
        *("demo", "--nginx", "/nonexistent/nginx"),
        cwd=temporary,
        env={"TMPDIR": str(temporary)},
    )
    assert done.returncode == 3
    assert "/nonexistent/nginx: No such file or directory" in done.stderr
    assert done.stdout == ""
    assert_nothing_left(temporary)


def test_an_nginx_that_does_not_start_is_quoted_and_leaves_nothing(
    nginx_builds: dict[str, Path], temporary: Path, tmp_path: Path
) -> None:
    wrapper = tmp_path / "nginx"
    real = nginx_builds["wheel"]
    wrapper.write_text(
        f'#!/bin/sh\ncase "$1" in -V|-t) exec "{real}" "$@";; esac\n'
        'echo "nginx: [emerg] no luck today" >&2\nexit 1\n'
    )
    wrapper.chmod(0o755)
    done = handclasp(*("demo", "--nginx", wrapper), cwd=temporary, env={"TMPDIR": str(temporary)})
    assert done.returncode in (1, 3)
    assert "the agent of " in done.stderr
    assert "no luck today" in done.stderr
    assert_nothing_left(temporary)


def test_what_is_not_as_expected_is_named_and_fails(temporary: Path) -> None:
    """A refusal named otherwise, and an attempt that succeeds: both are differences."""
    program = """
import dataclasses, sys
from handclasp.demo import play
from handclasp.cli.main import main
misnamed = dataclasses.replace(play.TRIES[2], slug="cert-revoked")
allowed = dataclasses.replace(play.TRIES[0], title="Welcome", certificate="svc-b")
play.TRIES = (misnamed, allowed)
main(["demo"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    _, _, result = done.stdout.partition("expectations did NOT hold")
    assert "An expired certificate: it should be named cert-revoked, and was cert-expired" in result
    assert "Welcome: it was not refused: HTTP 200 OK" in result
    assert "Welcome: the request reached the other side" in result
    assert_nothing_left(temporary)


def test_a_reader_that_goes_away_leaves_nothing(temporary: Path) -> None:
    demo = subprocess.Popen(
        [str(COMMAND), "demo"],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert demo.stdout is not None
    demo.stdout.readline()
    demo.stdout.close()
    demo.wait(BOUND_SECONDS)
    assert_nothing_left(temporary)
