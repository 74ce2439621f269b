"""The certificates that callers of the links presented, as the agent has noted them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from handclasp.agent.prepare import state_directory
from handclasp.monitor.callers import Callers
from handclasp.monitor.entries import entries_of_callers
from handclasp.monitor.expiry import Entry, Kind, State
from handclasp.nginx.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from handclasp.monitor.expiry import Judged
    from handclasp.spec.load import LoadedSpec

MOST_WELL = 50
"""Callers that have time are so many lines at most: there may be thousands."""


def callers_of(loaded: LoadedSpec, state: Path | None, *, now: datetime) -> list[Entry]:
    """Those of the last `rotation.overlap` (7 days): who did not come for so long may have another
    certificate, or be gone, and would be warned of until it ends. `now` is the present, whatever moment
    is asked about."""
    if not loaded.spec.ingress:
        return []
    layout = Layout(PurePosixPath(state_directory(state, loaded)))
    try:
        text = Path(layout.callers).read_text("utf-8", "replace")
    except FileNotFoundError:
        return []  # no agent was here, or nobody has come
    except OSError as error:
        problem = f"who calls cannot be read: {error.strerror}"
        return [Entry(source=str(layout.callers), name="callers", problem=problem)]
    seen = Callers.from_json(text, now)
    return entries_of_callers(seen.current(now, within=loaded.spec.rotation.overlap))


def without_many(judged: Sequence[Judged]) -> list[Judged]:
    """Of callers that have time only the first MOST_WELL to end; says how many are left out."""
    kept: list[Judged] = []
    well = 0
    for one in judged:
        if one.entry.kind is Kind.CALLER and one.state is State.OK:
            well += 1
            if well > MOST_WELL:
                continue
        kept.append(one)
    if well > MOST_WELL:
        click.echo(f"{well - MOST_WELL} more callers have time", err=True)
    return kept
