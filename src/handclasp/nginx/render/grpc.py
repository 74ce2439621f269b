"""Answers to gRPC callers: trailers-only responses that carry a status (gRPC over HTTP/2, "Responses").

A gRPC library shows its caller nothing of an HTML page with status 429: it says "unknown".
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from handclasp.nginx.render.servers import INTERNAL
from handclasp.nginx.render.text import block, directive

if TYPE_CHECKING:
    from collections.abc import Sequence


class GrpcStatus(IntEnum):
    """The codes we answer with (grpc/grpc doc/statuscodes.md)."""

    INVALID_ARGUMENT = 3
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_LIMITS = (
    (
        413,
        GrpcStatus.RESOURCE_EXHAUSTED,
        "the message is larger than limits.body of this link allows",
    ),
    (
        429,
        GrpcStatus.RESOURCE_EXHAUSTED,
        "there are more requests than limits of this link allow",
    ),
    (500, GrpcStatus.UNAVAILABLE, "nginx could not do its part; its error log says why"),
)
_BEHIND = (502, 503, 504)


def grpc_failures(behind: str, *, log: Sequence[str] = (), at_500: Sequence[str] = ()) -> list[str]:
    """error_page lines and locations for what nginx answers by itself; `behind` is who did not answer.

    `at_500` are directives of the answer for a failure of nginx's own.
    """
    unavailable = [
        (status, GrpcStatus.UNAVAILABLE, f"{behind} unavailable ({status})") for status in _BEHIND
    ]
    lines: list[str] = []
    for status, code, message in (*_LIMITS, *unavailable):
        more = at_500 if status == 500 else ()
        lines += grpc_answer(code, message, status=status, log=log, more=more)
    return [*grpc_pages(), *lines]


def grpc_pages() -> list[str]:
    """The error_page lines alone, for a location that has one of its own and so inherits none."""
    statuses = (*(status for status, *_ in _LIMITS), *_BEHIND)
    return [directive("error_page", status, "=", _location(status)) for status in statuses]


def grpc_answer(
    code: GrpcStatus,
    message: str,
    *,
    status: int,
    log: Sequence[str] = (),
    more: Sequence[str] = (),
) -> list[str]:
    """An internal location that answers a gRPC caller: a trailers-only response
    (gRPC over HTTP/2, "Responses"), which has HTTP status 200; reach it by `error_page N = …`.

    `log` are access_log directives that do not go by the status; `more` are directives beside it.
    """
    return block(
        "location",
        "=",
        _location(status),
        body=[
            "internal;",
            # nginx looks at an announced length again in here, and would refuse again.
            directive("client_max_body_size", 0),
            *log,
            *more,
            directive("default_type", "application/grpc"),
            directive("add_header", "grpc-status", code, "always"),
            directive("add_header", "grpc-message", message, "always"),
            directive("add_header", "X-Request-ID", "$request_id", "always"),
            directive("return", 200, ""),
        ],
    )


def _location(status: int) -> str:
    """Name of the internal location that stands for an HTTP status towards gRPC callers."""
    return f"{INTERNAL}/{status}/grpc"
