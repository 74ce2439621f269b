"""Who listens at an address (edge: reads /proc)."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.spec.values import ListenAddress

_PROC = Path("/proc")
_TABLES = ("net/tcp", "net/tcp6")
_LISTENING = "0A"  # proc_pid_net(5): TCP_LISTEN, tcp_states.h


def holder_of(address: ListenAddress) -> str | None:
    """`nginx (pid 4711)`, the lowest pid of those that have the socket; None where it cannot be seen: as an
    ordinary user, only processes of the same user can."""
    inodes = {f"socket:[{inode}]" for inode in _sockets(address)}
    if not inodes:
        return None
    for pid in sorted(int(one.name) for one in _PROC.iterdir() if one.name.isdecimal()):
        with contextlib.suppress(OSError):
            links = (_PROC / str(pid) / "fd").iterdir()
            if any(_target(link) in inodes for link in links):
                name = (_PROC / str(pid) / "comm").read_text(errors="replace").strip()
                return f"{name} (pid {pid})"
    return None


def _target(link: Path) -> str:
    try:
        return os.fsdecode(link.readlink())
    except OSError:
        return ""


def _sockets(address: ListenAddress) -> Iterator[str]:
    """Inodes of the sockets that listen there, or on every address of that port."""
    assert address.host is not None
    wanted = ipaddress.ip_address(address.host)
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in (_PROC / table).read_text(errors="replace").splitlines()[1:]:
                fields = line.split()
                host, _, port = fields[1].rpartition(":")
                if fields[3] != _LISTENING or int(port, 16) != address.port:
                    continue
                seen = _address(host)
                if seen == wanted or seen.is_unspecified or wanted.is_unspecified:
                    yield fields[9]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Hexadecimal words in this machine's byte order."""
    words = [text[at : at + 8] for at in range(0, len(text), 8)]
    octets = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    return ipaddress.ip_address(octets)
