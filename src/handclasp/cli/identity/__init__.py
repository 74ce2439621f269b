"""`handclasp identity`."""

from __future__ import annotations

import click

from handclasp.cli.group import LazyGroup

_COMMANDS = {
    "show": "Say what a backend would see in identity headers, and what is odd about them.",
}


@click.group(cls=LazyGroup, commands_in="handclasp.cli.identity", summaries=_COMMANDS)
def identity() -> None:
    """The headers that tell a backend who is calling."""
