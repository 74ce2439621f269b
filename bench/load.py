"""The load generator: wrk, one thread, latencies included in its report.

wrk has no client certificates. Where TLS comes in, it talks to a tunnel instead (`origin`), which
makes every absolute figure of those scenarios one of the whole chain; CPU is the subject's alone.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

_SUMMARY = re.compile(r"(\d+) requests in ([\d.]+)(us|ms|s|m|h)\b")
_P99 = re.compile(r"^\s*99%\s+([\d.]+)(us|ms|s|m)\s*$", re.MULTILINE)
_SOCKET_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_STATUS_ERRORS = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class LoadError(Exception):
    """wrk did not run or said something this module does not understand."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What wrk counted. `requests` are answers, refusals included; `errors` those and the rest."""

    requests: int
    seconds: float
    p99_ms: float
    errors: int


def parse(report: str) -> Outcome:
    """The numbers of one wrk report. Raises LoadError when they are not there."""
    summary, p99 = _SUMMARY.search(report), _P99.search(report)
    if summary is None or p99 is None:
        raise LoadError(f"no wrk report: {report.strip()[:200]!r}")
    sockets, statuses = _SOCKET_ERRORS.search(report), _STATUS_ERRORS.search(report)
    return Outcome(
        requests=int(summary[1]),
        seconds=float(summary[2]) * _SECONDS[summary[3]],
        p99_ms=float(p99[1]) * _SECONDS[p99[2]] * 1000,
        errors=(sum(map(int, sockets.groups())) if sockets else 0)
        + (int(statuses[1]) if statuses else 0),
    )


UPLOAD_SCRIPT = "wrk.method = 'POST'; wrk.body = string.rep('x', 1048576)\n"
"""Lua for wrk: requests with a body of 1 MiB."""


def run(
    wrk: str,
    url: str,
    *,
    seconds: int,
    connections: int,
    close: bool = False,
    script: str | None = None,
) -> Outcome:
    """Load for whole seconds; `close`: a new connection for every request; `script`: a Lua file.

    Raises LoadError.
    """
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s"]
    if close:
        command += ["-H", "Connection: close"]
    if script:
        command += ["-s", script]
    try:
        done = subprocess.run(
            [*command, url], capture_output=True, text=True, check=False, timeout=seconds + 30
        )
    except subprocess.TimeoutExpired as too_long:
        raise LoadError(f"wrk did not end after {too_long.timeout:.0f} s") from too_long
    if done.returncode != 0:
        raise LoadError(f"wrk: {(done.stderr or done.stdout).strip()[:200]}")
    return parse(done.stdout)
