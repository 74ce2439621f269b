"""What may be ordered over the control socket, which only the agent's own user can open (edge).

``POST /deny`` refuses a certificate from the next request on, ``POST /undo`` takes that back, and
``GET /denied`` lists them. Each answers only when it is in force.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from handclasp.agent import journal
from handclasp.agent.denials import Denial, enforced, read_denial
from handclasp.backend.certificate import serial_text
from handclasp.errors import HandclaspError

if TYPE_CHECKING:
    from collections.abc import Callable

    from handclasp.agent.authorizer import Authorizer
    from handclasp.agent.carrier import Applied


class Orders:
    """Handlers for the control socket."""

    def __init__(
        self,
        authorizer: Authorizer,
        in_effect: Callable[[], Applied | None],
        cut: Callable[[], bool],
    ) -> None:
        """`cut` ends connections that are open now, and says whether it can."""
        self._authorizer = authorizer
        self._in_effect = in_effect
        self._cut = cut

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
            kept = "refused until the agent ends, but not written down: " if deny else ""
            return web.json_response({"error": f"{kept}{error.message}"}, status=500)
        if done:
            journal.warning(
                "certificate denied" if deny else "denial taken back",
                sha256=denial.sha256 or "-",
                issuer=denial.issuer or "-",
                serial=serial_text(denial.serial) if denial.serial is not None else "-",
                why=denial.why or "-",
            )
        links = self._links(denial)
        cut = deny and done and any(link["cut"] for link in links) and self._cut()
        told = {"changed": done, "denial": _as_json(denial), "links": links, "cut": cut}
        return web.json_response(told)

    def _links(self, denial: Denial) -> list[dict[str, Any]]:
        """Every ingress link, and why it does not enforce the denial at once, if so."""
        applied = self._in_effect()
        if applied is None:
            return []
        material = applied.prepared.material
        cutting = {link.name for link in applied.prepared.spec.ingress if link.clients.cut}
        return [
            {
                "name": server.link,
                "at_once": (
                    why := enforced(server, denial, material.authorities(server.trust, server.link))
                )
                is None,
                "why_not": why,
                "cut": server.link in cutting,
            }
            for server in applied.plan.ingress
        ]

    def _entries(self) -> tuple[Denial, ...]:
        return self._authorizer.denials.entries


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
