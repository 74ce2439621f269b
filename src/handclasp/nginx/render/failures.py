"""What the application sees when a link fails before the upstream has answered: the link, in a sentence
what to look at, and a request id; as text or JSON by Accept, for gRPC as a status.

Named locations, because they keep the request's method (for the access log) and take no path away from
the upstream. An upstream's own 502 is not touched: `proxy_intercept_errors` is off.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.nginx.render.servers import grpc_answer, grpc_location
from handclasp.nginx.render.text import block, directive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.nginx.parts import EgressServer

_UNAVAILABLE, _RESOURCE_EXHAUSTED = 14, 8  # gRPC status codes


@dataclass(frozen=True, slots=True)
class _Failure:
    status: int
    error: str
    sentence: str
    headers: tuple[tuple[str, object], ...] = ()


_FAILURES = (
    _Failure(
        413, "body-too-large", "the request body is larger than `limits.body` of this link allows."
    ),
    _Failure(429, "too-many-requests", "there are more requests than `limits` of this link allow."),
    _Failure(
        500,
        "link-failed",
        "nginx could not do its part, such as reading the client certificate; its error log says why.",
    ),
    _Failure(
        502,
        "upstream-failed",
        "no answer was had from the upstream: the connection, the TLS handshake or the verification"
        " of its certificate failed; nginx's error log says which.",
    ),
    _Failure(504, "upstream-timeout", "the upstream did not answer in time."),
)


_GRPC_FAILURES = (
    (413, _RESOURCE_EXHAUSTED, "the message is larger than limits.body of this link allows"),
    (429, _RESOURCE_EXHAUSTED, "there are more requests than limits of this link allow"),
    (500, _UNAVAILABLE, "nginx could not do its part; its error log says why"),
    (502, _UNAVAILABLE, "upstream unavailable (502)"),
    (503, _UNAVAILABLE, "upstream unavailable (503)"),
    (504, _UNAVAILABLE, "upstream unavailable (504)"),
)


def failure_directives(server: EgressServer) -> list[str]:
    """error_page lines and the locations they lead to, for the server block of a link."""
    if server.grpc:
        lines: list[str] = []
        for status, code, message in _GRPC_FAILURES:
            lines += [
                directive("error_page", status, "=", grpc_location(status)),
                *grpc_answer(code, message, status=status),
            ]
        return lines
    return [line for failure in _FAILURES for line in _pages(server.link, failure, "")]


def failure_pages(server: EgressServer) -> list[str]:
    """The error_page lines alone, for a location that has one of its own and so inherits none."""
    return [line for line in failure_directives(server) if line.startswith("error_page ")]


def down_location(server: EgressServer, number: int, reason: str) -> tuple[list[str], list[str]]:
    """For a route without upstream: the body of its location, and what the server needs beside it."""
    if server.grpc:
        message = f"link {server.link} is down: {reason}"
        answer = [
            directive("default_type", "application/grpc"),
            directive("add_header", "grpc-status", _UNAVAILABLE, "always"),
            directive("add_header", "grpc-message", message, "always"),
            directive("return", 200, ""),
        ]
        return answer, []
    failure = _Failure(503, "link-down", f"{reason}.", (("Retry-After", 30),))
    page, *locations = _pages(server.link, failure, f"_{number}")
    return [page, directive("return", 503)], locations


def _pages(link: str, failure: _Failure, suffix: str) -> list[str]:
    stem = f"@hc_{failure.status}{suffix}"
    lines = [directive("error_page", failure.status, f"{stem}_$hc_answer_http")]
    for form in ("text", "json"):
        lines += block("location", f"{stem}_{form}", body=_answer(link, failure, form))
    return lines


def _answer(link: str, failure: _Failure, form: str) -> Iterable[str]:
    headers = (("X-Handclasp-Link", link), ("X-Request-ID", "$request_id"), *failure.headers)
    if form == "json":
        told = {
            "error": failure.error,
            "link": link,
            "message": failure.sentence,
            "request_id": "$request_id",
        }
        kind, text = "application/json", json.dumps(told)
    else:
        kind = "text/plain"
        text = f"handclasp link {link}: {failure.sentence}\nRequest id: $request_id"
    return [
        directive("default_type", kind),
        *(directive("add_header", name, value, "always") for name, value in headers),
        directive("return", failure.status, f"{text}\n"),
    ]
