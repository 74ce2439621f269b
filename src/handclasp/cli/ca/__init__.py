"""`handclasp ca`."""

from __future__ import annotations

import click

from handclasp.cli.group import LazyGroup

_COMMANDS = {
    "init": "Make a root and an issuing intermediate.",
    "issue": "Issue a certificate, with a new key or for a signing request.",
    "renew": "Issue again what was issued before, for a new time.",
    "revoke": "Revoke a certificate.",
    "crl": "Write the revocation lists of all CAs of the chain.",
    "list": "List what was issued.",
}


@click.group(cls=LazyGroup, commands_in="handclasp.cli.ca", summaries=_COMMANDS)
def ca() -> None:
    """A private certificate authority: a root, an issuing intermediate, and a ledger."""
