"""Connections that callers have open with nginx's listeners (edge: reads /proc)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.spec.values import ListenAddress

_TCP = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_UNIX = Path("/proc/net/unix")
_ESTABLISHED = "01"  # proc_pid_net(5): the state of a TCP socket, tcp_states.h
_CONNECTED = "03"  # SS_CONNECTED, linux/net.h


def open_connections(listeners: Iterable[ListenAddress]) -> frozenset[str]:
    """Something that stands for each connection that was accepted there and is open now."""
    listeners = tuple(listeners)
    ports = {f"{one.port:04X}" for one in listeners if one.path is None}
    paths = {one.path for one in listeners if one.path is not None}
    found: set[str] = set()
    for table in _TCP if ports else ():
        for fields in _rows(table):
            if fields[3] == _ESTABLISHED and fields[1].rpartition(":")[2] in ports:
                found.add(f"{fields[1]} {fields[2]}")
    for fields in _rows(_UNIX) if paths else ():
        # An accepted socket has the path of its listener.
        if fields[5] == _CONNECTED and len(fields) > 7 and fields[7] in paths:
            found.add(f"unix {fields[6]}")
    return frozenset(found)


def _rows(table: Path) -> list[list[str]]:
    try:
        lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line.split(maxsplit=7) for line in lines[1:]]
