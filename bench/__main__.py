"""`python -m bench`: measure, write bench/out/*.json and the tables of docs/performance.md.

Exit codes: 0 measured (proxies that are not installed are rows that say so), 1 a proxy that is
installed failed, 2 wrong use, 3 the machine lacks nginx or wrk.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench import rendered
from bench.binaries import HOW_TO_INSTALL, Binary, Kind, find_binaries
from bench.commands import time_commands
from bench.idle import IDLE, measure_idle
from bench.material import SERVER_NAME, write_material
from bench.model import Machine, Run, Site
from bench.report import MarkersMissingError, insert, markdown
from bench.rounds import measure
from bench.scenarios import SCENARIOS, Scenario
from bench.stage import Stage, open_files_limit
from bench.subjects import subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.model import IdleCell

_HERE = Path(__file__).parent
_PERFORMANCE = _HERE.parent / "docs" / "performance.md"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 1 s: does it work?")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--seconds", type=int, default=2, metavar="S", help="per sample")
    parser.add_argument(
        "--scenario",
        action="append",
        choices=[scenario.name for scenario in SCENARIOS],
        help="only this one; may be repeated",
    )
    parser.add_argument(
        "--subject", action="append", metavar="NAME", help="only this one; may be repeated"
    )
    parser.add_argument(
        "--idle",
        type=int,
        default=None,
        metavar="N",
        help="memory of N idle clients; 0 leaves it out; default 5000 in a full run",
    )
    parser.add_argument(
        "--source",
        choices=("auto", "run", "hand"),
        default="auto",
        help="handclasp's configuration: from `handclasp run`, or the text in bench/",
    )
    parser.add_argument("--out", type=Path, default=_HERE / "out", help="folder for the JSON")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/performance.md as it is")
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, 1
    if chosen.idle is None:
        chosen.idle = 0 if chosen.quick or chosen.scenario or chosen.subject else 5000
    if chosen.rounds < 1 or chosen.seconds < 1 or chosen.idle < 0:
        parser.error("--rounds and --seconds must be 1 or more, --idle 0 or more")
    return chosen


def chosen_scenarios(
    names: Sequence[str] | None, subjects: Sequence[str] | None
) -> tuple[Scenario, ...]:
    """The scenarios asked for, with the subjects asked for; without any of the latter, none."""
    kept = []
    for scenario in SCENARIOS:
        if names and scenario.name not in names:
            continue
        wanted = tuple(s for s in scenario.subjects if not subjects or s in subjects)
        if wanted:
            kept.append(replace(scenario, subjects=wanted))
    return tuple(kept)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    arguments = _arguments(argv)
    scenarios = chosen_scenarios(arguments.scenario, arguments.subject)
    if not scenarios:
        print("no scenario has that subject", file=sys.stderr)
        return 2
    binaries = find_binaries()
    needs: tuple[Kind, ...] = ("nginx", "wrk")
    for kind in needs:
        if kind not in binaries and not (kind == "nginx" and "wheel" in binaries):
            print(f"{kind} is not installed: {HOW_TO_INSTALL[kind]}", file=sys.stderr)
            return 3
    open_files_limit()
    command = "python -m bench " + " ".join(argv if argv is not None else sys.argv[1:])
    run = _measure(arguments, scenarios, binaries, command.strip())
    _write(run, arguments)
    pairs = [
        *((f"{cell.scenario} {cell.subject}", cell.skipped) for cell in run.cells),
        *((f"{cell.role}-idle {cell.subject}", cell.skipped) for cell in run.idle),
    ]
    failed = [(who, why) for who, why in pairs if why and why.startswith("failed")]
    for who, why in failed:
        print(f"{who}: {why}", file=sys.stderr)
    return 1 if failed else 0


def _measure(
    arguments: argparse.Namespace,
    scenarios: tuple[Scenario, ...],
    binaries: dict[Kind, Binary],
    command: str,
) -> Run:
    source = rendered.choose(arguments.source)
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="handclasp-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # workers under another account read certificates here
        material = write_material(folder / "material")
        site = Site(name, str(material), 0, 0, SERVER_NAME)
        stage = Stage(folder, site, binaries, source)
        try:
            stage.open(scenarios)
            cells = measure(
                stage,
                scenarios,
                wrk=binaries["wrk"].path,
                rounds=arguments.rounds,
                seconds=arguments.seconds,
            )
        finally:
            stage.close()
        run = Run(
            machine=_machine(command, binaries, load_before),
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            cells=cells,
            notes=_notes(source, stage),
        )
        if arguments.idle:
            run = replace(run, idle=_idle(folder / "idle", stage, arguments.idle))
        nginx = binaries.get("nginx") or binaries["wheel"]
        commands = time_commands(
            folder / "commands", subject("egress", "handclasp"), site, nginx, repeats=3
        )
        return replace(run, commands=commands)


def _idle(folder: Path, used: Stage, connections: int) -> tuple[IdleCell, ...]:
    folder.mkdir()
    fresh = Stage(folder, used.site, used.binaries, used.source)
    try:
        fresh.open(IDLE)
        return measure_idle(fresh, connections)
    finally:
        fresh.close()


def _notes(source: rendered.Source, stage: Stage) -> dict[str, str]:
    origin = {
        "run": "started by `handclasp run`, only nginx's processes are counted",
        "hand": "written by hand after the project's decisions (bench/configurations/handclasp.py)",
    }[source]
    seen = sorted(
        {(who[1], actor.seen) for who, actor in stage.actors.items() if who[0] == "egress"}
    )
    return {
        "handclasp's configuration": origin,
        "What the upstream saw of egress": "; ".join(f"{name}: {text}" for name, text in seen),
    }


def _machine(command: str, binaries: dict[Kind, Binary], load_before: float) -> Machine:
    return Machine(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        command=command,
        processor=_processor(),
        cores=os.cpu_count() or 0,
        kernel=platform.release(),
        load_before=load_before,
        load_after=os.getloadavg()[0],
        versions={kind: binary.version for kind, binary in binaries.items()},
    )


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        return platform.machine()
    return found[1].strip() if found else platform.machine()


def _write(run: Run, arguments: argparse.Namespace) -> None:
    arguments.out.mkdir(parents=True, exist_ok=True)
    stamp = re.sub(r"\D+", "-", run.machine.date).strip("-")
    path = arguments.out / f"{stamp}.json"
    path.write_text(json.dumps(run.as_json(), indent=1) + "\n")
    print(f"wrote {path}", file=sys.stderr)
    tables = markdown(run)
    print(tables)
    if arguments.no_docs:
        return
    try:
        _PERFORMANCE.write_text(insert(_PERFORMANCE.read_text(), tables))
    except (OSError, MarkersMissingError) as failure:
        print(f"docs/performance.md is unchanged: {failure}", file=sys.stderr)
    else:
        print(f"wrote {_PERFORMANCE}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
