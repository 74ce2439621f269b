"""New identities tried with the upstreams that will have to accept them (edge).

A handshake and a first read: under TLS 1.3 a refused client learns of it only then (RFC 8446 section
4.4.2.4). A refusal counts only where the identity in effect is accepted by the same server: an upstream that
is down, or whose own certificate is wrong, says nothing about ours.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from handclasp.wire.client import observe
from handclasp.wire.names import is_address
from handclasp.wire.observation import FailureKind, Observation, Stage, Target
from handclasp.wire.offer import ClientCredential, HttpRequest, TlsVersion, TrustAnchors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from handclasp.nginx.parts import Plan, UpstreamTls
    from handclasp.nginx.state import StateDirectory

_CALL_SECONDS = 5.0
_ALL_SECONDS = 10.0
"""However many upstreams hang: new files are not to wait for them."""
_AT_ONCE = 16
_MOST_SERVERS = 4
"""Of one upstream: they are taken for alike."""
_REFUSING = frozenset({400, 401, 403})
"""nginx and others complete the handshake and say no in HTTP."""
_NO_TIME = "no time was left to ask it"


@dataclass(frozen=True, slots=True)
class Call:
    """One server of an upstream, called with a new identity. `refused`: why it will not have it; `unsaid`:
    why nothing can be said of it. Both None: accepted. `when` the new identity was used (Unix time)."""

    identity: str
    server: str
    refused: str | None = None
    unsaid: str | None = None
    when: tuple[float, float] | None = field(default=None, compare=False)


async def calls(
    state: StateDirectory,
    plan: Plan,
    versions: Mapping[str, tuple[str | None, str]],
    *,
    request: str | None,
) -> tuple[Call, ...]:
    """What upstreams say to identities by name → (version in effect, version staged).

    `request`: the path of a HEAD request to be sent too; None: none is. After ten seconds no more is asked.
    """
    turn = asyncio.Semaphore(_AT_ONCE)
    until = asyncio.get_running_loop().time() + _ALL_SECONDS

    async def one(tls: UpstreamTls, name: str, server: str) -> Call:
        async with turn:
            how = _How(state, plan, tls, server, request, until)
            began = time.time()  # noqa: TID251  what nginx notes of it is to be known again
            seen = await _observed(how, state.identity_path(name, versions[name][1]))
            ended = time.time()  # noqa: TID251
            call = await _judged(how, name, versions[name][0], seen)
            return replace(call, when=(began, ended))

    work = [
        one(tls, tls.identity, server.address)
        for upstream in plan.upstreams
        if (tls := upstream.tls) and tls.identity and tls.identity in versions
        for server in upstream.servers[:_MOST_SERVERS]
    ]
    return tuple(await asyncio.gather(*work))


@dataclass(frozen=True, slots=True)
class _How:
    """One server, and how it is asked; `until` is a moment of the loop's clock."""

    state: StateDirectory
    plan: Plan
    tls: UpstreamTls
    server: str
    request: str | None
    until: float


async def _judged(how: _How, name: str, before: str | None, seen: Observation | None) -> Call:
    """What it comes to that this was seen with the new identity."""
    server = how.server
    if seen is None:
        return Call(name, server, unsaid=_NO_TIME)
    why = _no(seen)
    if why is None:
        return Call(name, server)
    if _before_our_certificate(seen):
        return Call(name, server, unsaid=why)
    if before is None:
        return Call(name, server, refused=why)
    then = await _observed(how, how.state.identity_path(name, before))
    if then is None:
        return Call(name, server, unsaid=f"{why}; {_NO_TIME}")
    if _no(then) is None:
        return Call(name, server, refused=why)
    return Call(name, server, unsaid=f"{why}; the identity in effect fares no better")


async def _observed(how: _How, folder: Path) -> Observation | None:
    """None when there is no time left."""
    left = how.until - asyncio.get_running_loop().time()
    if left <= 0:
        return None
    state, plan, tls = how.state, how.plan, how.tls
    request = HttpRequest(method="HEAD", path=how.request, host=tls.name) if how.request else None
    credential = ClientCredential(certificate=str(folder / "cert.pem"), key=str(folder / "key.pem"))
    trust = None
    if tls.trust is not None:
        anchors = state.trust_path(tls.trust, dict(plan.trust)[tls.trust])
        trust = TrustAnchors(
            files=(str(anchors / "ca.pem"),),
            crls=(str(anchors / "crl.pem"),) if tls.crl else (),
        )
    protocols = [TlsVersion(one) for one in tls.settings.protocols]
    return await observe(
        _target(how.server, tls.name),
        identity=credential,
        trust=trust,
        verify_name=tls.name if trust else None,
        minimum=min(protocols),
        maximum=max(protocols),
        request=request,
        timeout=min(_CALL_SECONDS, left),
    )


def _target(server: str, name: str) -> Target:
    sni = None if is_address(name) else name
    if server.startswith("unix:"):
        return Target(unix_path=server.removeprefix("unix:"), server_name=sni)
    host, _, port = server.rpartition(":")
    return Target(host=host.strip("[]"), port=int(port), server_name=sni)


def _no(seen: Observation) -> str | None:
    """Why this was no success; None when it was."""
    if seen.failure is not None:
        return seen.failure.text
    if seen.answer is not None and seen.answer.status in _REFUSING:
        return f"it answered HTTP {seen.answer.status} {seen.answer.reason}".rstrip()
    return None


def _before_our_certificate(seen: Observation) -> bool:
    """Whether it ended before the server had a say: no connection, or its own certificate was refused."""
    failure = seen.failure
    if failure is None:
        return False
    unreachable = failure.stage in (Stage.RESOLVE, Stage.CONNECT, Stage.PROXY_HEADER)
    return unreachable or failure.verify_code is not None or failure.kind is FailureKind.TIMEOUT
