"""The command tree. Each command is its own file and is imported only when it is called."""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click

from handclasp import __version__
from handclasp.errors import ExitCode, HandclaspError
from handclasp.findings.model import FindingsError, errors_in

_COMMANDS = {
    "init": "Write a commented handclasp.yaml to start from.",
    "run": "Carry the links of a spec: start nginx, prove it, keep it running.",
    "demo": "Show both ends of a hop at work, and each refusal explained.",
    "check": "Say everything that can be known before starting.",
    "render": "Print the nginx configuration of a spec, or write it to a folder.",
    "status": "Ask the running agent what it knows.",
    "explain": "Explain a cause, rule or check by its name.",
    "schema": "Print the JSON Schema of the spec.",
    "completion": "Print the completion script of a shell.",
}


class _Lazy(click.Group):
    """Knows the commands by name; loads `handclasp.cli.NAME:NAME` when one is wanted."""

    def invoke(self, ctx: click.Context) -> Any:
        """Ends well when the reader of our output has gone, as `| head` does: the 1 that click would
        end with means findings here."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # What is still in the buffer must not fail again when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return int(ExitCode.OK)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"handclasp.cli.{cmd_name}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], _COMMANDS, 1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error


@click.group(
    cls=_Lazy,
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
