"""A caller in any of the dialects."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from handclasp.backend.dialects import DIALECTS
from handclasp.identity.encoders.binary import azure_arr, haproxy, rfc9440
from handclasp.identity.encoders.compact import compact
from handclasp.identity.encoders.escaping import checked
from handclasp.identity.encoders.percent import aws_alb, ingress_nginx, native
from handclasp.identity.encoders.style import Style
from handclasp.identity.encoders.traefik import traefik
from handclasp.identity.encoders.xfcc import xfcc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from handclasp.identity.caller import Caller

    Encoder = Callable[[Caller | None, Style], list[tuple[str, str]]]

_ENCODERS: Final[dict[str, Encoder]] = {
    "x-client-cert": partial(native, "x-client-cert"),
    "x-ssl-cert": partial(native, "x-ssl-cert"),
    "rfc9440": rfc9440,
    "xfcc": xfcc,
    "traefik": traefik,
    "aws-alb": aws_alb,
    "azure-arr": azure_arr,
    "haproxy": haproxy,
    "ingress-nginx": ingress_nginx,
    "handclasp": compact,
}
_PLAIN: Final = Style()
WITH_CHAIN: Final = frozenset(("rfc9440", "traefik"))
"""Dialects that carry the path above the leaf."""


def encode(dialect: str, caller: Caller | None, style: Style = _PLAIN) -> list[tuple[str, str]]:
    """Names and values of the headers; those without a value are left out.

    Values are one line of printable ASCII without blanks at the ends. `caller` None is a request without
    a verified certificate: what then has to be said (`NONE`), if anything. Raises KeyError for an unknown
    dialect, ValueError for an `xfcc_previous` that is not well formed.
    """
    return checked(_ENCODERS[dialect](caller, style))


def encode_all(
    dialects: Iterable[tuple[str, Style]], caller: Caller | None
) -> list[tuple[str, str]]:
    """Several at once, each header once. Raises ValueError where two give one header two values."""
    found: dict[str, tuple[str, str]] = {}
    for dialect, style in dialects:
        for name, value in encode(dialect, caller, style):
            known = found.setdefault(name.lower(), (name, value))
            if known[1] != value:
                raise ValueError(f"{name} would have two values; {dialect} is one dialect too many")
    return list(found.values())


def conflicts(dialects: Sequence[str]) -> tuple[tuple[str, str, str], ...]:
    """Dialects that use one header for different things: (first, second, header).

    X-SSL-Client-Verify is `SUCCESS` in x-ssl-cert and `0` in haproxy.
    """
    return tuple(
        (first, second, header)
        for first, second, header in _CONFLICTS
        if first in dialects and second in dialects
    )


_CONFLICTS: Final = (("x-ssl-cert", "haproxy", "X-SSL-Client-Verify"),)


def header_size(dialect: str, caller: Caller, style: Style = _PLAIN) -> dict[str, int]:
    """Bytes of each header line as HTTP/1.1 sends it: name, colon, blank, value, line end."""
    return {name: line_size(name, value) for name, value in encode(dialect, caller, style)}


def line_size(name: str, value: str) -> int:
    """Bytes of one header line, its line end included."""
    return len(name) + 2 + len(value) + 2


assert set(_ENCODERS) == set(DIALECTS), "every dialect has an encoder"
