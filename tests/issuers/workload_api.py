"""A SPIFFE Workload API on a unix socket, as a SPIRE agent has it.

Neither Debian nor PyPI has SPIRE itself, so that this stands for it: gRPC and messages are those of the
`spiffe` package, what is answered is for the tests to say.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from spiffe._proto import workload_pb2, workload_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests import pki


def der(pairs: Sequence[pki.Pair]) -> bytes:
    return b"".join(pair.der for pair in pairs)


def svid(pair: pki.Pair, identifier: str, bundle: Sequence[pki.Pair]) -> Any:
    """One identity with the anchors of its own trust domain; its chain is without the root."""
    above = [one for one in pair.issuers if one.certificate.issuer != one.certificate.subject]
    return workload_pb2.X509SVID(
        spiffe_id=identifier,
        x509_svid=der([pair, *above]),
        x509_svid_key=pair.private_key.private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        ),
        bundle=der(bundle),
    )


def broken(identifier: str) -> Any:
    """An identity whose certificate is none."""
    return workload_pb2.X509SVID(spiffe_id=identifier, x509_svid=b"garbage", x509_svid_key=b"-")


class WorkloadApi(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    """What is pushed now. Without SVIDs the workload is not known."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._answer: Any = None
        self._count = 0
        self._ended = False
        self.security_header: list[bool] = []
        """Whether each call had the header that the standard asks for."""

    def push(self, svids: Sequence[Any], federated: Mapping[str, bytes] | None = None) -> None:
        """Gives this to everybody who listens, and to who comes."""
        answer = workload_pb2.X509SVIDResponse(svids=svids, federated_bundles=federated or {})
        self.push_raw(answer)

    def push_raw(self, answer: Any) -> None:
        with self._changed:
            self._answer = answer
            self._count += 1
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def FetchX509SVID(self, _request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        header = ("workload.spiffe.io", "true")
        self.security_header.append(header in tuple(context.invocation_metadata()))
        seen = 0
        while context.is_active() and not self._ended:
            with self._changed:
                if self._count == seen:
                    if not seen:
                        context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
                    self._changed.wait(0.05)
                    continue
                seen, answer = self._count, self._answer
            yield answer


@contextlib.contextmanager
def serving(socket: Path) -> Iterator[WorkloadApi]:
    """A Workload API on `socket` as long as the block lasts."""
    api = WorkloadApi()
    server = grpc.server(ThreadPoolExecutor(4))
    workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(api, server)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    try:
        yield api
    finally:
        api.end()
        server.stop(0.1).wait()
