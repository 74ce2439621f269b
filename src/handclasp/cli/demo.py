"""`handclasp demo`."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
from pathlib import Path

import click

_NARROWEST, _WIDEST = 60, 100


@click.command(epilog="Example: handclasp demo --keep, then paste the curl lines it prints.")
@click.option("--nginx", metavar="PATH", help="The nginx program to use.")
@click.option("--keep", is_flag=True, help="Leave everything up, with command lines to try.")
def demo(nginx: str | None, *, keep: bool) -> int:
    """Show both ends of a hop at work, and each refusal explained.

    Makes a CA and certificates in a temporary directory, starts a backend and two agents with an
    nginx each, sends a request through, then tries everything that must be refused. Ends what it
    started and removes what it wrote. Exit code 1 when anything was not as it must be.
    """
    from handclasp.agent.clock import SystemClock
    from handclasp.demo.drawing import Page
    from handclasp.demo.play import Choices, play
    from handclasp.nginx.locate import locate, read_facts

    binary = locate(nginx, None)
    facts = read_facts(binary)
    library = facts.tls_library
    choices = Choices(
        nginx=binary,
        build=f"nginx {facts.version_text} with {library.name} {library.running}",
        keep=keep,
        command=_command(),
    )
    page = Page(
        width=max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns)),
        colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ,
        unicode=_shows_unicode(),
    )
    return asyncio.run(play(choices, page, click.echo, SystemClock().now()))


def _command() -> str:
    """How to call us from another shell: by name where PATH finds this one, else as we were called."""
    called = Path(sys.argv[0]).absolute()
    if called.name == "handclasp" and os.access(called, os.X_OK):
        in_path = shutil.which("handclasp")
        same = in_path is not None and Path(in_path).absolute() == called
        return "handclasp" if same else shlex.quote(str(called))
    return f"{shlex.quote(sys.executable)} -m handclasp"


def _shows_unicode() -> bool:
    try:
        "│║▼▶─═✓✗".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
