"""Who may tell the application who is calling: the addresses of the proxies in front of it."""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX: Final = "unix"
LOOPBACK: Final = "loopback"
_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True)
class TrustedPeers:
    """`unix` and networks. A peer over a unix socket is told as the address "unix"."""

    unix: bool
    networks: tuple[Network, ...]

    def __contains__(self, address: str | None) -> bool:
        """None is a peer that the server did not name."""
        if address is None:
            return False
        return self.unix if address == UNIX else self._holds(address)

    @functools.cached_property
    def _holds(self) -> functools._lru_cache_wrapper[bool]:
        return functools.lru_cache(maxsize=1024)(self._compute)

    def _compute(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped  # a listener of both families tells IPv4 peers so
        return any(parsed in network for network in self.networks)


def trusted_peers(peers: Iterable[str]) -> TrustedPeers:
    """From `unix`, `loopback`, addresses and networks (`10.0.0.5`, `10.0.0.0/24`, `::1`).

    Raises ValueError for anything else, for no peer at all, and for a network of everybody.
    """
    if isinstance(peers, str):
        raise ValueError(  # noqa: TRY004 - one kind of error for all that cannot be meant
            f"trusted_peers is a list of peers, not one text: [{peers!r}]"
        )
    unix, networks = False, list[Network]()
    for peer in peers:
        if peer == UNIX:
            unix = True
        elif peer == LOOPBACK:
            networks += map(ipaddress.ip_network, _LOOPBACK)
        else:
            networks.append(_network(peer))
    if not unix and not networks:
        raise ValueError("trusted_peers is empty: name the proxy, 'unix' or its address")
    return TrustedPeers(unix, tuple(networks))


def _network(peer: str) -> Network:
    try:
        network = ipaddress.ip_network(peer)
    except ValueError as error:
        raise ValueError(
            f"trusted peer {peer!r} is neither 'unix', 'loopback', an address nor a network: {error}"
        ) from None
    if network.prefixlen == 0:
        raise ValueError(f"{peer} is everybody: name the proxy's own address")
    return network
