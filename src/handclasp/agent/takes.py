"""`POST /take` on the control socket: files, or the whole spec, read now, by force if asked (edge).

What is asked waits until the agent's loop comes to it, since changes are made one after the other.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping


class TakeSpec(Protocol):
    """Takes the spec with all its files; returns why not."""

    async def __call__(self, *, force: bool) -> str | None:
        """By force past what speaks against it."""


class TakeFiles(Protocol):
    """Takes the files of units; returns unit → why it is not taken."""

    async def __call__(self, names: Collection[str], *, force: bool) -> Mapping[str, str]:
        """By force past what speaks against it."""


TAKE_ASKED = "take asked"
SPEC = "spec"
"""What stands in the answer for everything together."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`units` is empty where the spec with all its files is meant. `answer`: unit → why it is not taken."""

    units: frozenset[str]
    force: bool
    answer: asyncio.Future[Mapping[str, str]]


class Takes:
    """What was asked and is not done yet."""

    def __init__(
        self, tell: Callable[[str], None], known: Callable[[], Collection[str] | None]
    ) -> None:
        """`tell` is told TAKE_ASKED; `known` gives the units in effect, None before there are any."""
        self._tell, self._known = tell, known
        self._waiting: deque[Asked] = deque()

    def routes(self) -> list[web.RouteDef]:
        """For the application behind the control socket."""
        return [web.post("/take", self._take)]

    async def work(self, take_spec: TakeSpec, take_files: TakeFiles) -> None:
        """Does what was asked, one after the other."""
        while self._waiting:
            asked = self._waiting.popleft()
            if asked.units:
                refused = await take_files(asked.units, force=asked.force)
            else:
                why = await take_spec(force=asked.force)
                refused = {SPEC: why} if why is not None else {}
            if not asked.answer.done():  # somebody still waits
                asked.answer.set_result(refused)

    async def _take(self, request: web.Request) -> web.Response:
        try:
            units, force = _read(json.loads(await request.text()))
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        known = self._known()
        if known is None:
            return web.Response(text="starting\n", status=503)
        if strange := sorted(units - set(known)):
            there = ", ".join(f"'{one}'" for one in sorted(known))
            error_text = (
                f"nothing in effect is called '{strange[0]}'; there is {there or 'nothing'}"
            )
            return web.json_response({"error": error_text}, status=400)
        asked = Asked(units, force, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        self._tell(TAKE_ASKED)
        refused = await asked.answer
        taken = sorted((units or {SPEC}) - refused.keys())
        return web.json_response({"taken": taken, "refused": dict(refused)})


def _read(told: Any) -> tuple[frozenset[str], bool]:
    if not isinstance(told, dict):
        raise TypeError("an order is an object")
    units, force = told.get("what", []), told.get("force", False)
    if not isinstance(units, list) or not all(isinstance(one, str) for one in units):
        raise TypeError("`what` is a list of names")
    if not isinstance(force, bool):
        raise TypeError("`force` is true or false")
    return frozenset(units), force
