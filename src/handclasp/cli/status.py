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
    callers = answer["callers"]
    troubled = [answer["refused_change"], answer["not_taken"], callers["lists"], callers["denials"]]
    return int(ExitCode.FINDINGS if any(troubled) or not answer["ready"] else ExitCode.OK)


def _state(answer: dict[str, Any]) -> str:
    if answer["ready"]:
        return "serving"
    if outage := (answer["tokens"] or {}).get("outage"):
        return f"NOT ready, a key in a token does not work ({outage})"
    serving = answer["nginx"]["state"] in ("serving", "reloading")
    ended = [one["name"] for one in answer["identities"] if one["ended"]]
    if serving and ended:
        return f"NOT ready, certificates have expired ({', '.join(ended)})"
    return "NOT serving"


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
    lines += [
        f"New files for {what} are NOT served: {why}" for what, why in answer["not_taken"].items()
    ]
    lines += [
        f"New files for {what} are waited for since {one['since']}: {one['why']}"
        for what, one in answer["awaited"].items()
    ]
    if answer["refused_change"]:
        lines.append(f"The spec on disk was REFUSED: {answer['refused_change']}")
    if denials := answer["callers"].get("denials"):
        lines.append(f"Denials NOT in force everywhere: {denials}")
    if lists := answer["callers"].get("lists"):
        lines.append(f"Revocation lists NEED ATTENTION: {lists}")
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
    lines += _callers(answer.get("callers_seen"))
    for finding in answer["findings"]:
        lines.append(f"{finding['severity']}: {finding['seen']} [{finding['slug']}]")
    return "\n".join(lines)


def _callers(seen: dict[str, Any] | None) -> list[str]:
    from handclasp.cli.output import printable, table

    if seen is None:
        return []
    lines = []
    if seen["problem"]:
        lines.append(f"Callers are NOT FOLLOWED: {seen['problem']}")
    if seen["ending"]:
        rows = [
            ("CALLER", "DAYS LEFT", "ENDS", "LINK")
        ]  # by its end two of one name are told apart
        rows += [
            (
                printable(one["subject"] or "(no name)"),
                str(one["days_left"]),
                one["not_after"][:16],
                one["link"],
            )
            for one in seen["ending"]
        ]
        lines += ["", table(rows)]
        if (more := seen["ending_in_all"] - len(seen["ending"])) > 0:
            lines.append(f"and {more} more")
    if seen["authorities"]:
        rows_of_cas = [("CA", "TRUST", "CALLERS IN A DAY", "LAST SEEN", "SAFE TO DROP")]
        rows_of_cas += [
            (
                printable(one["subject"]),
                one["trust"],
                _count(one),
                (one["last_seen"] or "never")[:16],
                _safety(one),
            )
            for one in seen["authorities"]
        ]
        lines += ["", table(rows_of_cas)]
    return lines


def _count(authority: dict[str, Any]) -> str:
    from handclasp.cli.output import printable

    count = str(authority["callers_last_day"])
    if not authority["examples"]:
        return count
    return printable(f"{count} (of late: {', '.join(authority['examples'])})")


def _safety(authority: dict[str, Any]) -> str:
    from handclasp.cli.output import printable

    if authority["safe_to_drop"]:
        return "yes"
    told = f"not before {authority['safe_from'][:16]}"
    if authority["unknown_issuers"]:
        unknown = ", ".join(authority["unknown_issuers"])
        told += f", and callers of issuers not known here may need it: {unknown}"
    if authority["same_name_as_another"]:
        told += ", and another CA has its name"
    return printable(told)
