"""Our own listeners as targets of a handshake or a request from this machine. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.wire.observation import Target

if TYPE_CHECKING:
    from handclasp.spec.values import ListenAddress


def reachable(address: ListenAddress, **more: object) -> Target:
    """The address as this machine reaches it: a wildcard listens on loopback too."""
    if address.path is not None:
        return Target(unix_path=address.path, **more)  # type: ignore[arg-type]
    host = address.host
    if address.is_wildcard:
        host = "::1" if address.is_ipv6 else "127.0.0.1"
    return Target(host=host, port=address.port, **more)  # type: ignore[arg-type]
