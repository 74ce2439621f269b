"""From what nginx logged while failing to start to findings. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from handclasp.findings import Finding, found
from handclasp.nginx.errorlog import bind_refusal
from handclasp.nginx.log_tail import grave

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# ngx_open_listening_sockets: "bind() to 127.0.0.1:80 failed (98: Address already in use)"
_BIND = re.compile(r"bind\(\) to (?P<address>.+) failed \((?P<errno>\d+): ")


def is_about_bind(line: str) -> bool:
    """Whether nginx may yet get over it: it tries to bind five times, half a second apart."""
    return _BIND.search(line) is not None


def bind_findings(lines: Iterable[str]) -> list[Finding]:
    """One finding per address that is taken, not permitted or not this machine's."""
    findings: dict[str, Finding] = {}
    for match in filter(None, map(_BIND.search, lines)):
        if refused := bind_refusal(match["address"], int(match["errno"])):
            findings[match["address"]] = refused
    return list(findings.values())


def start_findings(lines: Sequence[str], ending: str) -> list[Finding]:
    """Why nginx did not come up; ``ending`` says how it ended, as `exit code 1`."""
    if known := bind_findings(lines):
        return known
    said = "; ".join(grave(lines)[-3:]) or "; ".join(lines[-3:])
    if not said:
        fix = "Start the program by hand, or name another with --nginx PATH or `nginx: {binary: PATH}`."
        seen = f"nginx did not come up ({ending}) and logged nothing"
        return [found("nginx-exited-at-once", seen, fix=fix)]
    return [found("nginx-exited-at-once", f"nginx did not come up ({ending}): {said}")]
