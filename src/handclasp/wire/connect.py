"""From a target to a connected socket, every address on the way accounted for."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from typing import TYPE_CHECKING

from handclasp.wire.observation import AddressAttempt, Target, endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | str]

_UNIX_RETRY_SECONDS = 0.01
_EAI = {
    value: name
    for name, value in vars(socket).items()
    if name.startswith("EAI_") and isinstance(value, int)
}


class ResolveError(Exception):
    """A name without an address; `number` is the getaddrinfo error, None for a malformed name."""

    def __init__(self, text: str, number: int | None = None) -> None:
        super().__init__(text)
        self.number = number


class ConnectTimeoutError(Exception):
    """The last address neither accepted nor refused in its share of the time."""


def error_name(number: int | None) -> str | None:
    """ECONNREFUSED for 111, EAI_NONAME for -2."""
    if number is None:
        return None
    return errno.errorcode.get(number) or _EAI.get(number)


async def resolve(target: Target) -> list[Address]:
    """The target's addresses in the system's order of preference. Raises ResolveError."""
    if target.unix_path is not None:
        return [(socket.AF_UNIX, target.unix_path)]
    host, port = target.host or "", target.port or 0
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        literal = None
    # Literals are spared the thread pool of getaddrinfo, which is small; a scope (fe80::1%eth0) has
    # to be turned into an index, and only getaddrinfo can.
    if isinstance(literal, ipaddress.IPv4Address):
        return [(socket.AF_INET, (host, port))]
    if literal is not None and literal.scope_id is None:
        return [(socket.AF_INET6, (host, port, 0, 0))]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ResolveError(f"{host}: {error.strerror or error}", error.errno) from error
    except ValueError as error:  # a label too long, a NUL byte
        raise ResolveError(f"{host!r} is no name that can be looked up: {error}") from error
    return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]


async def connect(
    addresses: list[Address],
    attempts: list[AddressAttempt],
    deadline: float,
    clock: Callable[[], float],
) -> socket.socket:
    """Try one address after the other, each with an even share of the time left.

    ``attempts`` is added to, one entry an address, also when this is cancelled; ``deadline`` is in
    the loop's time. Raises the last address's OSError, or ConnectTimeoutError.
    """
    loop = asyncio.get_running_loop()
    last: Exception = ConnectTimeoutError("no address to connect to")
    for index, (family, address) in enumerate(addresses):
        share = (deadline - loop.time()) / (len(addresses) - index)
        label = address if isinstance(address, str) else endpoint(address[0], address[1])
        begun, ok, problem = clock(), False, None
        try:
            sock = await _connect_one(family, address, share)
            ok = True
        except ConnectTimeoutError as error:
            last = error
        except OSError as error:
            last, problem = error, error.errno
        else:
            return sock
        finally:
            attempts.append(
                AddressAttempt(
                    address=label,
                    ok=ok,
                    seconds=clock() - begun,
                    errno=problem,
                    errno_name=error_name(problem),
                )
            )
    raise last


async def _connect_one(
    family: socket.AddressFamily,
    address: tuple[str, int] | tuple[str, int, int, int] | str,
    share: float,
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    limit = asyncio.timeout(share)
    try:
        sock.setblocking(False)
        async with limit:
            if family == socket.AF_UNIX:
                await _connect_unix(sock, str(address))
            else:
                await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException as error:
        sock.close()
        if isinstance(error, TimeoutError) and limit.expired():
            raise ConnectTimeoutError(f"no answer within {share:.1f} s") from error
        raise
    return sock


async def _connect_unix(sock: socket.socket, path: str) -> None:
    """A full backlog is EAGAIN here and nothing is under way (unix(7)), so one has to ask again;
    asyncio's sock_connect would take the socket for connected.
    """
    while True:
        try:
            sock.connect(path)
        except BlockingIOError:
            await asyncio.sleep(_UNIX_RETRY_SECONDS)
        else:
            return


def proxy_header(sock: socket.socket) -> bytes:
    """The PROXY protocol version 1 line that tells the truth about this connection.

    Source: haproxy.org/download/1.8/doc/proxy-protocol.txt, section 2.1.
    """
    families = {socket.AF_INET: "TCP4", socket.AF_INET6: "TCP6"}
    if sock.family not in families:
        return b"PROXY UNKNOWN\r\n"
    (here, here_port), (there, there_port) = sock.getsockname()[:2], sock.getpeername()[:2]
    here, there = here.partition("%")[0], there.partition("%")[0]
    line = f"PROXY {families[sock.family]} {here} {there} {here_port} {there_port}\r\n"
    return line.encode("ascii")


def socket_name(address: object) -> str | None:
    """`host:port`, or the path of a unix socket; None for an unnamed one."""
    if isinstance(address, tuple):
        return endpoint(str(address[0]), int(address[1]))
    return str(address) if address else None
