"""The socket on which nginx asks about callers (edge). What is answered stands in `policies`.

Over it nothing is changed. Without it, or when its answer is late or none, nobody new gets in.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from handclasp.agent import journal
from handclasp.agent.denials import Denials, denied_files, holds
from handclasp.agent.listed import beyond_files, listed_files
from handclasp.agent.policies import Question, make_policies
from handclasp.errors import EnvironmentFault
from handclasp.nginx.durable import fresh_name
from handclasp.nginx.enforcement import wipe
from handclasp.nginx.render.authorizer import ANSWER, HOP, QUESTION, REASON
from handclasp.spec.access import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from handclasp.agent.denials import Denial
    from handclasp.agent.policies import Answer, Policies
    from handclasp.agent.prepare import Prepared
    from handclasp.certs.material import Material, TrustMaterial
    from handclasp.nginx.durable import Access
    from handclasp.nginx.parts import Plan
    from handclasp.nginx.state import StateDirectory
    from handclasp.ports import Clock

_MOST_HEADER_BYTES = 256 * 1024
_BACKLOG = 1024


class Authorizer:
    """Answers for the policies in force."""

    def __init__(self, state: StateDirectory, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._policies: Policies | None = None
        self._prepared: Prepared | None = None
        self._former: Prepared | None = None
        self._lists: dict[str, tuple[datetime, TrustMaterial]] = {}
        self.denials = Denials(state.path)
        self._runner = web.ServerRunner(
            web.Server(
                self._answer,
                access_log=None,
                max_line_size=_MOST_HEADER_BYTES,
                max_field_size=_MOST_HEADER_BYTES,
            ),
            handle_signals=False,
        )
        self.answers: Counter[str] = Counter()
        """How many answers were given since the start, by reason."""

    async def start(self) -> None:
        """Reads what is denied, and listens. Raises EnvironmentFault."""
        # A policy was in force, so there was a file.
        self.denials.load(expected=self._state.enforcement.policy() is not None)
        await self._runner.setup()
        listener = _listener(self._state.authorizer_socket, self._state.socket_access)
        await web.SockSite(self._runner, listener, backlog=_BACKLOG).start()

    async def stop(self) -> None:
        """Closes the socket."""
        await self._runner.cleanup()

    def take(self, prepared: Prepared) -> None:
        """Knows the rules of this plan from now on, beside those of the one before. Raises EnvironmentFault.

        To be called before nginx is told of the plan: its first workers may ask at once.
        """
        if prepared.plan is not None:
            if prepared is not self._prepared:
                self._former, self._prepared = self._prepared, prepared
            self._enforce(prepared.plan, self._material(prepared))

    def relist(self, trust: Mapping[str, TrustMaterial]) -> None:
        """Other revocation lists for some trusts, read just now. Raises EnvironmentFault."""
        now, prepared = self._clock.now(), self._prepared
        if prepared is not None:
            # The clock knows whole seconds, and may have been set back: these are the newer ones still.
            now = max(now, prepared.read_at + timedelta(seconds=1))
        self._lists |= {name: (now, one) for name, one in trust.items()}
        self._again()
        if prepared is not None and prepared.plan is not None:
            loaded, material = prepared.material, self._material(prepared)
            for link, what in beyond_files(prepared.plan, loaded, material):
                journal.warning("refused only after HUP: nginx decides", link=link, what=what)

    def deny(self, denial: Denial) -> bool:
        """Refuses a certificate from the next request on; whether it was not refused before. Raises
        EnvironmentFault."""
        try:
            return self.denials.add(denial)
        finally:
            # In force whether it could be written or not, and whether it was told before or not: what was
            # done about it then may have failed.
            self._again()

    def undo(self, denial: Denial) -> bool:
        """Takes a denial back; whether there was one. Raises EnvironmentFault."""
        known = self.denials.remove(denial)
        self._again()
        return known

    def _again(self) -> None:
        if self._prepared is not None and self._prepared.plan is not None:
            self._enforce(self._prepared.plan, self._material(self._prepared))

    def _material(self, prepared: Prepared) -> Material:
        """What the plan was made from, with lists that were read later: going back to a plan, or new
        addresses for it, must not bring back a list of before."""
        trust = dict(prepared.material.trust)
        for name, (read_at, newer) in self._lists.items():
            if name in trust and read_at > prepared.read_at:
                trust[name] = replace(trust[name], crls=newer.crls, crl_files=newer.crl_files)
        return replace(prepared.material, trust=trust)

    def _enforce(self, plan: Plan, material: Material) -> None:
        enforcement = self._state.enforcement
        policies = make_policies(plan, material, self.denials.denied(), self._policies)
        name = enforcement.policy_name(policies.digest)
        # Before nginx can ask under the new name.
        self._policies = replace(policies, name=name)
        entries = self.denials.entries
        # The link first: it needs no space on the disk to speak of, the files may fail for want of it.
        kept = enforcement.answers() if enforcement.policy() != name else ()
        if enforcement.set_policy(name) and kept:
            asyncio.get_running_loop().run_in_executor(None, wipe, kept)
        enforcement.set_denied(
            denied_files(plan, entries), partial(holds, entries), self._listed(plan, material)
        )

    def _listed(self, plan: Plan, material: Material) -> dict[tuple[str, str], str]:
        """What lists name where nginx decides; in the plan of before too, which may serve still."""
        files = listed_files(plan, material)
        former = self._former
        if former is not None and former.plan is not None:
            trust = {**former.material.trust, **material.trust}
            files |= listed_files(former.plan, replace(former.material, trust=trust))
        return files

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._policies is None:
            return web.Response(status=503)
        asked = request.headers
        question = Question(
            rule=asked.get(f"{QUESTION}Rule", ""),
            policy=asked.get(f"{QUESTION}Policy", "").rpartition("/")[2],
            verify=asked.get(f"{QUESTION}Verify", ""),
            certificate=asked.get(f"{QUESTION}Certificate", ""),
        )
        answer = self._policies.answer(question, now=self._clock.now())
        decision = answer.decision
        self.answers[decision.reason] += 1
        if not decision.allowed:
            journal.info("caller refused", reason=decision.reason, why=decision.sentence)
        return _response(answer)


def _response(answer: Answer) -> web.Response:
    decision = answer.decision
    if decision.reason is Reason.AUTHORIZER_UNAVAILABLE:
        return web.Response(status=503, headers={REASON: decision.reason})
    headers = [(f"{ANSWER}{name}", value) for name, value in answer.headers]
    headers.append((REASON, "" if decision.allowed else decision.reason))
    if answer.hop:
        headers.append((HOP, "1"))
    fresh, outage = int(answer.fresh.total_seconds()), int(answer.outage.total_seconds())
    keep = f"max-age={fresh}, stale-if-error={outage}" if fresh > 0 else "no-store"
    headers.append(("Cache-Control", keep))
    return web.Response(status=200 if decision.allowed else 403, headers=headers)


def _listener(path: Path, access: Access) -> socket.socket:
    """A unix socket under its name in one step, so that nginx never finds none while an agent lives."""
    fresh = fresh_name(path)
    fresh.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    before = os.umask(0o177)
    try:
        # By the open directory: a socket's path has 107 bytes at most, and this name is the longer one.
        listener.bind(f"/proc/self/fd/{folder}/{fresh.name}")
        if access.group is not None:
            os.chown(fresh, -1, access.group)
        fresh.chmod(access.mode)
        listener.listen(_BACKLOG)
        fresh.rename(path)
    except OSError as error:
        listener.close()
        raise EnvironmentFault(
            f"cannot make the authorizer's socket {path}: {error.strerror or error}",
            hint="name a state directory with a shorter path (--state-dir)"
            if error.errno is None
            else None,
        ) from error
    finally:
        os.umask(before)
        os.close(folder)
    return listener
