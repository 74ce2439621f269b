"""Durations, sizes and networks as people write them."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta

from handclasp.spec.names import is_ip, shown, split_host_port

_DURATION = re.compile(r"(?:[0-9]{1,12}(?:ms|s|m|h|d))+\Z")
_DURATION_PART = re.compile(r"([0-9]+)(ms|s|m|h|d)")
_LONGEST_DURATION = timedelta(days=3660)  # nginx counts milliseconds in 32 bits on some platforms
_UNIT = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_SIZE = re.compile(r"([0-9]{1,15})([kKmMgG]?)\Z")
_LARGEST_SIZE = 1024**5
_FACTOR = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def parse_duration(text: str) -> timedelta:
    """`250ms`, `30s`, `10m`, `1h30m`, `7d`; never zero."""
    if not _DURATION.match(text):
        raise ValueError(
            f"{shown(text)} is not a duration; write for example 500ms, 30s, 10m, 24h or 7d"
        )
    try:
        duration = sum(
            (int(count) * _UNIT[unit] for count, unit in _DURATION_PART.findall(text)),
            start=timedelta(),
        )
    except OverflowError:
        duration = timedelta.max
    if duration > _LONGEST_DURATION:
        raise ValueError(f"{shown(text)} is longer than ten years")
    if not duration:
        raise ValueError(f"{shown(text)}: a duration must be longer than 0")
    return duration


def parse_size(text: str) -> int:
    """Bytes from `512`, `16k`, `10m`, `1g`."""
    if not (match := _SIZE.match(text)):
        raise ValueError(f"{shown(text)} is not a size; write for example 16k, 10m or 1g")
    size = int(match[1]) * _FACTOR[match[2].lower()]
    if size > _LARGEST_SIZE:
        raise ValueError(f"{shown(text)} is larger than {_LARGEST_SIZE // 1024**3}g")
    return size


def parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """`10.0.0.0/8`, `2001:db8::/32`, or one address."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        loose = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{shown(text)} is not a network; write for example 10.0.0.0/8, 2001:db8::/32"
            " or one address"
        ) from None
    raise ValueError(
        f"{shown(text)} has bits beyond its prefix; write {loose} for the network"
        f" or {text.partition('/')[0]} for the one address"
    )


def check_dns_server(text: str) -> str:
    """`192.0.2.53`, `[2001:db8::53]:5353`: an address with or without port, as nginx takes it."""
    if is_ip(text):
        return f"[{text}]" if ":" in text else text
    if text.startswith("[") and text.endswith("]") and is_ip(text[1:-1]):
        return text
    host, port = split_host_port(text, what="an IP address, or address:port", default=53)
    if not is_ip(host):
        raise ValueError(f"{shown(text)}: a DNS server is given by its IP address")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def duration_text(duration: timedelta) -> str:
    """A duration as it is written in a spec: `10s`, `1h30m`."""
    rest, text = duration // timedelta(milliseconds=1), ""
    for unit in ("d", "h", "m", "s", "ms"):
        size = _UNIT[unit] // timedelta(milliseconds=1)
        count, rest = divmod(rest, size)
        if count:
            text += f"{count}{unit}"
    return text or "0s"
