"""`nginx -T`: the whole configuration of an installation, as its nginx reads it (edge)."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from handclasp.findings import Finding, found
from handclasp.nginx.errorlog import refusal_in
from handclasp.nginx.launch import not_runnable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PATIENCE_SECONDS = 60.0


def configuration_dump(
    binary: Path,
    config: Path | None,
    prefix: Path | None,
    env: Mapping[str, str] | None = None,
) -> tuple[str, tuple[Finding, ...]]:
    """The dump, and what nginx says against the configuration (the dump is empty then).

    Raises EnvironmentFault when the program cannot be run.
    """
    command = [str(binary), "-T"]
    command += ["-p", str(prefix)] if prefix else []
    command += ["-c", str(config)] if config else []
    try:
        done = subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except OSError as error:
        raise not_runnable(binary, error) from error
    except subprocess.TimeoutExpired:
        return "", (found("nginx-config-refused", "nginx -T did not end in time"),)
    if done.returncode == 0:
        return done.stdout.decode(errors="replace"), ()
    lines = done.stderr.decode(errors="replace").splitlines()
    return "", refusal_in(lines) or (found("nginx-config-refused", "nginx: " + " / ".join(lines)),)
