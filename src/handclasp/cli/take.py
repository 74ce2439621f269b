"""`handclasp take`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.options import format_option, spec_options

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS = 300.0
"""A change tries the new identities and proves every listener before it is told."""


@click.command(epilog="Example: handclasp take 'trust company' --force")
@click.argument("what", metavar="[WHAT]...", nargs=-1)
@click.option(
    "--force", is_flag=True, help="Take an older certificate, or drop a CA that callers still use."
)
@spec_options
@format_option
def take(
    what: tuple[str, ...],
    force: bool,
    spec: Path,
    nginx: str | None,
    state_dir: Path | None,
    form: str,
) -> int:
    """Make the running agent take what lies on disk now, and say what it does not take.

    WHAT is named as `handclasp status` names it: 'identity NAME', 'trust NAME', or 'intermediates of LINK';
    the spec itself is not read then. Without it the spec is read again with all its files, as on HUP. With
    --force things are taken that are refused else: a certificate that began and ends before the one in
    effect; a trust without a CA that callers came under a short time ago (`rotation.overlap`); and, without
    WHAT, revocation lists older than those in force. Files that cannot work are never taken. Exit code 1
    means that something is not taken; the old one serves on.
    """
    from handclasp.agent.control import CONTROL_SOCKET, ask
    from handclasp.agent.prepare import state_directory
    from handclasp.cli.output import echo_json
    from handclasp.errors import ExitCode
    from handclasp.spec.read import read_spec

    del nginx  # taken for symmetry with the other commands
    # The spec may be broken by now; with --state-dir it is not needed to find the agent.
    place = state_dir.absolute() if state_dir else state_directory(None, read_spec(spec))
    order = {"what": list(what), "force": force}
    asking = ask(place / "run" / CONTROL_SOCKET, "POST", "/take", order, within=_SECONDS)
    answer: dict[str, Any] = asyncio.run(asking)
    ok = not answer["refused"]
    if form == "json":
        echo_json({"ok": ok, **answer})
    else:
        click.echo(_text(answer))
    return int(ExitCode.OK if ok else ExitCode.FINDINGS)


def _text(answer: dict[str, Any]) -> str:
    from handclasp.cli.output import printable

    lines = [f"in effect: {one}" for one in answer["taken"]]
    lines += [f"NOT taken: {one}: {why}" for one, why in answer["refused"].items()]
    return printable("\n".join(lines))
