"""What ends some day, of the plan in effect: certificates, trust anchors, revocation lists."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from handclasp.monitor.expiring import expiring

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handclasp.agent.carrier import Applied
    from handclasp.agent.status import Snapshot
    from handclasp.monitor.expiring import Expiring


class InUse:
    """Read from the certificates once, until something else is in effect: of 200 identities that costs more
    than all else that /metrics does."""

    def __init__(self) -> None:
        """Nothing has been read yet."""
        self._read: tuple[Applied, Mapping[str, object], tuple[Expiring, ...]] | None = None

    def of(self, moment: Snapshot) -> tuple[Expiring, ...]:
        """Everything that ends.

        A list counts as nginx has it: one that was read later saves nobody from the one that it was started
        with. Where lists are honoured past their end nginx has none, and those in force are the agent's.
        """
        lists = {name: one.crls for name, one in moment.in_force.items()}
        if self._read is None or self._read[0] is not moment.applied or self._read[1] != lists:
            self._read = moment.applied, lists, _expiring(moment)
        return self._read[2]


def _expiring(moment: Snapshot) -> tuple[Expiring, ...]:
    plan, prepared = moment.applied.plan, moment.applied.prepared
    loaded = prepared.material.trust
    trust = {
        name: one if one.lists_kept is None else moment.in_force.get(name, one)
        for name, one in loaded.items()
    }
    return expiring(
        replace(prepared.material, trust=trust),
        [name for name, _ in plan.identities],
        [name for name, _ in plan.trust],
        {name for name, one in prepared.spec.identities.items() if one.issuer is not None},
    )
