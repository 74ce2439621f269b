"""`handclasp run`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from handclasp.cli.options import spec_options

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.agent.carrier import Applied


@click.command(
    epilog="Example: handclasp run -c handclasp.yaml. Signals: HUP reads the spec again, USR1 reopens"
    " nginx's logs, TERM drains and ends."
)
@spec_options
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the agent's log on stderr.",
)
@click.option(
    "--drain",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long requests under way may take when stopping.",
)
@click.option(
    "--names-every",
    type=click.FloatRange(min=0.1),
    default=30.0,
    envvar="HANDCLASP_NAMES_EVERY",
    hidden=True,
)
def run(
    spec: Path,
    nginx: str | None,
    state_dir: Path | None,
    log_format: str,
    drain: int,
    names_every: float,
) -> None:
    """Carry the links of a spec: start nginx, prove each listener, keep it running."""
    import signal

    # Until the agent answers them: logrotate's USR1 or an early HUP must not end what is starting.
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    from handclasp.agent import journal
    from handclasp.agent.carrier import no_plan
    from handclasp.agent.clock import SystemClock
    from handclasp.agent.issued_first import prepared_and_issued
    from handclasp.agent.last_good import may_start
    from handclasp.agent.loop import Agent
    from handclasp.agent.prepare import Choices
    from handclasp.agent.resolve import SystemResolver
    from handclasp.agent.settings import Settings
    from handclasp.cli.output import echo_findings
    from handclasp.findings import Severity

    journal.configure(log_format)
    choices = Choices(spec, nginx, state_dir, lists="fetched")
    clock, resolver = SystemClock(), SystemResolver()

    async def serve() -> None:
        prepared = await prepared_and_issued(choices, clock, resolver)
        if not may_start(prepared):
            raise no_plan(prepared)
        # Errors are told by whoever finds a way around them, or by the end.
        echo_findings([one for one in prepared.findings if one.severity is not Severity.ERROR])
        settings = Settings(choices, float(drain), names_every)
        await Agent(settings, clock, resolver, _table).run(prepared)

    asyncio.run(serve())


def _table(applied: Applied) -> None:
    """The links, on stdout, once they are proven."""
    from handclasp.cli.output import link_table

    click.echo(link_table(applied))
