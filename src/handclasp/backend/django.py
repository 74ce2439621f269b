"""Django behind WSGI: a middleware that sets `request.client_identity`.

    MIDDLEWARE = ["handclasp.backend.django.ClientIdentityMiddleware", ...]
    HANDCLASP = {"dialect": "x-client-cert", "trusted_peers": ["unix"]}

Behind ASGI, Django joins repeated headers itself and hides who is connected: wrap the application in
`handclasp.backend.asgi.ClientIdentityMiddleware` too; this one then takes its result over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handclasp.backend.asgi import KEY
from handclasp.backend.gate import Refusal
from handclasp.backend.wsgi import EnvironGate

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponseBase  # type: ignore[import-untyped]


class ClientIdentityMiddleware:
    """Put it first. `settings.HANDCLASP` holds the arguments of the WSGI middleware, except `key`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        """Raises django's ImproperlyConfigured."""
        from django.conf import settings  # type: ignore[import-untyped]
        from django.core.exceptions import (  # type: ignore[import-untyped]
            ImproperlyConfigured,
        )

        self._get_response = get_response
        try:
            arguments: dict[str, Any] = dict(settings.HANDCLASP)
            self._gate = EnvironGate(**arguments)
        except (AttributeError, TypeError, ValueError) as error:
            raise ImproperlyConfigured(f"settings.HANDCLASP: {error}") from error

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """One request."""
        from django.http import HttpResponse

        scope = getattr(request, "scope", None)
        if scope is not None:
            if KEY not in scope:
                return _refused(HttpResponse, 500, b"handclasp.backend.asgi is not in front\n")
            admitted = scope[KEY]
        else:
            admitted = self._gate.admit(request.META)
        if isinstance(admitted, Refusal):
            return _refused(HttpResponse, admitted.status, admitted.body)
        request.client_identity = admitted
        return self._get_response(request)


def _refused(
    response: Callable[..., HttpResponseBase], status: int, body: bytes
) -> HttpResponseBase:
    return response(
        body,
        status=status,
        content_type="text/plain; charset=us-ascii",
        headers={"Cache-Control": "no-store"},
    )
