"""`handclasp hsm`."""

from __future__ import annotations

import click

from handclasp.cli.group import LazyGroup

_COMMANDS = {
    "init": "Make a SoftHSM token for trying, or look at a real one.",
    "keygen": "Generate a key that cannot leave the token.",
    "list": "List tokens and the keys in them.",
    "csr": "Make a signing request with a key of the token.",
    "check": "Prove that a key can be used, before nginx is touched.",
}


@click.group(cls=LazyGroup, commands_in="handclasp.cli.hsm", summaries=_COMMANDS)
def hsm() -> None:
    """Keys that never leave a PKCS#11 token."""
