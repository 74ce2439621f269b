"""handclasp's own subject, started by `handclasp run` where this installation has that command.

The other source, `hand`, is the text in `configurations.handclasp`. Only nginx's processes are
measured; the agent is not on the path of a request.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench import processes
from bench.material import CLIENT_NAME

if TYPE_CHECKING:
    from bench.binaries import Binary
    from bench.model import Site
    from bench.subjects import Subject

Source = Literal["hand", "run"]
_HANDCLASP = (sys.executable, "-m", "handclasp")


class NotHereError(Exception):
    """This subject cannot be had on this machine, through nobody's fault; the message says why."""


class RenderError(Exception):
    """`handclasp run` did not give what this subject is about."""


def choose(wanted: str) -> Source:
    """`auto` is `run` when that command exists."""
    if wanted == "auto":
        done = subprocess.run(
            [*_HANDCLASP, "run", "--help"], capture_output=True, check=False, timeout=30
        )
        return "run" if done.returncode == 0 else "hand"
    return "run" if wanted == "run" else "hand"


def specification(who: Subject, site: Site, binary: Binary) -> dict[str, Any]:
    """The spec of one link that does the subject's job. Pure."""
    end: Literal["client", "server"] = "client" if who.role == "egress" else "server"
    document: dict[str, Any] = {
        "name": "bench",
        "nginx": {"binary": binary.path, "workers": 1, "connections": 16384},
        "identities": {end: {"certificate": site.certificate(end), "key": site.key(end)}},
        "trust": {"company": {"certificates": [site.ca]}},
    }
    document["identities"][end]["allow_wide_key_mode"] = True
    rotation = "auto" if who.lookup else "reload"
    if who.role == "egress":
        document["egress"] = [
            {
                "name": "out",
                "listen": f"127.0.0.1:{site.listen}",
                "upstream": f"https://127.0.0.1:{site.target}",
                "identity": end,
                "trust": "company",
                "verify": {"name": site.name},
                "rotation": rotation,
            }
        ]
    else:
        document["ingress"] = [
            {
                "name": "in",
                "listen": f"127.0.0.1:{site.listen}",
                "server_names": [site.name],
                "identity": end,
                "clients": {
                    "trust": "company",
                    "allow": [f"dns:{CLIENT_NAME}"] if who.asks else "any",
                },
                "backend": f"http://127.0.0.1:{site.target}",
                "forward": ["x-client-cert"],
                "rotation": rotation,
            }
        ]
    return document


def start(who: Subject, site: Site, binary: Binary) -> processes.Running:
    """`handclasp run` until its nginx listens. Raises StartError, RenderError, NotHereError."""
    folder = Path(site.folder)
    spec, state = folder / "handclasp.yaml", folder / "state"
    # JSON is YAML, and this keeps the benchmark free of a YAML writer.
    document = specification(who, site, binary)
    if who.lookup and os.geteuid() == 0:
        document["nginx"]["user"] = _quiet_account()
    spec.write_text(json.dumps(document, indent=1))
    running = processes.start(
        [*_HANDCLASP, "run", "-c", str(spec), "--state-dir", str(state), "--drain", "1"],
        folder=folder,
        ports=(site.listen,),
    )
    try:
        # `nginx -t` opens the port for a moment too; the pid file is there once nginx really runs.
        running.only = _master(state)
        if who.lookup:
            _insist_on_lookup(state)
    except BaseException:
        running.stop()
        raise
    running.settle()
    return running


def _quiet_account() -> str:
    """An account for the workers of a lookup subject when we are root.

    handclasp lets workers read keys only under an account that is not shared with other servers.
    The benchmark makes no accounts; these are on every Debian and run nothing.
    """
    for name in ("handclasp", "games", "news", "uucp"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise NotHereError("skipped: no account is free for workers that read certificates themselves")


def _insist_on_lookup(state: Path) -> None:
    configuration = "\n".join(path.read_text() for path in sorted(state.rglob("*.conf")))
    if "$realpath_root" not in configuration:
        raise RenderError("handclasp rendered static paths where lookups were expected")


def _master(state: Path) -> int:
    """nginx's master process: the agent's child or not, its pid file says so."""
    until = time.monotonic() + processes.START_SECONDS
    while time.monotonic() < until:
        for path in state.rglob("nginx.pid"):
            text = path.read_text().strip()
            if text.isdigit():
                return int(text)
        time.sleep(0.05)
    raise RenderError("nginx left no pid file in the state directory")
