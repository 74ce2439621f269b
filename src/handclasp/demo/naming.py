"""From what nginx logged and the client saw to the slug that names it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from handclasp.nginx.errorlog import ErrorLine, parse_line
from handclasp.wire.observation import FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.wire.observation import Observation

# ngx_http_request.c, ngx_event_openssl.c, ngx_http_upstream.c; the numbers are X509_V_ERR's.
_LOGGED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^client sent no required SSL certificate"), "client-cert-not-sent"),
    (re.compile(r"^client SSL certificate verify error: \(10:"), "cert-expired"),
    (
        re.compile(r"^client SSL certificate verify error: \((?:2|18|19|20|21):"),
        "server-does-not-trust-client-ca",
    ),
    (re.compile(r"^handshake rejected while SSL handshaking"), "no-certificate-for-vhost"),
    (re.compile(r"^upstream SSL certificate does not match "), "hostname-not-in-san"),
)
_UNRECOGNISED_NAME = 112  # RFC 6066 section 3


def name_in_log(lines: Iterable[str]) -> tuple[str, ErrorLine] | None:
    """The first line that says why, with the slug of what it says."""
    for line in lines:
        parsed = parse_line(line)
        if parsed is None:
            continue
        for pattern, slug in _LOGGED:
            if pattern.search(parsed.message):
                return slug, parsed
    return None


def name_in_handshake(seen: Observation) -> str | None:
    """What the client alone can tell, for builds that log nothing.

    Below 1.19.4 an unknown name is answered by closing the connection without a word (`return 444`).
    """
    failure = seen.failure
    if failure is None or seen.answer is not None:
        return None
    closed = failure.kind is FailureKind.CLOSED and seen.handshake_complete
    return "no-certificate-for-vhost" if closed or failure.alert == _UNRECOGNISED_NAME else None
