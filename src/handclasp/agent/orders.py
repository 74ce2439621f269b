"""What may be ordered over the control socket, which only the agent's own user can open (edge).

``POST /deny`` refuses a certificate from the next request on, ``POST /undo`` takes that back, and
``GET /denied`` lists them. Each answers only when it is in force.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from handclasp.agent import journal
from handclasp.agent.denials import Denial, read_denial
from handclasp.agent.reach import reaches
from handclasp.backend.certificate import serial_text
from handclasp.errors import HandclaspError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from handclasp.agent.authorizer import Authorizer, Done
    from handclasp.agent.carrier import Applied
    from handclasp.spec.links import IngressLink


class Orders:
    """Handlers for the control socket."""

    def __init__(
        self,
        authorizer: Authorizer,
        in_effect: Callable[[], Applied | None],
        revoked: Callable[[Iterable[IngressLink]], float | None],
    ) -> None:
        """`revoked` bounds connections that are open now, and says in how many seconds they end at most."""
        self._authorizer = authorizer
        self._in_effect = in_effect
        self._revoked = revoked

    def routes(self) -> list[web.RouteDef]:
        """For the application behind the socket."""
        return [
            web.post("/deny", self._deny),
            web.post("/undo", self._undo),
            web.get("/denied", self._denied),
        ]

    async def _deny(self, request: web.Request) -> web.Response:
        return await self._order(request, deny=True)

    async def _undo(self, request: web.Request) -> web.Response:
        return await self._order(request, deny=False)

    async def _denied(self, _: web.Request) -> web.Response:
        return web.json_response({"denied": [_as_json(one) for one in self._entries()]})

    async def _order(self, request: web.Request, *, deny: bool) -> web.Response:
        try:
            denial = read_denial(json.loads(await request.text()))
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        try:
            done = self._authorizer.deny(denial) if deny else self._authorizer.undo(denial)
        except HandclaspError as error:
            return web.json_response({"error": error.message}, status=500)
        _note(denial, done, deny=deny)
        if (why := _failure(done, deny=deny)) is not None:
            return web.json_response({"error": why}, status=500)
        applied = self._in_effect()
        links = [] if applied is None else _links(applied, denial)
        # Also when it was told before: what was opened then may be open still.
        concerned = {link["name"] for link in links if link["concerned"]} if deny else set()
        ends_in = self._revoked(_named(applied, concerned))
        told = {
            "changed": done.changed,
            "denial": _as_json(denial),
            "links": links,
            "cut": ends_in == 0,
            "ends_in": ends_in,
        }
        return web.json_response(told)

    def _entries(self) -> tuple[Denial, ...]:
        return self._authorizer.denials.entries


def _note(denial: Denial, done: Done, *, deny: bool) -> None:
    facts = {
        "sha256": denial.sha256 or "-",
        "issuer": denial.issuer or "-",
        "serial": serial_text(denial.serial) if denial.serial is not None else "-",
        "why": denial.why or "-",
    }
    if done.changed:
        journal.warning("certificate denied" if deny else "denial taken back", **facts)
    if done.in_force is not None:
        journal.error("denials are not in force", because=done.in_force, **facts)
    if done.written is not None:
        journal.error("denials are not written", because=done.written, **facts)


def _failure(done: Done, *, deny: bool) -> str | None:
    """What the operator has to know; None when all was done."""
    if done.in_force is not None and deny:
        return f"NOT refused everywhere, which is tried again until it is: {done.in_force}"
    if done.in_force is not None:
        return f"taken back, but not everywhere, which is tried again until it is: {done.in_force}"
    if done.written is not None:
        return (
            "refused until the agent ends, but not written down, which is tried again until it is:"
            f" {done.written}"
        )
    return None


def _named(applied: Applied | None, names: Collection[str]) -> Iterator[IngressLink]:
    for link in applied.prepared.spec.ingress if applied else ():
        if link.name in names:
            yield link


def _links(applied: Applied, denial: Denial) -> list[dict[str, Any]]:
    """Every ingress link, and why it does not enforce the denial at once, if so."""
    prepared = applied.prepared
    cutting = {link.name for link in prepared.spec.ingress if link.clients.cut}
    return [
        {
            "name": one.link,
            "at_once": one.at_once,
            "why_not": one.why_not,
            "beside": one.beside,
            "concerned": one.concerned,
            "cut": one.link in cutting,
        }
        for one in reaches(applied.plan, prepared.material, denial)
    ]


def _as_json(denial: Denial) -> dict[str, Any]:
    serial = None if denial.serial is None else serial_text(denial.serial)
    return {
        "sha256": denial.sha256,
        "issuer": denial.issuer,
        "serial": serial,
        "subject": denial.subject,
        "authority": denial.authority,
        "since": denial.since,
        "why": denial.why,
    }
