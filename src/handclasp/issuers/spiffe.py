"""`type: spiffe`: X.509-SVIDs from the SPIFFE Workload API, by the `spiffe` package (edge: its threads).

The API makes keys and pushes what is new; nothing is asked of it but to be heard
(https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md, section 5).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.certs.secret import Secret
from handclasp.issuers.protocol import Issued, IssuerError
from handclasp.issuers.received import one_line

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from spiffe import X509Svid
    from spiffe.workloadapi.x509_context import X509Context

    from handclasp.issuers.protocol import Wanted
    from handclasp.spec.issuer_spiffe import Spiffe

PUSH_SECONDS = 10.0
"""How long a renewal waits for something newer than what is in use."""
_ENDPOINT = "SPIFFE_ENDPOINT_SOCKET"
_TOLD = {
    "PERMISSION_DENIED": (
        "knows no identity for this process",
        "Register this workload with SPIRE.",
    ),
    "UNAVAILABLE": (
        "cannot be reached",
        "Look whether its agent runs, and who may use its socket.",
    ),
    "UNIMPLEMENTED": (
        "is no Workload API",
        "`socket` is the API's, not the agent's administrative one.",
    ),
}
"""What the API's status codes mean (section 6.2 of the standard), and what to do."""


class SpiffeIssuer:
    """One `type: spiffe` section as an issuer (protocol.Issuer)."""

    def __init__(self, section: Spiffe) -> None:
        self._section = section

    @property
    def makes_key(self) -> bool:
        """Always: the key comes with the certificate."""
        return True

    async def issue(self, wanted: Wanted) -> Issued:
        """The SVID of the SPIFFE ID among the names, else the API's first. Raises IssuerError.

        What is in use already is not given again: something newer is waited for.
        """
        try:
            async with asyncio.timeout(None) as patience, aclosing(self._heard()) as heard:
                async for context in heard:
                    svid = chosen(context, wanted)
                    if svid.leaf != wanted.current:
                        return _issued(svid)
                    patience.reschedule(asyncio.get_running_loop().time() + PUSH_SECONDS)
        except TimeoutError as error:
            raise IssuerError("the Workload API has nothing newer than what is in use") from error
        raise IssuerError("the Workload API said nothing")

    async def until_called(self, wanted: Wanted) -> None:
        """Returns once the API has pushed something else than `wanted.current` (calling.Calling)."""
        async with aclosing(self._heard()) as heard:
            async for context in heard:
                if chosen(context, wanted).leaf != wanted.current:
                    return

    async def bundles(self) -> AsyncGenerator[Mapping[str, tuple[x509.Certificate, ...]], None]:
        """Trust domain → its anchors, ours and those it is federated with: at once, and all of them again
        whenever one changes. Ends by IssuerError."""
        async with aclosing(self._heard()) as heard:
            async for context in heard:
                yield _bundles(context)

    async def _heard(self) -> AsyncGenerator[X509Context, None]:
        """What the API pushes, at once and then whenever it changes; ends by IssuerError."""
        loop, news = asyncio.get_running_loop(), asyncio.Queue[Any]()

        def tell(one: object) -> None:
            # The package calls from its own thread, perhaps once more after we have stopped.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(news.put_nowait, one)

        client = await asyncio.to_thread(self._client)
        try:
            stream = client.stream_x509_contexts(tell, tell, retry_connect=False)
            try:
                while True:
                    one = await news.get()
                    if isinstance(one, Exception):
                        raise _failure(one) from one
                    yield one
            finally:
                stream.cancel()
        finally:
            client.close()

    def _client(self) -> Any:
        try:
            from spiffe import WorkloadApiClient
            from spiffe.errors import ArgumentError
        except ImportError as error:
            raise IssuerError(
                f"the Python package {error.name} is not installed, which SPIFFE needs",
                hint="Install it with pip install 'handclasp[spiffe]'.",
                permanent=True,
            ) from error
        socket = self._section.socket
        if socket is None and not os.environ.get(_ENDPOINT):
            raise IssuerError(
                f"neither `socket` nor ${_ENDPOINT} says where the Workload API is", permanent=True
            )
        try:
            return WorkloadApiClient(None if socket is None else f"unix:{socket}")
        except ArgumentError as error:
            # Not permanent: the socket appears when the agent starts.
            raise IssuerError(
                f"the Workload API cannot be reached: {one_line(str(error))}",
                hint="Look whether its agent runs.",
            ) from error


def chosen(context: X509Context, wanted: Wanted) -> X509Svid:
    """The SVID of the SPIFFE ID that is asked for; the first where none is. Raises IssuerError."""
    asked = [
        name.value for name in wanted.names if isinstance(name, x509.UniformResourceIdentifier)
    ]
    if not asked:
        return context.default_svid
    for svid in context.x509_svids:
        if str(svid.spiffe_id) in asked:
            return svid
    given = ", ".join(str(svid.spiffe_id) for svid in context.x509_svids)
    raise IssuerError(
        f"the Workload API gives {one_line(given)}, and not {one_line(asked[0])}",
        hint="Register this workload with SPIRE under that id, or leave `names` out.",
        permanent=True,
    )


def _issued(svid: X509Svid) -> Issued:
    key: Any = svid.private_key
    return Issued(chain=tuple(svid.cert_chain), key=Secret(key))


def _bundles(context: X509Context) -> Mapping[str, tuple[x509.Certificate, ...]]:
    """The trust anchors of our trust domain and of those it is federated with, in a fixed order."""
    return {
        bundle.trust_domain.name: tuple(
            sorted(bundle.x509_authorities, key=lambda one: one.public_bytes(Encoding.DER))
        )
        for bundle in context.x509_bundle_set.bundles
    }


def _failure(error: Exception) -> IssuerError:
    code = re.search(r"StatusCode\.([A-Z_]+)", str(error))
    told, hint = _TOLD.get(code[1], ("", "")) if code else ("", "")
    if told:
        return IssuerError(f"the Workload API {told}", hint=hint)
    return IssuerError(f"the Workload API failed: {one_line(str(error))}")
