"""Proof that every listener does its job: a handshake on ingress, an answer of ours on egress (edge)."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.agent.challenge_probe import unanswered
from handclasp.agent.targets import reachable
from handclasp.nginx.features import Feature
from handclasp.wire.client import observe
from handclasp.wire.offer import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handclasp.agent.prepare import Prepared
    from handclasp.nginx.parts import EgressServer, IngressServer, Plan
    from handclasp.spec.values import ListenAddress
    from handclasp.wire.observation import Observation, Target

_ATTEMPTS = 3
_PAUSE_SECONDS = 0.2
_TIMEOUT_SECONDS = 5.0
_FOREIGN_HOST = "proof.handclasp.invalid"
"""A Host no egress link answers to (RFC 2606): the answer shows whose listener it is, and nothing goes
to the upstream."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was seen of one listener."""

    link: str
    address: str
    kind: str  # egress, ingress, health, redirect, challenges
    ok: bool
    seen: str


async def prove(prepared: Prepared, plan: Plan) -> tuple[Proof, ...]:
    """Every listener of the plan, concurrently. Never raises for what a listener does."""
    leaves = {
        name: hashlib.sha256(material.leaf.public_bytes(Encoding.DER)).hexdigest()
        for name, material in prepared.material.identities.items()
        if material.leaf is not None
    }
    http1_on_grpc = prepared.facts.has(Feature.HTTP2_DIRECTIVE)
    proofs = [_egress(server, http1_on_grpc=http1_on_grpc) for server in plan.egress]
    proxied = {one.address for one in plan.listeners if one.proxy_protocol}
    for server in plan.ingress:
        proofs += [
            _ingress(server, address, leaves, proxy_protocol=address in proxied)
            for address in server.listen
        ]
        if server.health:
            proofs.append(_plain(server.link, "health", server.health, 200))
        if server.redirect:
            proofs.append(_plain(server.link, "redirect", server.redirect, 421))
    proofs += [_challenges(prepared, address) for address in plan.challenges]
    return tuple(await asyncio.gather(*proofs))


async def _until_seen(
    target: Target, request: HttpRequest | None, *, first_read: float = 0.0
) -> Observation:
    """The first observation that reached the listener, or the last one."""
    for attempt in range(_ATTEMPTS):
        observation = await observe(
            target, request=request, timeout=_TIMEOUT_SECONDS, first_read=first_read
        )
        if observation.failure is None or attempt == _ATTEMPTS - 1:
            return observation
        await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError("unreachable")


async def _egress(server: EgressServer, *, http1_on_grpc: bool) -> Proof:
    asks = server.hosts != ("*",) and (not server.grpc or http1_on_grpc)
    request = HttpRequest(path="/", host=_FOREIGN_HOST) if asks else None
    observation = await _until_seen(reachable(server.listen, tls=False), request)
    where = str(server.listen)
    if not asks:
        ok = observation.failure is None
        return Proof(server.link, where, "egress", ok, "connected" if ok else _why(observation))
    answer = observation.answer
    ok = (
        answer is not None
        and answer.status == 421
        and answer.header("X-Handclasp-Link") == server.link
    )
    if ok:
        return Proof(server.link, where, "egress", ok, "answers")
    if answer is not None:
        seen = f"somebody else answers there (HTTP {answer.status})"
        return Proof(server.link, where, "egress", ok, seen)
    return Proof(server.link, where, "egress", ok, _why(observation))


async def _ingress(
    server: IngressServer,
    address: ListenAddress,
    leaves: Mapping[str, str],
    *,
    proxy_protocol: bool,
) -> Proof:
    name = server.server_names[0].replace("*.", "handclasp-proof.", 1)
    observation = await _until_seen(
        reachable(address, server_name=name, proxy_protocol=proxy_protocol), None
    )
    peer = observation.peer
    ok = peer is not None and peer.sha256 == leaves.get(server.identity)
    if ok:
        seen = f"{observation.protocol} handshake as {name}"
    elif peer is not None:
        seen = f"another certificate is served there (SHA-256 {peer.sha256[:16]}…)"
    else:
        seen = _why(observation)
    return Proof(server.link, str(address), "ingress", ok, seen)


async def _plain(link: str, kind: str, address: ListenAddress, status: int) -> Proof:
    request = HttpRequest(path="/healthz", host=_FOREIGN_HOST)
    observation = await _until_seen(reachable(address, tls=False), request)
    answer = observation.answer
    ok = answer is not None and answer.status == status
    return Proof(link, str(address), kind, ok, "answers" if ok else _why(observation))


async def _challenges(prepared: Prepared, address: ListenAddress) -> Proof:
    why = await unanswered(prepared, address)
    return Proof("challenges", str(address), "challenges", why is None, why or "answers")


def _why(observation: Observation) -> str:
    if observation.failure is not None:
        return observation.failure.text
    return f"HTTP {observation.answer.status}" if observation.answer else "no answer"
