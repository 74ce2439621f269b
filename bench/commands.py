"""How long handclasp's own commands take, from the start of Python to its end."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.asking import asked_per_second
from bench.issuing import issued_per_minute
from bench.model import CommandCell
from bench.processes import StartError
from bench.rendered import specification
from bench.rotating import MANY, seconds_to_the_wire
from handclasp.ca.development import Use, Validity, issue, make_root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.binaries import Binary
    from bench.model import Site
    from bench.subjects import Subject

_HANDCLASP = (sys.executable, "-m", "handclasp")
_FIRST_PORT = 20000
_REST_SECONDS = 4.0
_SHOWN = 10_000
_ISSUED = 1000
_ASKED = "authorizer, 1000 new certificates"
_ROTATED = ("rotation, one of 10 identities", "rotation, 200 identities at once")


def many_links(one: dict[str, Any], count: int) -> dict[str, Any]:
    """The spec of one egress link, with `count` links to as many upstreams. Pure."""
    document = copy.deepcopy(one)
    (link,) = document["egress"]
    document["egress"] = [
        {
            **link,
            "name": f"out-{number}",
            "listen": f"127.0.0.1:{_FIRST_PORT + number}",
            "upstream": f"https://127.0.0.1:{_FIRST_PORT + 10000 + number}",
        }
        for number in range(count)
    ]
    return document


def time_commands(
    folder: Path, who: Subject, site: Site, binary: Binary, *, repeats: int
) -> tuple[CommandCell, ...]:
    """Start-up, check and render. `binary` is the nginx whose facts they read."""
    folder.mkdir()
    one = specification(who, site, binary)
    cells = [_timed("handclasp --version", ["--version"], repeats, fine=(0,))]
    for verb, count in (("check", 50), ("render", 1000)):
        path = folder / f"{count}.yaml"
        path.write_text(json.dumps(many_links(one, count)))
        state = str(folder / f"state-{verb}")
        name = f"handclasp {verb}, {count} links"
        arguments = [verb, "-c", str(path), "--state-dir", state]
        # check may have findings about the certificates of the benchmark, and says so with 1.
        cells.append(_timed(name, arguments, repeats, fine=(0, 1) if verb == "check" else (0,)))
    cells += _agents(folder, one, binary, repeats)
    cells += [_shown(folder), _issued(folder), _asked(folder, binary)]
    cells += _rotated(folder, binary)
    return tuple(cells)


def _shown(folder: Path) -> CommandCell:
    """`cert show` over ten thousand files: five different certificates, each two thousand times."""
    many = folder / "many"
    many.mkdir()
    validity = Validity.starting(datetime.now(UTC), timedelta(days=30))
    root = make_root("benchmark", validity)
    for number in range(5):
        leaf = issue(root, f"leaf-{number}", Use.BOTH, validity, names=[f"leaf-{number}.test"])
        pem = leaf.certificate_pem()
        for copied in range(number, _SHOWN, 5):
            (many / f"{copied}.pem").write_bytes(pem)
    arguments = ["cert", "show", "--recursive", str(many)]
    return _timed("handclasp cert show, 10000 files", arguments, 1, fine=(0,))


def _issued(folder: Path) -> CommandCell:
    """A thousand leaf certificates, their keys given, each a transaction and a file of its own."""
    per_minute = issued_per_minute(folder / "ca", _ISSUED)
    return CommandCell("private CA, 1000 leaf certificates", (60 * _ISSUED / per_minute,))


def _asked(folder: Path, binary: Binary) -> CommandCell:
    """A thousand certificates that the agent is asked about for the first time."""
    try:
        rate = asked_per_second(folder / "asking", binary)
    except (StartError, RuntimeError, OSError) as failure:
        return CommandCell(_ASKED, skipped=f"failed: {failure}")
    return CommandCell(_ASKED, (1000 / rate,))


def _rotated(folder: Path, binary: Binary) -> tuple[CommandCell, ...]:
    """From a new file to the wire: one identity, and two hundred at once."""
    try:
        taken = seconds_to_the_wire(folder / "rotating", binary, MANY)
    except (StartError, RuntimeError, OSError) as failure:
        return tuple(CommandCell(name, skipped=f"failed: {failure}") for name in _ROTATED)
    return tuple(
        CommandCell(name, (seconds,)) for name, seconds in zip(_ROTATED, taken, strict=True)
    )


def _agents(
    folder: Path, one: dict[str, Any], binary: Binary, repeats: int
) -> tuple[CommandCell, ...]:
    """`handclasp run`: how long until every listener is proven, and what the agent takes at rest."""
    taken, memory, processor = [], [], []
    for number in range(repeats):
        for count in (10, 50):
            path = folder / f"run-{count}.yaml"
            path.write_text(json.dumps(many_links(one, count)))
            state = folder / f"state-run-{count}-{number}"
            begin = time.monotonic()
            with subprocess.Popen(
                [*_HANDCLASP, "run", "-c", path, "--state-dir", state, "--nginx", binary.path],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            ) as agent:
                assert agent.stderr is not None
                ready = any(" ready " in line for line in agent.stderr)
                seconds = time.monotonic() - begin
                if ready and count == 10:
                    taken.append(seconds)
                elif ready:
                    kib, share = _at_rest(agent.pid)
                    memory.append(kib / 1024)
                    processor.append(100 * share)
                agent.terminate()
                agent.stderr.read()
    failed = None if taken and memory else "failed: not ready"
    return (
        CommandCell("handclasp run to proven ready, 10 links", tuple(taken), failed),
        CommandCell("agent at rest, 50 links: memory", tuple(memory), failed, "MiB"),
        CommandCell("agent at rest, 50 links: processor", tuple(processor), failed, "%"),
    )


def _at_rest(pid: int) -> tuple[int, float]:
    """Resident memory in KiB, and the share of one processor, over `_REST_SECONDS`."""
    time.sleep(1)  # what the start left to do
    before = _processor_seconds(pid)
    time.sleep(_REST_SECONDS)
    share = (_processor_seconds(pid) - before) / _REST_SECONDS
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]), share


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _timed(
    name: str, arguments: Sequence[str], repeats: int, *, fine: Sequence[int]
) -> CommandCell:
    taken = []
    for _ in range(repeats):
        begin = time.monotonic()
        done = subprocess.run(
            [*_HANDCLASP, *arguments], capture_output=True, text=True, check=False, timeout=120
        )
        taken.append(time.monotonic() - begin)
        # Python itself exits with 1 when it cannot import the command.
        if done.returncode not in fine or "Traceback" in done.stderr:
            last = (done.stderr or done.stdout).strip().splitlines()
            return CommandCell(name, skipped=f"failed: {last[-1][:120] if last else 'no output'}")
    return CommandCell(name, tuple(taken))
