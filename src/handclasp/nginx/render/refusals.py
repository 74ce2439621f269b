"""What a refused caller sees: which of the refusals it was, a request id, and nothing else.

nginx completes the handshake and answers 400 over HTTP when a client certificate is missing (496) or
did not verify (495); 497 is plain HTTP on a TLS port. Each is answered from an exact `internal`
location, as text or JSON by Accept, or as a trailers-only response to a gRPC caller. The `=` of
`error_page` lets that location choose the status.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.nginx.render.allow import by_request
from handclasp.nginx.render.authorizer import reason_variable
from handclasp.nginx.render.callers_log import with_callers
from handclasp.nginx.render.grpc import GrpcStatus, grpc_answer, grpc_failures
from handclasp.nginx.render.servers import INTERNAL, refusal_log
from handclasp.nginx.render.text import block, directive, entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.nginx.parts import IngressServer
    from handclasp.nginx.render.context import Context


@dataclass(frozen=True, slots=True)
class _Refusal:
    code: int  # nginx's own, or the HTTP status
    status: int  # sent
    slug: str
    sentence: str
    grpc: GrpcStatus


REFUSALS = (
    _Refusal(
        403,
        403,
        "not-allowed",
        "This client may not use this service.",
        GrpcStatus.PERMISSION_DENIED,
    ),
    _Refusal(
        421,
        421,
        "misdirected-request",
        "The Host of this request is not the name its connection was opened for.",
        GrpcStatus.UNIMPLEMENTED,
    ),
    _Refusal(
        495,
        400,
        "client-certificate-refused",
        "The client certificate was refused.",
        GrpcStatus.UNAUTHENTICATED,
    ),
    _Refusal(
        496,
        400,
        "client-certificate-missing",
        "No client certificate was sent; this service requires one.",
        GrpcStatus.UNAUTHENTICATED,
    ),
    _Refusal(
        497,
        400,
        "plain-http-to-tls-port",
        "Plain HTTP was sent to a port that speaks TLS; use https.",
        GrpcStatus.UNAUTHENTICATED,
    ),
)
AMBIGUOUS_PATH = _Refusal(
    420,  # a status that nothing else here produces: nginx's own 400 is for requests it could not read
    400,
    "ambiguous-path",
    "The path of this request can be read in more than one way.",
    GrpcStatus.INVALID_ARGUMENT,
)
_UNDECIDED = _Refusal(
    500,
    503,
    "authorizer-unavailable",
    "This service cannot check callers at the moment.",
    GrpcStatus.UNAVAILABLE,
)
"""auth_request answers 500 when the agent did not answer. A backend's own 500 never comes here."""
_RETRY_SECONDS = 5
_WITHOUT_LINK = (421, 497)  # what can befall a request before a link is known


def refusal_maps() -> list[str]:
    """Which form of answer a caller wants, for the http context."""
    return [
        *block(
            "map",
            "$http_accept",
            "$hc_wants_json",
            body=['default "";', entry("~*application/(?:[a-z.+-]*\\+)?json", "json")],
        ),
        *block(
            "map",
            "$http_content_type",
            "$hc_answer",
            body=[
                "default $hc_answer_http;",
                entry("~*^application/grpc", "grpc"),
            ],
        ),
        *block("map", "$hc_wants_json", "$hc_answer_http", body=["default text;", "json json;"]),
    ]


def refusal_directives(server: IngressServer, context: Context) -> list[str]:
    """error_page lines of a link and the locations they lead to."""
    log = with_callers(refusal_log(server.link, context), server.link, context)
    lines: list[str] = []
    for refusal in REFUSALS:
        lines += _pages(refusal, log)
    if by_request(server.rules):
        lines += _pages(AMBIGUOUS_PATH, log)
    undecided = (
        [directive("set", reason_variable(server.link), _UNDECIDED.slug)]
        if server.authorizer
        else []
    )
    if server.grpc:
        lines += grpc_failures("backend", log=log, at_500=undecided)
    elif server.authorizer:
        retry = directive("add_header", "Retry-After", _RETRY_SECONDS, "always")
        lines += _error_page(_UNDECIDED, "$hc_answer_http")
        lines += _written_pages(_UNDECIDED, *undecided, retry)
    return lines


def linkless_refusals() -> list[str]:
    """The same for the default server of an address, which knows no link and keeps no access log."""
    return [
        line for refusal in REFUSALS if refusal.code in _WITHOUT_LINK for line in _pages(refusal)
    ]


def _pages(refusal: _Refusal, log: Sequence[str] = ()) -> list[str]:
    return [
        *_error_page(refusal, "$hc_answer"),
        *_written_pages(refusal),
        *grpc_answer(refusal.grpc, refusal.sentence, status=refusal.code, log=log),
    ]


def _error_page(refusal: _Refusal, form: str) -> list[str]:
    return [directive("error_page", refusal.code, "=", f"{INTERNAL}/{refusal.code}/{form}")]


def _written_pages(refusal: _Refusal, *more: str) -> list[str]:
    lines: list[str] = []
    for form, kind in (("text", "text/plain"), ("json", "application/json")):
        lines += block(
            "location",
            "=",
            f"{INTERNAL}/{refusal.code}/{form}",
            body=[
                "internal;",
                *more,
                directive("default_type", kind),
                directive("add_header", "X-Request-ID", "$request_id", "always"),
                directive("return", refusal.status, _body(refusal, form)),
            ],
        )
    return lines


def _body(refusal: _Refusal, form: str) -> str:
    if form == "json":
        told = {"error": refusal.slug, "message": refusal.sentence, "request_id": "$request_id"}
        return json.dumps(told) + "\n"
    return f"{refusal.sentence}\nRequest id: $request_id\n"
