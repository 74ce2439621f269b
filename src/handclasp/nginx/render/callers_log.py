"""A line per connection of a verified caller: who comes, with which certificate, for the agent to read.

Per connection and not per request, so that it costs nothing to speak of; and only in an nginx of our own,
whose log nobody else rotates. The line is written when the first request of the connection has ended.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from handclasp.nginx.render.text import block, directive, entry, identifier

if TYPE_CHECKING:
    from handclasp.nginx.render.context import Context

_FIELDS = {
    "issuer": "$ssl_client_i_dn",
    "serial": "$ssl_client_serial",
    "subject": "$ssl_client_s_dn",
    "begin": "$ssl_client_v_start",
    "end": "$ssl_client_v_end",
    "sha1": "$ssl_client_fingerprint",
    "at": "$msec",
}
"""ngx_http_ssl_module and ngx_http_log_module, "Embedded Variables"."""
_FIRST = "$hc_first_of_connection"
_OFF = directive("access_log", "off")
_BUFFERED = ("buffer=8k", "flush=1s")


def follows_callers(context: Context) -> bool:
    """Whether there is such a log."""
    return context.plan.callers_log and context.include_base is None


def callers_map(context: Context) -> list[str]:
    """For the http context: `1` in the first request of a connection, where its caller was verified.

    Resumed sessions are: nginx keeps the verdict with the session, and so does OpenSSL.
    """
    if not follows_callers(context):
        return []
    return block(
        "map",
        "$connection_requests:$ssl_client_verify",
        _FIRST,
        body=['default "";', entry("1:SUCCESS", 1)],
    )


def callers_format(link: str, context: Context) -> list[str]:
    """For the http context: the form of a link's lines."""
    if not follows_callers(context):
        return []
    line = json.dumps({"link": link, **_FIELDS})
    return [directive("log_format", _format_name(link), "escape=json", line)]


def with_callers(access: str, link: str, context: Context) -> list[str]:
    """For a server or location: its access_log directive, and the one for callers beside it. Where the
    first says `off` it would switch off both."""
    if not follows_callers(context):
        return [access]
    log = context.layout.callers_log
    callers = directive("access_log", log, _format_name(link), *_BUFFERED, f"if={_FIRST}")
    return [callers] if access == _OFF else [access, callers]


def _format_name(link: str) -> str:
    return f"hc_callers_{identifier(link)}"
