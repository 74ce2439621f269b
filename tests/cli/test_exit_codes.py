"""Every command and every outcome: its exit code, and never a traceback.

0 fine, 1 findings or unhealthy, 2 wrong use or not understood, 3 environment, 4 our bug.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.refusing import exit_code
from tests.integration.running import COMMAND, Material, ingress_spec, write_spec

if TYPE_CHECKING:
    from pathlib import Path

GROUP = ("init", "run", "demo", "check", "render", "status", "explain", "schema", "completion")

OUTCOMES: list[tuple[str, int, str]] = [
    # the command line ({good}, {bad}, {broken}, {missing}: specs), its exit code, a part of its output
    ("", 2, "Usage: handclasp"),
    ("--help", 0, "Exit codes: 0 fine"),
    ("--version", 0, "handclasp, version "),
    ("--nope", 2, "No such option"),
    ("rnu", 2, "Did you mean 'run'?"),
    ("chekc -c x", 2, "Did you mean 'check'?"),
    ("zzzz", 2, "No such command 'zzzz'"),
    *((f"{name} --help", 0, "Example: ") for name in GROUP),
    *((f"{name} --nope", 2, "No such option") for name in GROUP),
    ("check -c {good}", 0, "will work: 0 errors, 1 warning"),
    ("check -c {good} --format json", 0, '"ok": true'),
    ("check -c {bad}", 1, "will not work: 1 error, 1 warning"),
    ("check -c {bad} --format json", 1, '"ok": false'),
    ("check -c {broken}", 2, "is not understood: 1 error"),
    ("check -c {broken} --format json", 2, '"slug": "spec-not-yaml"'),
    ("check -c {missing}", 2, "handclasp init egress -o {missing}"),
    ("check", 2, "handclasp.yaml: error: the file does not exist"),
    ("check -c", 2, "requires an argument"),
    ("check surplus", 2, "unexpected extra argument"),
    ("check -c {good} --nginx /nope", 3, "--nginx: /nope: No such file"),
    ("check -c {good} --at 2126-01-01", 1, "expired on "),
    ("check -c {good} --at 1970-01-01", 1, "is valid from "),
    ("check -c {good} --at tomorrow", 2, "'tomorrow' is not an ISO 8601 date such as 2027-03-01"),
    ("check -c {good} --at 2027-02-30", 2, "is not an ISO 8601 date"),
    ("check -c {good} --format yaml", 2, "'yaml' is not one of"),
    ("render -c {good}", 0, "# ---- nginx.conf"),
    ("render -c {bad}", 1, "[key-file-mode-too-wide]"),
    ("render -c {broken}", 2, "[spec-not-yaml]"),
    ("render -c {good} --nginx /nope", 3, "--nginx: /nope"),
    ("render -c {good} --output {good}", 2, "is a file"),
    ("run -c {bad} --state-dir {state}", 1, "[key-file-mode-too-wide]"),
    ("run -c {broken} --state-dir {state}", 2, "[spec-not-yaml]"),
    ("run -c {good} --state-dir {state} --nginx /nope", 3, "--nginx: /nope"),
    ("run -c {good} --state-dir {good}", 3, "is not a directory"),
    ("run --drain -1", 2, "-1 is not in the range"),
    ("run --log-format xml", 2, "'xml' is not one of"),
    ("status -c {good} --state-dir {state}", 3, "no agent answers on "),
    ("status -c {broken}", 2, "[spec-not-yaml]"),
    ("status -c {missing}", 2, "does not exist"),
    ("status", 2, "handclasp.yaml: error: "),
    ("explain", 2, "Name a finding with --slug"),
    ("explain --slug cert-expired", 0, "What it means"),
    ("explain --slug cert-expird", 2, "Did you mean cert-expired"),
    ("schema", 0, '"$schema"'),
    ("completion", 2, "Missing argument"),
    ("completion bash", 0, "_HANDCLASP_COMPLETE"),
    ("completion tcsh", 2, "'tcsh' is not one of"),
    ("init", 2, "Missing argument"),
    ("init nothing", 2, "'nothing' is not one of"),
    ("init egress -o {folder}/none/x.yaml", 3, "cannot be written: No such file"),
    ("init egress -o {good}", 2, "{good}"),
    ("demo --nginx /nope", 3, "--nginx: /nope"),
]


@pytest.fixture(scope="module")
def specs(place: Path) -> dict[str, str]:
    """Specs that are good, will not work, are not understood, and one that is missing."""
    folder = place / "specs"
    material = Material(folder)
    material.add("loose")
    spec = ingress_spec(material, "127.0.0.1:9443", "http://127.0.0.1:9")
    del spec["trust"]["others"]
    good = write_spec(folder, "good", spec)
    (folder / "loose.key").write_bytes((folder / "server-a.key").read_bytes())
    (folder / "loose.key").chmod(0o644)
    spec["identities"]["server-a"]["key"] = "loose.key"
    bad = write_spec(folder, "bad", spec)
    (folder / "broken.yaml").write_text("egress: [}\n")
    (folder / "empty").mkdir()
    return {
        "good": str(good),
        "bad": str(bad),
        "broken": str(folder / "broken.yaml"),
        "missing": str(folder / "missing.yaml"),
        "state": str(folder / "state"),
        "folder": str(folder),
    }


@pytest.mark.parametrize(("line", "code", "told"), OUTCOMES, ids=[line for line, *_ in OUTCOMES])
def test_every_command_ends_with_the_code_of_its_outcome(
    line: str,
    code: int,
    told: str,
    specs: dict[str, str],
    nginx_builds: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = [word.format(**specs) for word in line.split()]
    takes_nginx = arguments[:1] in (["check"], ["render"], ["run"]) and "--help" not in arguments
    if takes_nginx and "--nginx" not in arguments and "-c" in arguments[:-1]:
        # This build needs no warning about its version, so the counts below are of the spec alone.
        arguments += ["--nginx", str(nginx_builds["wheel"])]
    monkeypatch.chdir(f"{specs['folder']}/empty")
    assert exit_code(arguments) == code
    printed = capsys.readouterr()
    expected = told.format(**specs) if "{" in told else told
    assert expected in printed.out + printed.err
    assert "Traceback" not in printed.out + printed.err
    if code >= 2 and "--format json" not in line and arguments[:1] != ["check"]:
        assert printed.out == ""  # results go to stdout, talk to stderr


SURROUNDINGS = [
    # how the shell runs it, its exit code, what is printed
    ("{hc} render -c good.yaml | head -n 1", 0, "# ---- "),
    ("{hc} render -c good.yaml >&-", 0, ""),
    ("{hc} render -c good.yaml > /dev/full", 3, "No space left on device"),
    ("{hc} check -c good.yaml <&- | tail -n 1", 0, "will work"),
    ("{hc} check -c missing.yaml >&- 2>&-", 2, ""),
    ("env -u LANG -u LC_ALL TERM=dumb {hc} check -c good.yaml | tail -n 1", 0, "will work"),
    ("LC_ALL=C {hc} check -c grün.yaml", 2, "does not exist"),
    ("PYTHONIOENCODING=latin-1 {hc} check -c 日本.yaml", 2, "does not exist"),
    ("mkdir -p gone && cd gone && rmdir ../gone && {hc} check", 2, "handclasp.yaml"),
]


@pytest.mark.parametrize(("line", "code", "told"), SURROUNDINGS)
def test_closed_streams_and_poor_terminals_are_no_bugs(
    line: str, code: int, told: str, specs: dict[str, str]
) -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.format(hc=COMMAND)],
        cwd=specs["folder"],
        env={**os.environ},
        capture_output=True,
        timeout=60,
        check=False,
    )
    printed = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == code, printed
    assert told in printed
    assert "Traceback" not in printed
    assert "Exception ignored" not in printed
