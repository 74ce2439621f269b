"""Running the nginx program: to test a configuration, or as a master that outlives us."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from handclasp.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handclasp.nginx.inheritance import Inheritance

# nginx writes its title over arguments and environment, and cuts it where these end
# (ngx_init_setproctitle). Whole, it names prefix and configuration, by which a master is known again.
_TITLE_ROOM = {"HANDCLASP": "this leaves room for the title of the process"}
_SUCCESS = ("test is successful", "syntax is ok")


@dataclass(frozen=True, slots=True)
class TestResult:
    """What `nginx -t` says; ``lines`` as printed, without the two lines of success."""

    __test__: ClassVar[bool] = False  # not a case of pytest's

    ok: bool
    lines: tuple[str, ...]


def run_test(
    binary: Path, prefix: Path, conf: Path, env: Mapping[str, str], *, timeout: float = 60.0
) -> TestResult:
    """Runs `nginx -t`; blocks, so call it in a thread from the loop.

    It opens every certificate and key, and resolves names, so it may take a while.
    In a session of its own, lest OpenSSL asks for a passphrase on the terminal.
    Raises EnvironmentFault when the program cannot be run.
    """
    command = [str(binary), "-t", "-p", str(prefix), "-c", str(conf)]
    try:
        done = subprocess.run(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            timeout=timeout,
            check=False,
        )
    except OSError as error:
        raise not_runnable(binary, error) from error
    except subprocess.TimeoutExpired:
        return TestResult(False, (f"nginx -t did not end within {timeout:g} s",))
    lines = done.stdout.decode(errors="replace").splitlines()
    told = tuple(line for line in lines if not line.endswith(_SUCCESS))
    return TestResult(done.returncode == 0, told)


def spawn(
    arguments: Sequence[str],
    env: Mapping[str, str],
    stderr: Path,
    *,
    inheritance: Inheritance | None = None,
) -> subprocess.Popen[bytes]:
    """Starts nginx detached from us, with sockets it need not bind. Raises EnvironmentFault."""
    try:
        output = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EnvironmentFault(f"cannot write {stderr}: {error.strerror}") from error
    try:
        return subprocess.Popen(
            arguments,
            env={**_TITLE_ROOM, **env, **(inheritance.variables if inheritance else {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=inheritance.descriptors if inheritance else (),
        )
    except OSError as error:
        raise not_runnable(Path(arguments[0]), error) from error
    finally:
        os.close(output)


def not_runnable(binary: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        f"cannot run {binary}: {error.strerror}",
        hint="Name an nginx program with --nginx PATH or `nginx: {binary: PATH}`.",
    )
