"""Starting what must be refused, and looking at what a refusal leaves behind."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.cli.main import main
from tests.integration.running import COMMAND

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Refused:
    """How a command ended: its exit code and all it printed."""

    code: int
    text: str

    @property
    def errors(self) -> list[str]:
        """Each finding of severity error and each plain error, on its first line."""
        return [
            line
            for line in self.text.splitlines()
            if line.startswith("error: ") or ": error: " in line
        ]


def attempt(
    command: str,
    spec: Path,
    state: Path,
    *,
    nginx: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 40,
) -> Refused:
    """Runs `check` or `run` to its end, with a place of its own for temporary files; nothing of either
    may be left: no process, no temporary file, no trial configuration."""
    temporary = spec.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            *(str(COMMAND), command, "-c", str(spec), "--state-dir", str(state)),
            *(("--nginx", str(nginx)) if nginx is not None else ()),
        ],
        cwd=spec.parent,
        env={**os.environ, "TMPDIR": str(temporary), **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        check=False,
    )
    text = done.stdout.decode(errors="replace")
    assert "Traceback" not in text, text
    assert list(temporary.iterdir()) == []
    assert processes(state) == []
    assert list(state.glob("nginx/.test-*")) == []
    return Refused(done.returncode, text)


def checked(spec: Path, state: Path, nginx: Path | None = None) -> Refused:
    """`check` in this process, for many cases in little time; leaves nothing either."""
    temporary = spec.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    printed = io.StringIO()
    before, tempfile.tempdir = tempfile.tempdir, str(temporary)
    arguments = ["check", "-c", str(spec), "--state-dir", str(state)]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = exit_code([*arguments, *(("--nginx", str(nginx)) if nginx else ())])
    finally:
        tempfile.tempdir = before
    assert "Traceback" not in printed.getvalue(), printed.getvalue()
    assert list(temporary.iterdir()) == []
    return Refused(code, printed.getvalue())


def exit_code(arguments: list[str]) -> int:
    """What the command would end with, run in this process."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    finally:
        signal.signal(signal.SIGTERM, before)
    raise AssertionError("the entry point returned")


def processes(state: Path) -> list[str]:
    """Command lines of living processes that name the state directory."""
    seen = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(state) in line and place.name != str(os.getpid()):
            seen.append(line)
    return seen


def nothing_in_effect(state: Path) -> bool:
    """No generation, identity or trust of the state directory was made the current one."""
    links = (path for path in state.rglob("current") if path.is_symlink())
    # What is denied holds whether anything is served or not.
    return all(link.parent.name == "policy" for link in links)
