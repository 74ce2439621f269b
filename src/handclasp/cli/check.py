"""`handclasp check`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from handclasp.cli.options import Moment, format_option, spec_options

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


@click.command(epilog="Example: handclasp check -c handclasp.yaml --at 2027-03-01")
@spec_options
@format_option
@click.option(
    "--at", type=Moment(), help="Check as if it were then: ISO 8601, a bare date is 00:00 UTC."
)
@click.option(
    "--no-nginx-test", is_flag=True, help="Leave out nginx -t on the rendered configuration."
)
def check(
    spec: Path,
    nginx: str | None,
    state_dir: Path | None,
    form: str,
    at: datetime | None,
    no_nginx_test: bool,
) -> int:
    """Say everything that can be known before starting."""
    from handclasp.agent.attached import existing_findings
    from handclasp.agent.clock import SystemClock
    from handclasp.agent.failing import with_failing
    from handclasp.agent.prepare import Choices, prepare
    from handclasp.agent.resolve import SystemResolver
    from handclasp.agent.sockets import check_sockets
    from handclasp.agent.staging import trial
    from handclasp.agent.waiting import issuer_findings
    from handclasp.certs.counting import counted
    from handclasp.cli.output import echo_findings, echo_json, sorted_findings
    from handclasp.errors import ExitCode
    from handclasp.findings import FindingsError, Severity, errors_in

    choices = Choices(spec, nginx, state_dir, lists="later")
    now = at or SystemClock().now()
    test = "nginx -t was not run"
    try:
        prepared = asyncio.run(prepare(choices, now=now, resolver=SystemResolver()))
    except FindingsError as error:
        findings, exit_code = list(error.findings), error.exit_code
    else:
        today = SystemClock().now()
        findings = [*with_failing(prepared, today), *issuer_findings(prepared, now)]
        plan = prepared.plan or prepared.meanwhile
        if plan is not None and not no_nginx_test:
            refused = trial(prepared, plan)
            findings += (*refused, *check_sockets(plan, prepared))
            if prepared.spec.nginx.mode == "existing":
                findings += existing_findings(prepared)
            said = "refuses" if refused else "accepts"
            test = f"nginx {prepared.facts.version_text} {said} the configuration (as of today)"
        exit_code = ExitCode.FINDINGS if errors_in(findings) else ExitCode.OK
    if form == "json":
        echo_json(
            {
                "ok": exit_code is ExitCode.OK,
                "findings": [finding.as_json() for finding in sorted_findings(findings)],
            }
        )
        return int(exit_code)
    echo_findings(findings, to_stdout=True, least=Severity.INFO)
    errors = len(errors_in(findings))
    warnings = sum(1 for finding in findings if finding.severity is Severity.WARNING)
    verdict = {ExitCode.OK: "will work", ExitCode.USAGE: "is not understood"}.get(
        exit_code, "will not work"
    )
    click.echo(
        f"{spec}: {verdict}: {counted(errors, 'error')}, {counted(warnings, 'warning')}; {test}"
    )
    return int(exit_code)
