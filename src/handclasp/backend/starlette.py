"""The dependency for FastAPI and Starlette. Needs Starlette, which is imported with this module.

@app.get("/")
def greet(caller: Annotated[ClientIdentity, Depends(client_identity)]) -> str: ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

# FastAPI reads the annotation at run time.
from starlette.requests import HTTPConnection  # noqa: TC002

from handclasp.backend.asgi import KEY
from handclasp.backend.identity import ClientIdentity

if TYPE_CHECKING:
    from typing import Any


def client_identity(request: HTTPConnection) -> ClientIdentity:
    """Who is calling. Answers 403 if nobody is told (a middleware with `required=False`).

    Raises RuntimeError if `handclasp.backend.asgi.ClientIdentityMiddleware` is not in front.
    """
    identity = optional_client_identity(request)
    if identity is None:
        raise HTTPException(403, "a client certificate is required")
    return identity


def optional_client_identity(request: HTTPConnection) -> ClientIdentity | None:
    """Who is calling, or None. Raises RuntimeError as `client_identity`."""
    missing: Any = ...
    identity = request.scope.get(KEY, missing)
    if identity is missing:
        raise RuntimeError("no ClientIdentityMiddleware in front of this application")
    if identity is not None and not isinstance(identity, ClientIdentity):
        raise RuntimeError(f"scope[{KEY!r}] is not handclasp's")
    return identity
