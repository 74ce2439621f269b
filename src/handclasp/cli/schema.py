"""`handclasp schema`."""

from __future__ import annotations

import click


@click.command(epilog="Example: handclasp schema > handclasp.schema.json")
def schema() -> None:
    """Print the JSON Schema of the spec, for editors."""
    from handclasp.cli.docs import schema_text

    click.echo(schema_text(), nl=False)
