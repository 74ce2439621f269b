"""The one handshake client: ``observe`` connects, shakes hands, listens, asks once, and reports.

Nothing the peer or the network does is raised; it is all in the Observation. What the caller does
wrong is: a file that cannot be loaded, a name that cannot be sent, settings that contradict.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from handclasp.errors import InternalFault
from handclasp.wire.context import ContextSettings, build_context
from handclasp.wire.conversation import Conversation, Stopped
from handclasp.wire.exchange import Exchange
from handclasp.wire.names import is_address
from handclasp.wire.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handclasp.wire.observation import Observation, Target
    from handclasp.wire.offer import ClientCredential, HttpRequest, TlsVersion, TrustAnchors

FIRST_READ_SECONDS = 0.25


async def observe(
    target: Target,
    *,
    identity: ClientCredential | None = None,
    trust: TrustAnchors | None = None,
    verify_name: str | None = None,
    minimum: TlsVersion | None = None,
    maximum: TlsVersion | None = None,
    alpn: Sequence[str] = (),
    request: HttpRequest | None = None,
    timeout: float = 5.0,  # noqa: ASYNC109 the timeout is part of the result, not an exception
    first_read: float = FIRST_READ_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Observation:
    """One connection to `target`, and everything it showed.

    Without ``trust`` any certificate is accepted and kept to be compared. With it, nothing of ours
    (client certificate, request) is sent before the chain, and ``verify_name`` if given, are
    verified; the certificates of a refused peer are kept too.

    ``timeout`` (seconds) bounds the whole; ``first_read`` (seconds, plus two round trips) is how
    long a TLS 1.3 server may take to object when there is no request. ``clock`` is monotonic, in
    seconds, and only measures.

    Raises UsageError or EnvironmentFault for credentials, anchors, server names and requests that
    cannot be used, ValueError for arguments that contradict each other.
    """
    session, checked_name = None, None
    if target.tls:
        if verify_name is not None and trust is None:
            raise ValueError("a name can only be verified with trust anchors")
        sni, checked_name = _server_hostname(target.server_name, verify_name)
        settings = ContextSettings(
            identity=identity,
            trust=trust,
            minimum=minimum,
            maximum=maximum,
            alpn=alpn,
            check_hostname=verify_name is not None and checked_name is None,
        )
        session = _session(settings, sni, checked_name)
    elif identity or trust or verify_name or alpn:
        raise ValueError("credentials and names need a target with tls")
    exchange = None if request is None else Exchange(request, _default_host(target))
    run = Conversation(target, session, exchange, clock, checked_name, first_read)
    try:
        async with asyncio.timeout(timeout):
            await run.go(asyncio.get_running_loop().time() + timeout)
    except Stopped:
        pass
    except TimeoutError:
        run.give_up(timeout)
    finally:
        run.close()
    return run.observation()


def _session(settings: ContextSettings, sni: str | None, checked_name: str | None) -> Session:
    session = Session(build_context(settings), sni)
    if checked_name is not None and not session.recording:
        raise InternalFault("this Python cannot verify a name that differs from the SNI")
    return session


def _server_hostname(
    server_name: str | None, verify_name: str | None
) -> tuple[str | None, str | None]:
    """What OpenSSL is to send (and to verify), and the name that is left for us to verify.

    The ssl module has one name for both uses; an address is verified and never sent.
    """
    if verify_name is None:
        return server_name, None
    if server_name is None and is_address(verify_name):
        return verify_name, None
    if server_name is not None and server_name.lower() == verify_name.lower():
        return server_name, None
    return server_name, verify_name


def _default_host(target: Target) -> str:
    host = target.server_name or target.host or "localhost"
    return f"[{host}]" if ":" in host else host
