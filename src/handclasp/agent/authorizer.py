"""The socket on which nginx asks about callers (edge). What is answered stands in `policies`.

Over it nothing is changed. Without it, or when its answer is late or none, nobody new gets in.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from aiohttp import web

from handclasp.agent import journal
from handclasp.agent.denials import Denials, denied_files, holding
from handclasp.agent.listed import beyond_files, listed_files
from handclasp.agent.listed_trust import list_authorities
from handclasp.agent.newer_lists import joined
from handclasp.agent.policies import Question, make_policies
from handclasp.errors import EnvironmentFault, HandclaspError
from handclasp.nginx.durable import fresh_name
from handclasp.nginx.enforcement import wipe
from handclasp.nginx.render.authorizer import ANSWER, HOP, QUESTION, REASON
from handclasp.spec.access import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
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
_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an order: whether it `changed` anything, and why it is not `in_force` everywhere or not
    `written`, if so."""

    changed: bool
    in_force: str | None = None
    written: str | None = None


class Authorizer:
    """Answers for the policies in force."""

    def __init__(self, state: StateDirectory, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._policies: Policies | None = None
        self._prepared: Prepared | None = None
        self._former: Prepared | None = None
        self._lists: dict[str, tuple[datetime, TrustMaterial]] = {}
        self._held: tuple[Prepared, Material] | None = None
        self._problem: str | None = None
        self._retry: asyncio.Task[None] | None = None
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
        if self._retry is not None:
            self._retry.cancel()
        await self._runner.cleanup()

    def take(self, prepared: Prepared) -> None:
        """Knows the rules of this plan from now on, beside those of the one before. Raises EnvironmentFault.

        To be called before nginx is told of the plan: its first workers may ask at once.
        """
        if prepared.plan is not None:
            if prepared is not self._prepared:
                self._former, self._prepared = self._prepared, prepared
            self._again()

    def relist(self, trust: Mapping[str, TrustMaterial]) -> None:
        """Other revocation lists for some trusts, read just now. Raises EnvironmentFault."""
        now, prepared = self._clock.now(), self._prepared
        if prepared is not None:
            # The clock knows whole seconds, and may have been set back: these are the newer ones still.
            now = max(now, prepared.read_at + timedelta(seconds=1))
        self._lists |= {name: (now, one) for name, one in trust.items()}
        self._again()
        if prepared is not None and prepared.plan is not None:
            loaded, material = prepared.material, self.in_force(prepared)
            for link, what in beyond_files(prepared.plan, loaded, material):
                journal.warning("refused only after HUP: nginx decides", link=link, what=what)

    def deny(self, denial: Denial) -> Done:
        """Refuses a certificate from the next request on. Raises ValueError for what names none."""
        known = self.denials.add(denial)
        # In force whether it can be written or not, and whether it was told before or not: what was done
        # about it then may have failed.
        in_force = self._tried(self._again)
        written = self._tried(self.denials.write)
        self._problem = in_force or written
        return Done(known, in_force=in_force, written=written)

    def undo(self, denial: Denial) -> Done:
        """Takes a denial back. Raises EnvironmentFault, with the denial still there."""
        known = self.denials.remove(denial)
        self._problem = in_force = self._tried(self._again)
        return Done(known, in_force=in_force)

    @property
    def problem(self) -> str | None:
        """What stands in the way of denials that were told; None when nothing does. It is tried again."""
        return self._problem

    def _tried(self, what: Callable[[], None]) -> str | None:
        """Why it could not be done; it is then tried again until it can."""
        try:
            what()
        except (HandclaspError, OSError) as error:
            if self._retry is None:
                self._retry = asyncio.get_running_loop().create_task(self._retried())
            return _why(error)
        return None

    async def _retried(self) -> None:
        """Until denials are in force and written."""
        wait = _RETRY_SECONDS
        while self._problem is not None:
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_RETRY_SECONDS)
            try:
                self._again()
                self.denials.write()
            except (HandclaspError, OSError) as error:
                self._problem = _why(error)
                continue
            self._problem = None
            journal.warning("denials are in force and written", denied=len(self.denials.entries))
        self._retry = None

    def _again(self) -> None:
        prepared = self._prepared
        if prepared is not None and prepared.plan is not None:
            material = self.material(prepared)
            self._enforce(prepared.plan, material)
            self._held = prepared, material

    def in_force(self, prepared: Prepared) -> Material:
        """The material that callers are held to. Status asks for it every two seconds, and long lists take a
        while to be merged, so it is what was put in force last."""
        if self._held is not None and self._held[0] is prepared:
            return self._held[1]
        return self.material(prepared)

    def material(self, prepared: Prepared) -> Material:
        """What the plan was made from, with the newest of its lists and of those that were read by
        themselves. Which of both came first does not matter: a rotation may overtake the watch, and going
        back to a plan must not bring back a list of before. Only an order does that."""
        trust = dict(prepared.material.trust)
        servers = prepared.plan.ingress if prepared.plan else ()
        for name, (read_at, newer) in self._lists.items():
            if name not in trust or not trust[name].crls:
                continue  # no lists are asked for
            if prepared.older_lists and read_at <= prepared.read_at:
                continue
            links = [server.link for server in servers if server.trust == name]
            known = list_authorities(prepared.material, name, links)
            trust[name] = joined(trust[name], newer, known, now=self._clock.now())
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
            denied_files(plan, entries), holding(entries), self._listed(plan, material)
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


def _why(error: HandclaspError | OSError) -> str:
    return error.message if isinstance(error, HandclaspError) else str(error)


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
