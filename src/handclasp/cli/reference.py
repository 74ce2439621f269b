"""docs/reference/cli.md, from the commands themselves."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import click

from handclasp.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = """# Commands

Generated from the code by `python -m handclasp.cli.docs --write`; do not edit.

Results go to standard output, everything else to standard error. Colour is used only on a terminal.

| exit code | meaning |
|---|---|
| 0 | fine |
| 1 | findings, or something is unhealthy |
| 2 | wrong use, or an input could not be understood |
| 3 | the environment: no nginx, no permission, a port taken, no agent |
| 4 | a bug in handclasp |

With `--format json` the output has a schema: `docs/reference/json/COMMAND.schema.json` (`cert-show` for
`cert show`). Keys may be added in later versions; none is renamed or removed.
"""


def cli_page() -> str:
    """Every command with its usage, options and example, as `--help` prints them at 80 columns."""
    context = click.Context(
        cli,
        info_name="handclasp",
        terminal_width=80,
        max_content_width=80,
        **cli.context_settings,
    )
    return "".join([_HEAD, *_sections(cli, context)])


def _sections(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        # click remembers the help option of a command as it was first asked for, by whomever.
        command = copy.copy(found)
        vars(command)["_help_option"] = None
        inner = click.Context(command, info_name=name, parent=context, terminal_width=80)
        yield f"\n## {inner.command_path}\n\n```text\n{command.get_help(inner)}\n```\n"
        if isinstance(command, click.Group):
            yield from _sections(command, inner)
