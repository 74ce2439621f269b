"""Two ways to ask the agent: its control socket (0600) and, if the spec wants it, HTTP on loopback (edge).

The second tells and changes nothing; over the first certificates can be denied (orders).
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from handclasp.agent.in_use import InUse
from handclasp.agent.measured import measured
from handclasp.errors import EnvironmentFault
from handclasp.monitor.metrics import exposition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from handclasp.agent.counts import Counts
    from handclasp.agent.status import Snapshot
    from handclasp.spec.values import ListenAddress

CONTROL_SOCKET = "control.sock"
_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 30.0
_SHORTER = (
    "name a state directory with a shorter path (--state-dir): a socket's has 107 bytes at most"
)


class StatusServers:
    """Answers GET /status.json, /metrics, /healthz (the agent lives) and /readyz (nginx serves, with all its
    keys and nothing that has expired)."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot | None],
        counts: Counts,
        orders: Iterable[web.RouteDef] = (),
    ) -> None:
        """`snapshot` gives None until something is in effect; `orders` are for the control socket alone."""
        self._snapshot = snapshot
        self._counts = counts
        self._in_use = InUse()
        self._control = self._serving(orders)
        self._runner = self._serving(())
        self._public: web.BaseSite | None = None
        self._address: ListenAddress | None = None

    async def start(self, control: Path) -> None:
        """Listens on the control socket, which nobody but its owner can open."""
        await self._control.setup()
        await self._runner.setup()
        await web.SockSite(self._control, _private_socket(control)).start()

    async def listen(self, address: ListenAddress | None) -> None:
        """Moves the HTTP listener to `address`. Raises EnvironmentFault when it cannot be had."""
        if address == self._address:
            return
        if self._public is not None:
            await self._public.stop()
            self._public = self._address = None
        if address is None:
            return
        site: web.BaseSite
        if address.path is not None:
            site = web.UnixSite(self._runner, address.path)
        else:
            site = web.TCPSite(self._runner, address.host, address.port)
        try:
            await site.start()
        except OSError as error:
            raise EnvironmentFault(
                f"status cannot listen on {address}: {error.strerror or error}"
            ) from error
        self._public, self._address = site, address

    async def stop(self) -> None:
        """Closes every listener."""
        await self._control.cleanup()
        await self._runner.cleanup()

    def _serving(self, orders: Iterable[web.RouteDef]) -> web.AppRunner:
        application = web.Application()
        application.router.add_get("/status.json", self._status)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._ready)
        application.router.add_routes(orders)
        return web.AppRunner(application, access_log=None, handle_signals=False)

    async def _status(self, _: web.Request) -> web.Response:
        snapshot = self._snapshot()
        if snapshot is None:
            return web.Response(text="starting\n", status=503)
        return web.json_response(snapshot.as_json())

    async def _metrics(self, request: web.Request) -> web.Response:
        snapshot = self._snapshot()
        if snapshot is None:
            return web.Response(text="starting\n", status=503)
        readings = measured(snapshot, self._counts, self._in_use)
        # Thousands of links make some tenths of a second of work.
        body, media_type = await asyncio.to_thread(
            exposition, readings, request.headers.get("Accept", "")
        )
        return web.Response(body=body, headers={"Content-Type": media_type})

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _: web.Request) -> web.Response:
        snapshot = self._snapshot()
        ready = snapshot is not None and snapshot.ready
        return web.Response(
            text="ready\n" if ready else "not ready\n", status=200 if ready else 503
        )


def _private_socket(path: Path) -> socket.socket:
    """A listening unix socket, 0600 from its first moment (bind obeys the umask)."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise EnvironmentFault(
            f"cannot make the control socket {path}: {error.strerror or error}",
            # The one reason without a number: Python looks at the length before the system does.
            hint=_SHORTER if error.errno is None else None,
        ) from error
    finally:
        os.umask(before)
    return listener


async def ask_status(control: Path) -> dict[str, object]:
    """The running agent's status. Raises EnvironmentFault when no agent answers there."""
    return await ask(control, "GET", "/status.json")


async def ask(
    control: Path,
    method: str,
    path: str,
    told: object | None = None,
    *,
    within: float = _ANSWER_SECONDS,
) -> dict[str, object]:
    """A question or an order to the running agent. Raises EnvironmentFault when no agent answers there,
    or what it says against it."""
    connector = aiohttp.UnixConnector(str(control))
    timeout = aiohttp.ClientTimeout(total=within, sock_connect=_CONNECT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.request(method, f"http://agent{path}", json=told) as answer,
        ):
            status, text = answer.status, await answer.text()
    except (OSError, TimeoutError, aiohttp.ClientError) as error:
        if isinstance(error.__cause__ or error, PermissionError):
            raise EnvironmentFault(
                f"the agent's control socket {control} belongs to another user",
                hint="run this command as the user that runs the agent",
            ) from error
        raise EnvironmentFault(
            f"no agent answers on {control}", hint="start one with `handclasp run`"
        ) from error
    if status == 503:
        raise EnvironmentFault(
            f"the agent on {control} is still starting", hint="ask again in a moment"
        )
    try:
        content: dict[str, object] = json.loads(text)
    except ValueError as error:
        raise EnvironmentFault(f"the agent on {control} does not answer as one") from error
    if status != 200:
        raise EnvironmentFault(f"the agent refuses: {content.get('error', f'status {status}')}")
    return content
