"""Telling callers, before a reload, not to use their connections again.

A reload closes idle connections at once, and whoever is sending on one at that moment loses a request.
Builds with `keepalive_min_timeout` keep idle ones open for a while and say `Connection: close` in the next
answer. For the others the agent makes a file first, and while it is there every answer says so. HTTP/2 knows
no such header: its callers get GOAWAY at the reload, on all builds (docs/decisions/0017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.nginx.features import Feature
from handclasp.nginx.render.text import block, directive

if TYPE_CHECKING:
    from handclasp.nginx.facts import Facts
    from handclasp.nginx.render.context import Context

LOOK_SECONDS = 1
"""A worker looks for the file no more often."""
_CLOSING = 501
"""By an `error_page` of this status nginx goes on with the request and closes the connection after it
(ngx_http_special_response_handler); upstreams' own are not touched, and nginx answers it to nobody here."""


def announces_reloads(facts: Facts, *, own: bool) -> bool:
    """Whether what is rendered looks for the file. In an installation of others the workers may not get as
    far as where it lies."""
    return own and not facts.has(Feature.KEEPALIVE_MIN_TIMEOUT)


def drain_directives(context: Context) -> list[str]:
    """For a server: `$hc_drain`."""
    if not announces_reloads(context.facts, own=context.include_base is None):
        return []
    return [
        directive("open_file_cache", "max=16", "inactive=60s"),
        directive("open_file_cache_valid", f"{LOOK_SECONDS}s"),
        directive("open_file_cache_errors", "on"),
        directive("set", "$hc_drain", ""),
        *block("if", "(", "-f", context.layout.draining, ")", body=["set $hc_drain 1;"]),
    ]


def drain_page(context: Context, twin: str) -> list[str]:
    """Where a location that says `drain_guard` leads: to a named location that does the same. Beside the
    other error_page lines of its level, for a level inherits all or none."""
    if not announces_reloads(context.facts, own=context.include_base is None):
        return []
    return [directive("error_page", _CLOSING, "=", twin)]


def drain_guard(context: Context) -> list[str]:
    """For the location itself: requests go to the twin while connections are drained."""
    if not announces_reloads(context.facts, own=context.include_base is None):
        return []
    return block("if", "(", "$hc_drain", ")", body=[f"return {_CLOSING};"])


def looked_up_anew(context: Context) -> list[str]:
    """For a location that looks for other files, which must be seen at once."""
    if not announces_reloads(context.facts, own=context.include_base is None):
        return []
    return [directive("open_file_cache", "off")]
