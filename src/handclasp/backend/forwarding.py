"""Whether the peer that a server tells of can be one that the request names itself.

Servers put what X-Forwarded-For says in the peer's place and leave the header where it is. Each reads
hosts and ports its own way (uvicorn takes `:+07` for a port), so ports are not compared here, only
whether a host is the peer's in any usual reading.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BLANK_OR_QUOTE: Final = ' \t"'


def names_with_more(values: Iterable[str], peer: str) -> bool:
    """Whether an element of X-Forwarded-For names this host and is not a bare address.

    What is a bare address gives a server no port: that the proxy's own caller lives on the proxy's
    host is usual, and no reason to refuse.
    """
    return any(
        any(_is_same(host, peer) for host in _hosts(element)) and _address(element) is None
        for element in _elements(values)
    )


def _elements(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        for element in value.split(","):
            # str.strip, as the servers use it: of Latin-1, that is more than blanks and tabs.
            if stripped := element.strip():
                yield stripped


def _hosts(element: str) -> set[str]:
    """What programs could take for the host."""
    text = element.strip(_BLANK_OR_QUOTE)
    found = {text, text.partition(":")[0], text.rpartition(":")[0] or text}
    if text.startswith("["):
        found.add(text[1:].partition("]")[0])
    return {host.strip().removeprefix("[").removesuffix("]").strip() for host in found}


def _is_same(host: str, peer: str) -> bool:
    if host.lower() == peer.lower():
        return True
    # An address of IPv4 has one spelling (and reading one takes long), unless IPv6 is around it.
    if host.count(":") < 2 and ":" not in peer:
        return False
    told = _address(host)
    return told is not None and told == _address(peer)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed
