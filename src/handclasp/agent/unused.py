"""What the spec in effect has no use for: fetched lists, and what was issued (edge: the state directory)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.agent import failing, journal
from handclasp.agent.issued import identities_kept, place_of, remove_issued
from handclasp.agent.lists_in_force import tidy
from handclasp.agent.prepare import material_files
from handclasp.errors import EnvironmentFault

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.agent.prepare import Prepared


def remove_unused(state: Path, prepared: Prepared, before: Prepared | None) -> None:
    """Once `prepared` is in effect. What was issued for identities that are gone is removed only where the
    spec is another one than `before`: while one is refused, what was issued for it may be needed again."""
    try:
        tidy(state, prepared.spec)
    except OSError as problem:
        journal.warning("old revocation lists are kept", because=problem)
    if before is not None and before.loaded is prepared.loaded:
        return
    issued = {name for name, one in prepared.spec.identities.items() if one.issuer is not None}
    files = material_files(prepared.spec, prepared.layout)
    for name in set(identities_kept(state)) - issued:
        place = place_of(state, name)
        if any(file.is_relative_to(place) for file in files):
            continue  # somebody names them there
        try:
            remove_issued(state, name)
        except (OSError, EnvironmentFault) as problem:
            journal.warning("what was issued and is no longer used is kept", because=problem)
        else:
            failing.forget(state, name)
            journal.info("no longer used, removed", path=place)
