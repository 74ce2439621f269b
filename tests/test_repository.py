"""What a stranger meets: the targets, the scripts that set things up, packaging, and the documents."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools"
UNIT = ROOT / "packaging" / "handclasp.service"
DECISIONS = ROOT / "docs" / "decisions"


def _documents() -> list[Path]:
    """Every Markdown file of the repository that people write."""
    written = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "packaging").rglob("*.md"),
    ]
    return sorted(path for path in written if "reference" not in path.parts)


def _commands(document: Path) -> list[str]:
    """The lines of its console and shell blocks that are typed, continuation lines joined."""
    blocks = re.findall(
        r"^```(?:console|sh|bash)\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ").removeprefix("# ").strip() for line in lines]


def _run(
    *command: str | Path, env: dict[str, str] | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd,
        env=env,
    )


def _program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def _ordinary_user(tmp_path: Path) -> dict[str, str]:
    """An environment whose PATH holds the usual small programs, no Python, and a user who is not root."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "cat", "cut", "dirname", "readlink", "sed", "env"):
        found = shutil.which(name)
        assert found, name
        (programs / name).symlink_to(found)
    _program(programs, "id", "echo 1000")
    _program(programs, "apt-get", "echo apt-get must not be run >&2; exit 1")
    _program(programs, "apt-cache", "exit 0")
    return {"PATH": str(programs), "LANG": "C.UTF-8"}


# --- the targets


@pytest.mark.parametrize(
    "target", ["help", "demo", "test", "check", "bench", "soak", "docs", "clean"]
)
def test_every_promised_target_exists_and_is_listed(target: str) -> None:
    helped = _run("make", "--no-print-directory", "help")
    assert helped.returncode == 0
    assert re.search(rf"^  make {target}\s+\S", helped.stdout, re.MULTILINE)


def test_help_is_what_make_alone_does() -> None:
    assert _run("make").stdout == _run("make", "help").stdout


def test_what_ci_runs_is_check_then_test() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "export CI=true" in script
    assert re.findall(r"^(?:if )?make (\w+)", script, re.MULTILINE) == ["check", "test"]


@pytest.mark.parametrize(
    "script", [*sorted(TOOLS.glob("*.sh")), ROOT / ".ci" / "run"], ids=lambda path: path.name
)
def test_scripts_stop_at_the_first_failure(script: Path) -> None:
    text = script.read_text("utf-8")
    if "# Sourced by" in text:
        assert not os.access(script, os.X_OK)
        return
    assert os.access(script, os.X_OK)
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text


# --- finding a Python


def test_a_named_python_without_venv_is_refused(tmp_path: Path) -> None:
    env = _ordinary_user(tmp_path)
    # New enough (the first question), but without ensurepip (the second).
    _program(
        tmp_path / "bin", "python3", 'case $2 in *ensurepip*) exit 1;; *print*) echo "$0";; esac'
    )
    result = _run(TOOLS / "python.sh", env=env | {"PYTHON": str(tmp_path / "bin" / "python3")})
    assert result.returncode == 3
    assert "is not a Python 3.11 or newer with the modules venv and ensurepip" in result.stderr
    assert result.stdout == ""


def test_an_old_python_is_refused_and_a_good_one_taken(tmp_path: Path) -> None:
    env = _ordinary_user(tmp_path)
    _program(tmp_path / "bin", "python3", "exit 1")
    (tmp_path / "bin" / "python3.12").symlink_to(sys.executable)
    result = _run(TOOLS / "python.sh", env=env)
    assert result.returncode == 0, result.stderr
    version = _run(result.stdout.strip(), "-c", "import sys; print(sys.version_info >= (3, 11))")
    assert version.stdout.strip() == "True"


def test_the_python_named_by_the_user_is_the_only_candidate(tmp_path: Path) -> None:
    env = _ordinary_user(tmp_path)
    (tmp_path / "bin" / "python3.12").symlink_to(sys.executable)
    assert _run(TOOLS / "python.sh", env=env).returncode == 0
    refused = _run(TOOLS / "python.sh", env=env | {"PYTHON": "/nowhere/python3"})
    assert refused.returncode == 3
    assert "PYTHON=/nowhere/python3" in refused.stderr


# --- Debian packages


def _packages(tmp_path: Path, *lines: str) -> dict[str, str]:
    listing = tmp_path / "packages.txt"
    listing.write_text("# a comment\n\n" + "".join(f"{line}\n" for line in lines))
    return _ordinary_user(tmp_path) | {"DEBIAN_PACKAGES": str(listing)}


def test_an_ordinary_user_is_told_what_is_missing_and_goes_on(tmp_path: Path) -> None:
    env = _packages(
        tmp_path, "bash test bash is there", "rare test no-such-command needed for much"
    )
    result = _run(TOOLS / "debian-packages.sh", "test", env=env)
    assert result.returncode == 0
    assert re.search(r"^    rare +needed for much$", result.stderr, re.MULTILINE)
    assert re.search(r"apt-get install .* rare$", result.stderr, re.MULTILINE)
    assert "bash" not in result.stderr
    assert "must not be run" not in result.stderr


def test_under_ci_a_missing_package_is_a_failure(tmp_path: Path) -> None:
    env = _packages(tmp_path, "rare test,check no-such-command needed")
    result = _run(TOOLS / "debian-packages.sh", "test", env=env | {"CI": "true"})
    assert result.returncode == 3
    assert "rare" in result.stderr


def test_packages_of_other_targets_are_not_asked_for(tmp_path: Path) -> None:
    env = _packages(tmp_path, "rare bench no-such-command needed") | {"CI": "true"}
    result = _run(TOOLS / "debian-packages.sh", "test", env=env)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("ci", [False, True])
def test_what_is_large_is_asked_for_under_ci_only(tmp_path: Path, ci: bool) -> None:
    env = _packages(tmp_path, "large test+ci no-such-command needed by few")
    result = _run(TOOLS / "debian-packages.sh", "test", env=env | ({"CI": "true"} if ci else {}))
    assert (result.returncode, "large" in result.stderr) == ((3, True) if ci else (0, False))


@pytest.mark.parametrize("candidate", ["(none)", "1.0-3"])
def test_what_not_every_distribution_has_is_asked_for_where_it_is(
    tmp_path: Path, candidate: str
) -> None:
    env = _packages(tmp_path, "young test? no-such-command needed") | {"CI": "true"}
    _program(tmp_path / "bin", "apt-cache", f"echo '  Candidate: {candidate}'")
    result = _run(TOOLS / "debian-packages.sh", "test", env=env)
    there = candidate != "(none)"
    assert (result.returncode, "young" in result.stderr) == ((3, True) if there else (0, False))


def test_every_listed_package_says_who_needs_it_and_why() -> None:
    lines = (TOOLS / "debian-packages.txt").read_text("utf-8").splitlines()
    entries = [line.split(maxsplit=3) for line in lines if line and not line.startswith("#")]
    assert entries
    for entry in entries:
        assert len(entry) == 4, entry
        uses = {use.removesuffix("+ci").removesuffix("?") for use in entry[1].split(",")}
        assert uses <= {"check", "test", "bench"}, entry


# --- text that must not be committed


def test_nothing_committed_speaks_of_one_machine() -> None:
    result = _run(sys.executable, TOOLS / "repository_text.py")
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize(
    "text",
    [
        f"see {ROOT}/pyproject.toml",
        "/home/somebody/project",
        "pip install --index-url https://example.org x",
        "https://files.pythonhosted.org/packages/x",
    ],
)
def test_text_of_one_machine_is_found_with_its_line(text: str, tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(f"first line\n{text}\n")
    result = _run(sys.executable, TOOLS / "repository_text.py", document)
    assert result.returncode == 1
    assert f"{document}:2: " in result.stdout


@pytest.mark.parametrize(
    "text", ["/etc/handclasp/home/x", "https://nginx.org/en/docs/", "/opt/handclasp"]
)
def test_ordinary_text_is_let_through(text: str, tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(text)
    assert _run(sys.executable, TOOLS / "repository_text.py", document).returncode == 0


# --- packaging


def _unit() -> dict[str, list[str]]:
    settings: dict[str, list[str]] = {}
    for line in UNIT.read_text("utf-8").splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            settings.setdefault(name, []).append(value)
    return settings


def test_the_unit_leaves_nginx_running_when_the_agent_dies() -> None:
    unit = _unit()
    assert unit["Type"] == ["notify"]
    assert unit["KillMode"] == ["process"]
    # Without it systemd removes the sockets of the nginx that is to be adopted.
    assert unit["RuntimeDirectoryPreserve"] == ["yes"]


def test_the_unit_waits_longer_than_the_agent_drains() -> None:
    from handclasp.cli.run import run

    drain = next(option for option in run.params if option.name == "drain")
    assert isinstance(drain.default, int)
    assert int(_unit()["TimeoutStopSec"][0]) > drain.default


def test_the_unit_does_not_restart_what_will_fail_the_same_way() -> None:
    from handclasp.errors import ExitCode

    stopped = {int(code) for code in _unit()["RestartPreventExitStatus"][0].split()}
    assert stopped == {ExitCode.FINDINGS, ExitCode.USAGE}


@pytest.mark.parametrize("broken", [False, True])
def test_systemd_accepts_the_unit(broken: bool, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        # Not asked for under CI=true either: a container has no use for systemd.
        pytest.skip("missing on this machine: systemd-analyze")
    text = UNIT.read_text("utf-8").replace("/opt/handclasp/bin/handclasp", "/bin/true")
    if broken:
        text = text.replace("KillMode=process", "KillMode=nginx")
    (tmp_path / UNIT.name).write_text(text)
    result = _run("systemd-analyze", "verify", "--man=no", tmp_path / UNIT.name)
    complaints = [line for line in result.stderr.splitlines() if UNIT.name in line]
    assert bool(complaints) is broken, result.stderr


def test_the_image_is_given_the_capabilities_of_the_unit_and_no_more() -> None:
    wanted = set(_unit()["CapabilityBoundingSet"][0].replace("CAP_", "").split())
    readme = (ROOT / "packaging" / "README.md").read_text("utf-8")
    assert set(re.findall(r"--cap-add (\w+)", readme)) == wanted
    dockerfile = (ROOT / "packaging" / "container" / "Dockerfile").read_text("utf-8")
    assert all(name in dockerfile for name in wanted)


def test_the_image_can_copy_what_the_build_reads() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    admitted = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert admitted == {"pyproject.toml", "README.md", "LICENSE", "src"}
    dockerfile = (ROOT / "packaging" / "container" / "Dockerfile").read_text("utf-8")
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
    assert {name for names in copied for name in names.split()} == admitted
    assert all((ROOT / name).exists() for name in admitted)


# --- documents


def test_the_licence_is_the_one_declared() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_changelog_has_a_place_for_the_next_change() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_decisions_have_a_number_each_and_say_what_follows() -> None:
    records = sorted(path for path in DECISIONS.glob("*.md") if path.name != "template.md")
    numbers = [path.name[:4] for path in records]
    assert len(set(numbers)) == len(numbers)
    for number, record in zip(numbers, records, strict=True):
        assert re.match(rf"# {number}[.:] \S", record.read_text("utf-8")), record.name
    for record in [*records, DECISIONS / "template.md"]:
        headings = re.findall(r"^## (.+)$", record.read_text("utf-8"), re.MULTILINE)
        assert headings == ["Context", "Decision", "Evidence", "Consequences"], record.name


def test_every_dependency_is_argued_for() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    argued = (DECISIONS / "0003-dependencies.md").read_text("utf-8")
    names = [re.split(r"[<>=~! ;\[]", requirement)[0] for requirement in project["dependencies"]]
    assert names
    assert [name for name in names if f"| {name} |" not in argued] == []


@pytest.mark.parametrize("document", _documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)", document.read_text("utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", _documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_shown_in_documents_exist(document: Path) -> None:
    commands = _commands(document)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for command in commands:
        if made := re.match(r"make (?:\w+=\S+ )*([a-z]+)", command):
            assert made.group(1) in targets, command
    shown = {
        found.group(1) for line in commands if (found := re.match(r"handclasp ([a-z]+)", line))
    }
    for name in sorted(shown):
        result = _run(sys.executable, "-m", "handclasp", name, "--help")
        assert result.returncode == 0, result.stderr


def test_this_list_of_commands_is_not_empty_by_mistake() -> None:
    assert any("make test" in command for command in _commands(ROOT / "CONTRIBUTING.md"))
