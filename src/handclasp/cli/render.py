"""`handclasp render`."""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from handclasp.cli.options import spec_options

if TYPE_CHECKING:
    from handclasp.agent.prepare import Prepared
    from handclasp.nginx.parts import Plan


@click.command(epilog="Example: handclasp render -c handclasp.yaml --output /etc/nginx/handclasp")
@spec_options
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="For an nginx you run yourself: stage certificates and keys in the state directory, write the"
    " includes there, and print the line to put into its http context.",
)
def render(spec: Path, nginx: str | None, state_dir: Path | None, output: Path | None) -> int:
    """Print the nginx configuration of a spec, or write it to a folder."""
    from handclasp.agent.clock import SystemClock
    from handclasp.agent.prepare import Choices, prepare
    from handclasp.agent.resolve import SystemResolver
    from handclasp.cli.output import echo_findings
    from handclasp.errors import ExitCode, UsageError
    from handclasp.findings import FindingsError
    from handclasp.nginx.render import render as render_plan

    choices = Choices(spec, nginx, state_dir, existing=output is not None)
    prepared = asyncio.run(prepare(choices, now=SystemClock().now(), resolver=SystemResolver()))
    if prepared.plan is None:
        raise FindingsError(prepared.findings, exit_code=ExitCode.FINDINGS)
    if output is not None and prepared.plan.tokens is not None:
        raise UsageError(
            "a key of this spec is in a token: what OpenSSL reads then, and the PIN, are kept in the state "
            "directory by `handclasp run`, and render --output writes neither",
            hint=_with_agent(prepared),
        )
    if output is not None and (asking := _asking(prepared.plan)):
        raise UsageError(
            f"link {asking[0]} asks the agent who may enter, and after render --output there is no agent",
            hint=_with_agent(prepared),
        )
    echo_findings(prepared.findings)
    if output is not None:
        _write(prepared, prepared.plan, output.absolute())
        return int(ExitCode.OK)
    for name, text in render_plan(prepared.plan, prepared.facts, prepared.layout).items():
        click.echo(f"# ---- {name}\n{text}")
    return int(ExitCode.OK)


def _asking(plan: Plan) -> list[str]:
    return [server.link for server in plan.ingress if server.authorizer is not None]


def _with_agent(prepared: Prepared) -> str:
    from handclasp.agent.attached import http_fragment
    from handclasp.nginx.existing import include_line

    if prepared.spec.nginx.mode == "own":
        return (
            "start `handclasp run`, which starts an nginx of its own; or, for an nginx you run yourself, "
            "write `nginx: {mode: existing, reload: [systemctl, reload, nginx]}` into the spec first"
        )
    return (
        f"start `handclasp run` with this spec, and put `{include_line(http_fragment(prepared))}` into the "
        "http context of your nginx; `handclasp check` says what its service needs"
    )


def _write(prepared: Prepared, plan: Plan, folder: Path) -> None:
    """Stages the material, then writes every fragment whole, http.conf last: it names the others."""
    from handclasp.agent.carrier import Carrier
    from handclasp.agent.staging import identity_versions
    from handclasp.errors import EnvironmentFault
    from handclasp.keys.files import replace_file
    from handclasp.nginx.existing import include_line
    from handclasp.nginx.render import render as render_plan

    base = PurePosixPath(folder)
    files = render_plan(plan, prepared.facts, prepared.layout, include_base=base)
    # nginx.conf is the main file of an nginx of ours; here the main file is the user's.
    names = [*sorted(files.keys() - {"nginx.conf", "http.conf"}), "http.conf"]
    carrier = Carrier.open(prepared)
    try:
        asyncio.run(carrier.staged(prepared, plan))
        carrier.state.switch(
            identities=identity_versions(prepared, plan), trust=dict(plan.trust)
        ).commit()
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            replace_file(folder / name, files[name].encode(), 0o644)
    except OSError as error:
        raise EnvironmentFault(f"cannot write {folder}: {error.strerror}") from error
    finally:
        carrier.state.close()
    click.echo(f"wrote {len(names)} files to {folder}; put this into the http context of nginx:")
    click.echo(f"    {include_line(base / 'http.conf')}")
    click.echo(
        "then reload it. The error log has to be at level info to show refused certificates."
    )
