"""The command tree. Each command is its own file and is imported only when it is called."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click

from handclasp import __version__
from handclasp.cli.group import LazyGroup
from handclasp.errors import ExitCode, HandclaspError
from handclasp.findings.model import FindingsError, errors_in

_COMMANDS = {
    "init": "Write a commented handclasp.yaml to start from.",
    "run": "Carry the links of a spec: start nginx, prove it, keep it running.",
    "demo": "Show both ends of a hop at work, and each refusal explained.",
    "check": "Say everything that can be known before starting.",
    "render": "Print the nginx configuration of a spec, or write it to a folder.",
    "status": "Ask the running agent what it knows.",
    "take": "Make the running agent take what lies on disk now.",
    "expiry": "Say what expires when: files, directories, a spec, servers.",
    "cert": "Read, check and convert certificates and keys of any format.",
    "ca": "A private certificate authority for a team.",
    "hsm": "Keys in a PKCS#11 token.",
    "identity": "Decode identity headers as a backend would.",
    "deny": "Refuse a client certificate now.",
    "explain": "Explain a cause, rule or check by its name.",
    "schema": "Print the JSON Schema of the spec.",
    "completion": "Print the completion script of a shell.",
}


@click.group(
    cls=LazyGroup,
    commands_in="handclasp.cli",
    summaries=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 fine, 1 findings or unhealthy, 2 wrong use or input not understood,"
    " 3 environment, 4 a bug in handclasp.",
)
@click.version_option(__version__, prog_name="handclasp")
def cli() -> None:
    """Mutual TLS between services: one YAML file describes the hop, nginx carries it."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point. Prints our errors as sentences; anything else is our bug and says so."""
    # A TERM unwinds like any exit, lest a trial's temporary directory, with a key in it, stays behind.
    signal.signal(signal.SIGTERM, _terminated)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  ours to the end
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is escaped; it is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run(arguments))


def _terminated(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


def _run(arguments: list[str] | None) -> int:
    try:
        result: Any = cli.main(args=arguments, prog_name="handclasp", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return int(ExitCode.USAGE)
    except click.Abort:
        click.echo("stopped", err=True)
        return 130
    except FindingsError as error:
        from handclasp.cli.output import echo_findings

        # What forbids going on stands alone; `check` shows the warnings too.
        forbidding = errors_in(error.findings)
        echo_findings(forbidding or error.findings)
        return int(error.exit_code)
    except HandclaspError as error:
        click.echo(f"error: {error}", err=True)
        return int(error.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
            return _bug()
        click.echo(
            f"error: cannot write {error.filename or 'the output'}: {error.strerror}", err=True
        )
        if error.filename is None:
            _give_up_output()
        return int(ExitCode.ENVIRONMENT)
    except Exception:  # noqa: BLE001  the one place where a bug becomes an exit code
        return _bug()
    return int(result) if isinstance(result, int) else int(ExitCode.OK)


def _give_up_output() -> None:
    """What is still in the buffer would be tried again at exit, whose failure is exit code 120."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _bug() -> int:
    traceback.print_exc()
    click.echo("This is a bug in handclasp; please report it with the lines above.", err=True)
    return int(ExitCode.BUG)
