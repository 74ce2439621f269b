"""How tests look at a server: short forms of targets, credentials and `observe`."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest

from handclasp.wire.client import observe
from handclasp.wire.observation import Observation, Target
from handclasp.wire.offer import ClientCredential, HttpRequest, TrustAnchors

if TYPE_CHECKING:
    from tests.wire.servers import Hop, Seen

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
ASKING = pytest.mark.parametrize("request_", [None, HttpRequest()], ids=["silent", "asking"])


def see(target: Target, **arguments: object) -> Observation:
    return asyncio.run(observe(target, **arguments))  # type: ignore[arg-type]


def at(
    seen: Seen,
    server_name: str | None = "server.example",
    tls: bool = True,
    proxy_protocol: bool = False,
) -> Target:
    return Target(
        host="127.0.0.1",
        port=seen.port,
        server_name=server_name,
        tls=tls,
        proxy_protocol=proxy_protocol,
    )


def identity(hop: Hop, name: str = "client") -> ClientCredential:
    return ClientCredential(certificate=hop.pem(name), key=hop.key(name))


def trust(hop: Hop, name: str = "root") -> TrustAnchors:
    return TrustAnchors(files=(hop.pem(name),))
