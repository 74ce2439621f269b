"""Listening sockets of a running master, had for the nginx that takes its place (edge).

A binary upgrade of nginx hands them on by descriptors and the variable NGINX (ngx_add_inherited_sockets);
but USR2 is ignored by a master whose parent lives (ngx_signal_handler), and what it starts would have the
environment of the old one. So we take duplicates by pidfd_getfd(2) and hand them on ourselves.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.errors import EnvironmentFault
from handclasp.nginx.pidfd import open_pidfd

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from handclasp.spec.values import ListenAddress

VARIABLE = "NGINX"
"""Read by every nginx at its start: descriptors of sockets that listen already, each before a `;`."""
_PIDFD_GETFD = 438
"""The number of the system call on x86, ARM, POWER, RISC-V and S/390 (Linux, syscalls(2)): 5.6."""


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a successor is given: open sockets, and the generation it is to serve."""

    sockets: tuple[socket.socket, ...]
    generation: int

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Numbers they have here and are to have there."""
        return tuple(one.fileno() for one in self.sockets)

    @property
    def variables(self) -> dict[str, str]:
        """For the environment of the successor."""
        return {VARIABLE: "".join(f"{number};" for number in self.descriptors)}


@contextlib.contextmanager
def listening_sockets(pid: int) -> Iterator[tuple[socket.socket, ...]]:
    """Duplicates of the stream sockets a process of ours listens on, closed at the end.

    Raises EnvironmentFault where the system does not let us have them: an old kernel, a filter of system
    calls, Yama's ptrace_scope for a master adopted by an ordinary user, a program with file capabilities.
    """
    with contextlib.ExitStack() as held:
        try:
            pidfd = open_pidfd(pid)
            held.callback(os.close, pidfd)
            sockets = [held.enter_context(one) for one in _duplicates(pid, pidfd)]
        except OSError as error:
            raise EnvironmentFault(
                f"the listening sockets of nginx (pid {pid}) cannot be handed on: {error.strerror}",
                hint="this takes Linux 5.6 or later with pidfd_getfd allowed, see docs/decisions/0013",
            ) from error
        listening = tuple(one for one in sockets if _listens(one))
        if not listening:
            raise EnvironmentFault(f"nginx (pid {pid}) listens on nothing that could be handed on")
        yield listening


def wanted_by(
    sockets: Collection[socket.socket], addresses: Collection[ListenAddress]
) -> tuple[socket.socket, ...]:
    """Those a configuration that listens on `addresses` may be given.

    All but unix sockets it does not listen on: it would remove the path of each (ngx_init_cycle, "close the
    unnecessary listening sockets"), which the old nginx still needs should the new one fail.
    """
    paths = {os.path.realpath(one.path) for one in addresses if one.path is not None}
    return tuple(one for one in sockets if one.family != socket.AF_UNIX or _path(one) in paths)


def in_the_way(
    sockets: Collection[socket.socket], addresses: Collection[ListenAddress]
) -> str | None:
    """A sentence when an address to be bound anew overlaps one that is bound: 0.0.0.0:80 and 127.0.0.1:80.

    The new nginx could not bind it before the old one has ended.
    """
    bound = {one.getsockname()[:2] for one in sockets if one.family != socket.AF_UNIX}
    for address in addresses:
        if address.host is None or (address.host, address.port) in bound:
            continue
        for host, port in bound:
            same_family = (":" in host) == address.is_ipv6
            either_all = address.is_wildcard or host in ("0.0.0.0", "::")  # noqa: S104
            if port == address.port and same_family and either_all:
                return f"{address} cannot be bound beside {host}:{port}"
    return None


def _duplicates(pid: int, pidfd: int) -> Iterator[socket.socket]:
    for entry in sorted(Path(f"/proc/{pid}/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if str(entry.readlink()).startswith("socket:"):
                yield socket.socket(fileno=_taken(pidfd, int(entry.name)))


def _taken(pidfd: int, number: int) -> int:
    """pidfd_getfd(2), which Python 3.11 does not have; the duplicate is close-on-exec."""
    taken: int = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, pidfd, number, 0)
    if taken < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return taken


def _listens(one: socket.socket) -> bool:
    return one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


def _path(one: socket.socket) -> str:
    return os.path.realpath(os.fsdecode(one.getsockname()))
