"""`handclasp cert`."""

from __future__ import annotations

import click

from handclasp.cli.group import LazyGroup

_COMMANDS = {
    "show": "Say what is in files: kinds, names, dates, pairs and chains.",
    "check": "Say every reason why a pair would fail as a client or server identity.",
    "convert": "Write certificates and keys in another format.",
    "split": "Write each object of a file to a file of its own.",
    "bundle": "Write leaf and intermediates in the order TLS wants, the root left out.",
}


@click.group(cls=LazyGroup, commands_in="handclasp.cli.cert", summaries=_COMMANDS)
def cert() -> None:
    """Read, check and convert certificates and keys; what a file is, is told from its bytes."""
