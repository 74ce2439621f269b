"""Runs one scenario on a state directory again and again, dying at its first, second, … step.

    python -m tests.nginx.crash_driver SCENARIO SEED OUT

SEED is copied to OUT/<k>, a fork opens the copy, runs the scenario and leaves by os._exit when it
is about to make its k-th call that changes the file system (a write leaves half its bytes first).
Ends at the first k that lives through it. A process of its own because pytest has threads.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handclasp.nginx.state import StateDirectory

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = ("mkdir", "open", "write", "fsync", "fchmod", "rename", "symlink", "unlink", "rmdir")
CRASHED = 77
NEW = {"cert.pem": b"new certificate" * 50, "key.pem": b"new key", "password": b"new"}


def seed(path: Path) -> None:
    """Generation 1 and version v1 everywhere, committed, and one switch before that."""
    with StateDirectory.open(path, worker_group=None) as state:
        generation = state.write_generation({"nginx.conf": "one", "plan.json": "{}"})
        state.stage_identity("svc", "v1", {"cert.pem": b"old certificate", "key.pem": b"old key"})
        state.stage_trust("company", "v1", {"ca.pem": b"old ca"})
        state.switch(
            generation=generation, identities={"svc": "v1"}, trust={"company": "v1"}
        ).commit()


def stage(state: StateDirectory) -> None:
    state.stage_identity("svc", "v2", NEW)
    state.stage_trust("company", "v2", {"ca.pem": b"new ca", "crl.pem": b"new crl"})
    state.write_generation({"nginx.conf": "two", "links/orders.conf": "three"})


def _move(state: StateDirectory) -> Any:
    stage(state)
    state.stage_identity("extra", "v1", NEW)
    return state.switch(
        generation=2, identities={"svc": "v2", "extra": "v1"}, trust={"company": "v2"}
    )


def commit(state: StateDirectory) -> None:
    _move(state).commit()


def rollback(state: StateDirectory) -> None:
    _move(state).rollback()


def prune(state: StateDirectory) -> None:
    state.prune(keep=1)


def nothing(state: StateDirectory) -> None:
    """Opening alone."""


SCENARIOS = {
    "stage": stage,
    "commit": commit,
    "rollback": rollback,
    "prune": prune,
    "open": nothing,
}


def _die_at(k: int) -> None:
    left = k

    def counting(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                if name == "write":
                    real(args[0], bytes(args[1])[: len(args[1]) // 2])
                os._exit(CRASHED)
            left -= 1
            # A process that dies loses nothing it wrote: syncing would only make this slow.
            return None if name == "fsync" else real(*args, **kwargs)

        return call

    for name in CALLS:
        setattr(os, name, counting(name))


def main(scenario: str, seeded: Path, out: Path) -> None:
    k = 0
    while True:
        work = out / str(k)
        shutil.copytree(seeded, work, symlinks=True)
        child = os.fork()
        if child == 0:
            if scenario == "open":
                _die_at(k)
            state = StateDirectory.open(work, worker_group=None)
            if scenario != "open":
                _die_at(k)
            SCENARIOS[scenario](state)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return
        if code != CRASHED:
            raise SystemExit(f"step {k} ended with {code}")
        k += 1


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
