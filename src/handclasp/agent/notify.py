"""Telling systemd how we are (sd_notify(3)); silent where nobody listens (edge)."""

from __future__ import annotations

import os
import socket


def notify(*assignments: str) -> None:
    """Sends lines such as READY=1 to $NOTIFY_SOCKET. Failure to tell is no failure to work."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or address[0] not in "/@":
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        try:
            connection.sendto("\n".join(assignments).encode(), address)
        except OSError:
            return
