"""What a refused caller sees: which of the refusals it was, a request id, and nothing else.

nginx completes the handshake and answers 400 over HTTP when a client certificate is missing (496) or
did not verify (495); 497 is plain HTTP on a TLS port. Each is answered from an exact `internal`
location, as text or JSON by Accept, or as a trailers-only response to a gRPC caller.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.nginx.render.servers import INTERNAL, grpc_answer
from handclasp.nginx.render.text import block, directive, entry

if TYPE_CHECKING:
    from handclasp.nginx.parts import IngressServer

_UNAUTHENTICATED, _PERMISSION_DENIED, _UNAVAILABLE = 16, 7, 14  # gRPC status codes


@dataclass(frozen=True, slots=True)
class _Refusal:
    code: int  # nginx's own, or the HTTP status
    status: int  # sent
    slug: str
    sentence: str
    grpc: int


REFUSALS = (
    _Refusal(
        495,
        400,
        "client-certificate-refused",
        "The client certificate was refused.",
        _UNAUTHENTICATED,
    ),
    _Refusal(
        496,
        400,
        "client-certificate-missing",
        "No client certificate was sent; this service requires one.",
        _UNAUTHENTICATED,
    ),
    _Refusal(
        497,
        400,
        "plain-http-to-tls-port",
        "Plain HTTP was sent to a port that speaks TLS; use https.",
        _UNAUTHENTICATED,
    ),
    _Refusal(403, 403, "not-allowed", "This client may not use this service.", _PERMISSION_DENIED),
)


def refusal_maps() -> list[str]:
    """Which form of answer a caller wants, for the http context."""
    return [
        *block(
            "map",
            "$http_accept",
            "$hc_wants_json",
            body=['default "";', entry("~*application/([a-z.+-]*\\+)?json", "json")],
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


def refusal_directives(server: IngressServer) -> list[str]:
    """error_page lines and the locations they lead to."""
    lines: list[str] = []
    for refusal in REFUSALS:
        lines.append(directive("error_page", refusal.code, f"{INTERNAL}/{refusal.code}/$hc_answer"))
        for form in ("text", "json"):
            lines += block(
                "location",
                "=",
                f"{INTERNAL}/{refusal.code}/{form}",
                body=[
                    "internal;",
                    directive(
                        "default_type", "application/json" if form == "json" else "text/plain"
                    ),
                    directive("add_header", "X-Request-ID", "$request_id", "always"),
                    directive("return", refusal.status, _body(refusal, form)),
                ],
            )
        lines += grpc_answer(refusal.grpc, refusal.sentence, status=refusal.code)
    if server.grpc:
        for status in (502, 503, 504):
            lines += [
                directive("error_page", status, f"{INTERNAL}/{status}/grpc"),
                *grpc_answer(_UNAVAILABLE, f"backend unavailable ({status})", status=status),
            ]
    return lines


def _body(refusal: _Refusal, form: str) -> str:
    if form == "json":
        return (
            json.dumps(
                {"error": refusal.slug, "message": refusal.sentence, "request_id": "$request_id"}
            )
            + "\n"
        )
    return f"{refusal.sentence}\nRequest id: $request_id\n"
