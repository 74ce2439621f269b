"""The trial of a change: identities that replace others are used before traffic depends on them (edge)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.refused import ChangeRefused
from handclasp.agent.trial_calls import calls
from handclasp.agent.trial_listener import served_privately

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handclasp.agent.own_calls import OwnCalls
    from handclasp.agent.prepare import Prepared
    from handclasp.nginx.parts import Plan
    from handclasp.nginx.state import StateDirectory


class TrialFailed(ChangeRefused):
    """Identities that do not do their job, by name, and why."""

    def __init__(self, failed: Mapping[str, str]) -> None:
        super().__init__(
            "; ".join(f"identity {name}: {why}" for name, why in sorted(failed.items()))
        )
        self.failed = dict(failed)


async def tried(state: StateDirectory, prepared: Prepared, plan: Plan, own_calls: OwnCalls) -> None:
    """Raises TrialFailed. Only what takes the place of something that works is tried: at a first start
    nothing is lost by trying in earnest. `own_calls` is told of the calls that are made."""
    settings = prepared.spec.rotation
    replaced = {
        name: (before, version)
        for name, version in plan.identities
        if (before := state.current_identity(name)) not in (None, version)
    }
    if settings.trial == "off" or not replaced:
        return
    in_tokens = plan.tokens.uris if plan.tokens else {}
    for name in replaced.keys() & in_tokens.keys():
        journal.info(
            "not tried before it is served", identity=name, because="its key is in a token"
        )
    files = {name: versions for name, versions in replaced.items() if name not in in_tokens}
    failed = await served_privately(
        state, prepared, plan, {name: new for name, (_, new) in files.items()}
    )
    request = settings.trial_path if settings.trial == "request" else None
    for call in await calls(state, plan, files, request=request):
        leaf = prepared.material.identities[call.identity].leaf
        if leaf is not None and call.when is not None:
            own_calls.note(leaf, *call.when)
        if call.refused:
            failed.setdefault(call.identity, f"upstream {call.server} refuses it: {call.refused}")
        elif call.unsaid:
            journal.warning(
                "an upstream could not be asked about a new identity",
                identity=call.identity,
                upstream=call.server,
                because=call.unsaid,
            )
    if failed:
        raise TrialFailed(failed)
