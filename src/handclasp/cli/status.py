"""`handclasp status`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.options import format_option, spec_options

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog="Example: handclasp status -c handclasp.yaml --format json")
@spec_options
@format_option
def status(spec: Path, nginx: str | None, state_dir: Path | None, form: str) -> int:
    """Ask the running agent what it knows."""
    from handclasp.agent.control import CONTROL_SOCKET, ask_status
    from handclasp.agent.prepare import state_directory
    from handclasp.cli.output import echo_json
    from handclasp.errors import ExitCode
    from handclasp.spec.read import read_spec

    del nginx  # taken for symmetry with the other commands
    # The spec may be broken by now; with --state-dir it is not needed to find the agent.
    place = state_dir.absolute() if state_dir else state_directory(None, read_spec(spec))
    answer: dict[str, Any] = asyncio.run(ask_status(place / "run" / CONTROL_SOCKET))
    if form == "json":
        echo_json(answer)
    else:
        click.echo(_text(answer))
    return int(
        ExitCode.OK if answer["ready"] and not answer["refused_change"] else ExitCode.FINDINGS
    )


def _state(answer: dict[str, Any]) -> str:
    if answer["ready"]:
        return "serving"
    outage = (answer["tokens"] or {}).get("outage")
    return f"NOT ready, a key in a token does not work ({outage})" if outage else "NOT serving"


def _text(answer: dict[str, Any]) -> str:
    from handclasp.cli.output import table

    nginx = answer["nginx"]
    lines = [
        (
            f"{answer['name']}: {_state(answer)}, generation"
            f" {answer['generation']}; nginx {nginx['version']} ({nginx['tls']}) is {nginx['state']},"
            f" pid {nginx['pid'] or '-'}, {len(nginx['workers'])} workers; agent pid {answer['agent']['pid']}"
        )
    ]
    if answer["refused_change"]:
        lines.append(f"The spec on disk was REFUSED: {answer['refused_change']}")
    if lists := answer["callers"].get("lists"):
        lines.append(f"Revocation lists NOT TAKEN: {lists}")
    rows = [("LINK", "KIND", "LISTENS", "IDENTITY", "STATE")]
    for link in answer["links"]:
        state = "; ".join(link["down"]) or "up"
        if link["insecure"]:
            state += ", UPSTREAM NOT VERIFIED"
        rows.append(
            (
                link["name"],
                link["kind"],
                ", ".join(link["listen"]),
                ", ".join(link["identities"]),
                state,
            )
        )
    lines += ["", table(rows)]
    certificates = [("CERTIFICATE", "DAYS LEFT", "SUBJECT")]
    certificates += [
        (identity["name"], str(identity["days_left"]), identity["subject"])
        for identity in sorted(answer["identities"], key=lambda one: one["days_left"])
    ]
    lines += ["", table(certificates)]
    for finding in answer["findings"]:
        lines.append(f"{finding['severity']}: {finding['seen']} [{finding['slug']}]")
    return "\n".join(lines)
