"""`handclasp render`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from handclasp.cli.options import spec_options

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog="Example: handclasp render -c handclasp.yaml --output /etc/nginx/handclasp")
@spec_options
@click.option(
    "--output",
    type=click.Path(path_type=__import__("pathlib").Path, file_okay=False),
    help="Write the files there, one per fragment, instead of printing them.",
)
def render(spec: Path, nginx: str | None, state_dir: Path | None, output: Path | None) -> int:
    """Print the nginx configuration of a spec, or write it to a folder."""
    from handclasp.agent.clock import SystemClock
    from handclasp.agent.prepare import Choices, prepare
    from handclasp.agent.resolve import SystemResolver
    from handclasp.cli.output import echo_findings
    from handclasp.errors import ExitCode
    from handclasp.findings import FindingsError
    from handclasp.nginx.render import render as render_plan

    prepared = asyncio.run(
        prepare(Choices(spec, nginx, state_dir), now=SystemClock().now(), resolver=SystemResolver())
    )
    if prepared.plan is None:
        raise FindingsError(prepared.findings, exit_code=ExitCode.FINDINGS)
    echo_findings(prepared.findings)
    files = render_plan(prepared.plan, prepared.facts, prepared.layout)
    for name, text in files.items():
        click.echo(f"# ---- {name}\n{text}")
    return int(ExitCode.OK)
