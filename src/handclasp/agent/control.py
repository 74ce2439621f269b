"""Two ways to ask the agent: its control socket (0600) and, if the spec wants it, HTTP on loopback (edge).

Neither changes anything: the socket tells, and signals act.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from typing import TYPE_CHECKING

from aiohttp import web

from handclasp.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from handclasp.agent.status import Snapshot
    from handclasp.spec.values import ListenAddress

CONTROL_SOCKET = "control.sock"
_CONNECT_SECONDS = 5.0
_SHORTER = (
    "name a state directory with a shorter path (--state-dir): a socket's has 107 bytes at most"
)


class StatusServers:
    """Answers GET /status.json, /healthz (the agent lives) and /readyz (nginx serves)."""

    def __init__(self, snapshot: Callable[[], Snapshot | None]) -> None:
        """`snapshot` gives None until something is in effect."""
        self._snapshot = snapshot
        application = web.Application()
        application.router.add_get("/status.json", self._status)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._ready)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)
        self._public: web.BaseSite | None = None
        self._address: ListenAddress | None = None

    async def start(self, control: Path) -> None:
        """Listens on the control socket, which nobody but its owner can open."""
        await self._runner.setup()
        await web.SockSite(self._runner, _private_socket(control)).start()

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
        await self._runner.cleanup()

    async def _status(self, _: web.Request) -> web.Response:
        snapshot = self._snapshot()
        if snapshot is None:
            return web.Response(text="starting\n", status=503)
        return web.json_response(snapshot.as_json())

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
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_unix_connection(str(control))
            writer.write(b"GET /status.json HTTP/1.0\r\nHost: agent\r\n\r\n")
            await writer.drain()
            answer = await reader.read()
            writer.close()
    except PermissionError as error:
        raise EnvironmentFault(
            f"the agent's control socket {control} belongs to another user",
            hint="run `handclasp status` as the user that runs the agent",
        ) from error
    except (OSError, TimeoutError) as error:
        raise EnvironmentFault(
            f"no agent answers on {control}", hint="start one with `handclasp run`"
        ) from error
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 503 " in head.split(b"\r\n")[0] + b" ":
        raise EnvironmentFault(
            f"the agent on {control} is still starting", hint="ask again in a moment"
        )
    if b" 200 " not in head.split(b"\r\n")[0] + b" ":
        raise EnvironmentFault(f"the agent on {control} does not answer as one")
    status: dict[str, object] = json.loads(body)
    return status
