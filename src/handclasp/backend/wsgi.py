"""WSGI: Flask, Django, or any other application.

    app.wsgi_app = ClientIdentityMiddleware(
        app.wsgi_app, dialect="x-client-cert", trusted_peers=["unix"]
    )

puts a `ClientIdentity` into `environ["handclasp.client_identity"]`.

WSGI (PEP 3333) folds `-` and `_` in header names and joins headers sent twice by a comma: what came
twice is known by a comma where none belongs, or by its contradiction with the certificate. Servers
must drop names with underscores, as gunicorn (22 and later) and waitress do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from handclasp.backend.gate import Gate, Refusal
from handclasp.backend.identity import IdentityError, Reason
from handclasp.backend.peers import UNIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Unpack

    from handclasp.backend.gate import GateOptions
    from handclasp.backend.identity import ClientIdentity

    Environ = dict[str, Any]
    StartResponse = Callable[..., Any]
    Application = Callable[[Environ, StartResponse], Iterable[bytes]]

KEY: Final = "handclasp.client_identity"
# waitress writes this on a unix socket; gunicorn and granian leave REMOTE_ADDR empty.
_WAITRESS: Final = "localhost"
_FORWARDING: Final = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED")


class EnvironGate:
    """The gate for an environ (Django's `request.META` is one too)."""

    def __init__(self, **options: Unpack[GateOptions]) -> None:
        """The options are those of GateOptions. Raises ValueError for what cannot be meant."""
        self._gate = Gate(**options)
        self._names = {_environ_name(name): name for name in sorted(self._gate.reader.names)}
        self._removed = frozenset(map(_environ_name, self._gate.removed)) - set(self._names)

    def admit(self, environ: Environ) -> ClientIdentity | Refusal | None:
        """Also removes the headers of other dialects from the environ, if it lets the request in."""
        peer = environ.get("REMOTE_ADDR")
        try:
            _check_rewritten(environ)
            peer = _peer(environ)
            collected = self._gate.reader.collect(
                (name, environ[key]) for key, name in self._names.items() if key in environ
            )
        except IdentityError as error:
            return self._gate.refuse(peer, error)
        admitted = self._gate.admit(peer, collected)
        if not isinstance(admitted, Refusal):
            for name in self._removed.intersection(environ):
                del environ[name]
        return admitted


class ClientIdentityMiddleware:
    """Sets `environ["handclasp.client_identity"]` or answers 400 or 403."""

    def __init__(self, app: Application, *, key: str = KEY, **options: Unpack[GateOptions]) -> None:
        """As `handclasp.backend.asgi.ClientIdentityMiddleware`."""
        self._app = app
        self._gate = EnvironGate(**options)
        self._key = key

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        admitted = self._gate.admit(environ)
        if isinstance(admitted, Refusal):
            start_response(f"{admitted.status} {admitted.phrase}", list(admitted.headers))
            return [admitted.body]
        environ[self._key] = admitted
        return self._app(environ, start_response)


def _peer(environ: Environ) -> str | None:
    """The peer's address, "unix", or None. Raises IdentityError (rewritten-peer).

    What stands for a unix socket may also be what waitress (`trusted_proxy`) or granian's wrapper made
    of `X-Forwarded-For: localhost` or `[]`, on a port. waitress always tells a port, None as text on a
    unix socket; those that leave the address empty tell none there.
    """
    address, port = environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT")
    if address == "":
        is_unix = port is None
    elif address == _WAITRESS:
        told = "".join(environ.get(name, "") for name in _FORWARDING)
        is_unix = port == "None" and _WAITRESS not in told.replace("\\", "").lower()
    else:
        return None if address == UNIX else address
    if not is_unix:
        raise IdentityError(
            Reason.REWRITTEN_PEER, "the server took the peer's address from a header: turn that off"
        )
    return UNIX


def _check_rewritten(environ: Environ) -> None:
    """Werkzeug's ProxyFix in front of us has put X-Forwarded-For in the place of the peer."""
    if "werkzeug.proxy_fix.orig" in environ:
        raise IdentityError(
            Reason.REWRITTEN_PEER, "ProxyFix is in front of this middleware: put it behind"
        )


def _environ_name(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")
