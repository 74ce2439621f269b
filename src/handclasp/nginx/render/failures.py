"""What the application sees when a link fails before the upstream has answered: the link, in a sentence
what to look at, and a request id; as text or JSON by Accept, for gRPC as a status.

Named locations, because they keep the request's method (for the access log) and take no path away from
the upstream. An upstream's own 502 is not touched: `proxy_intercept_errors` is off.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.nginx.render.grpc import GrpcStatus, grpc_failures, grpc_pages
from handclasp.nginx.render.text import block, directive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.nginx.parts import EgressServer


@dataclass(frozen=True, slots=True)
class _Failure:
    status: int
    error: str
    sentence: str
    headers: tuple[tuple[str, object], ...] = ()

    def stem(self, suffix: str = "") -> str:
        return f"@hc_{self.status}{suffix}"


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


def failure_directives(server: EgressServer) -> list[str]:
    """error_page lines and the locations they lead to, for the server block of a link."""
    if server.grpc:
        return grpc_failures("upstream")
    locations = [
        line for failure in _FAILURES for line in _locations(server.link, failure, failure.stem())
    ]
    return [*failure_pages(server), *locations]


def failure_pages(server: EgressServer) -> list[str]:
    """The error_page lines alone, for a location that has one of its own and so inherits none."""
    return grpc_pages() if server.grpc else [_page(one, one.stem()) for one in _FAILURES]


def down_location(server: EgressServer, number: int, reason: str) -> tuple[list[str], list[str]]:
    """For a route without upstream: the body of its location, and what the server needs beside it."""
    if server.grpc:
        message = f"link {server.link} is down: {reason}"
        answer = [
            directive("default_type", "application/grpc"),
            directive("add_header", "grpc-status", GrpcStatus.UNAVAILABLE, "always"),
            directive("add_header", "grpc-message", message, "always"),
            directive("return", 200, ""),
        ]
        return answer, []
    failure = _Failure(503, "link-down", f"{reason}.", (("Retry-After", 30),))
    stem = failure.stem(f"_{number}")
    return [_page(failure, stem), directive("return", 503)], _locations(server.link, failure, stem)


def _page(failure: _Failure, stem: str) -> str:
    return directive("error_page", failure.status, f"{stem}_$hc_answer_http")


def _locations(link: str, failure: _Failure, stem: str) -> list[str]:
    return [
        line
        for form in ("text", "json")
        for line in block("location", f"{stem}_{form}", body=_answer(link, failure, form))
    ]


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
