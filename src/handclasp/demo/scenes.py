"""The request that crosses and the tries that must not, carried out and looked at from all sides (edge)."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from cryptography import x509

from handclasp.certs.dn import subject_text
from handclasp.demo.cast import CLIENT, SERVER_NAME
from handclasp.demo.naming import name_in_handshake, name_in_log
from handclasp.demo.tries import (
    HELLO,
    Outcome,
    Try,
    client_saw,
    judge_forgery,
    judge_refusal,
)
from handclasp.wire.client import observe
from handclasp.wire.observation import Target
from handclasp.wire.offer import ClientCredential, HttpRequest, TrustAnchors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.demo.stage import Stage
    from handclasp.nginx.log_tail import LogMark
    from handclasp.wire.observation import Observation

_LOG_SECONDS = 2.0
_POLL_SECONDS = 0.01
_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """One request as the application, both nginxes and the backend saw it."""

    url: str
    client_saw: str
    seconds: float
    b_logged: dict[str, str]
    a_logged: dict[str, str]
    backend_path: str
    backend_headers: tuple[tuple[str, str], ...]
    differences: tuple[str, ...]


async def cross(stage: Stage) -> Crossing:
    """The application's plain request, through B and A to the backend."""
    marks = stage.b.access_log(), stage.a.access_log()
    began = time.monotonic()
    seen = await _at_b(stage, HELLO)
    seconds = time.monotonic() - began
    b_logged, a_logged = [await _request_logged(mark) for mark in marks]
    told = _told(seen)
    headers = _headers(told)
    differences = []
    if seen.answer is None or seen.answer.status != _OK:
        differences.append(f"the application did not get its answer: {client_saw(seen)}")
    if not _is_genuine(stage, headers):
        differences.append("the backend was not told who called")
    if a_logged.get("verify") != "SUCCESS":
        differences.append(f"A did not verify B: {a_logged.get('verify', 'nothing logged')}")
    if a_logged.get("sni") != SERVER_NAME:
        differences.append(f"B asked A for {a_logged.get('sni', 'no name')}, not {SERVER_NAME}")
    return Crossing(
        url=f"http://127.0.0.1:{stage.ports.b}{HELLO}",
        client_saw=client_saw(seen),
        seconds=seconds,
        b_logged=b_logged,
        a_logged=a_logged,
        backend_path=f"{told.get('method', '-')} {told.get('path', '-')}",
        backend_headers=headers,
        differences=tuple(differences),
    )


async def carry_out(stage: Stage, attempt: Try) -> Outcome:
    """One try: what the client saw, what nginx logged, what arrived, and whether that is right."""
    log = (stage.a if attempt.door == "A" else stage.b).error_log()
    arrived_before = stage.arrived
    seen = await (_at_a(stage, attempt) if attempt.door == "A" else _at_b(stage, attempt.path))
    if attempt.forged:
        return _forgery(stage, attempt, seen)
    named, line = name_in_handshake(seen), None
    if (found := await _reason_logged(log)) is not None:
        named, line = found[0], found[1]
    return Outcome(
        attempt=attempt,
        client_saw=client_saw(seen),
        named=named,
        log_line=line,
        differences=judge_refusal(
            attempt, seen, named=named, reached=stage.arrived - arrived_before
        ),
    )


def _forgery(stage: Stage, attempt: Try, seen: Observation) -> Outcome:
    headers = _headers(_told(seen))
    differences = judge_forgery(attempt, seen, headers, genuine=_is_genuine(stage, headers))
    received = {name.lower(): value for name, value in headers}
    return Outcome(
        attempt=attempt,
        client_saw=client_saw(seen),
        named=None if differences else attempt.slug,
        arrived=tuple(
            (name, described(name, value) if (value := received.get(name.lower())) else None)
            for name, _ in attempt.forged
        ),
        differences=differences,
    )


async def _at_a(stage: Stage, attempt: Try) -> Observation:
    certificate, key = stage.certificate(attempt.certificate) if attempt.certificate else ("", "")
    # For a name that A does not serve there is nothing to verify.
    known = attempt.server_name == SERVER_NAME
    ca, _ = stage.certificate("ca")
    return await observe(
        Target(host="127.0.0.1", port=stage.ports.a, server_name=attempt.server_name),
        identity=ClientCredential(certificate=certificate, key=key) if certificate else None,
        trust=TrustAnchors(files=(ca,)) if known else None,
        verify_name=SERVER_NAME if known else None,
        request=HttpRequest(
            path=attempt.path,
            host=f"{attempt.server_name}:{stage.ports.a}",
            headers=(*attempt.forged, ("User-Agent", "handclasp-demo")),
        ),
    )


async def _at_b(stage: Stage, path: str) -> Observation:
    host = f"127.0.0.1:{stage.ports.b}"
    return await observe(
        Target(host="127.0.0.1", port=stage.ports.b, tls=False),
        request=HttpRequest(path=path, host=host, headers=(("User-Agent", "handclasp-demo"),)),
    )


async def _request_logged(mark: LogMark) -> dict[str, str]:
    """The first request of an access log since the mark; empty when there is none in time."""
    deadline = time.monotonic() + _LOG_SECONDS
    while not (lines := mark.lines()) and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
    fields: dict[str, str] = json.loads(lines[0]) if lines else {}
    return fields


async def _reason_logged(mark: LogMark) -> tuple[str, str] | None:
    """Slug and message of the line that says why; None when there is none in time."""
    deadline = time.monotonic() + _LOG_SECONDS
    while (found := name_in_log(mark.lines())) is None and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
    return (found[0], found[1].message) if found else None


def _told(seen: Observation) -> dict[str, Any]:
    """The backend's answer; empty when it is not the backend's."""
    if seen.answer is None or seen.answer.status != _OK:
        return {}
    told: dict[str, Any] = json.loads(seen.answer.body)
    return told


def _headers(told: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in told.get("headers", ()))


def _is_genuine(stage: Stage, headers: Sequence[tuple[str, str]]) -> bool:
    """Whether the backend was given B's certificate, and no other."""
    given = [value for name, value in headers if name.lower() == "x-client-cert"]
    ours = stage.cast[CLIENT].issued.certificate
    try:
        return [x509.load_pem_x509_certificate(unquote(value).encode()) for value in given] == [
            ours
        ]
    except ValueError:
        return False


def described(name: str, value: str) -> str:
    """A header's value for people: whose certificate it is, instead of the certificate."""
    if not name.lower().endswith("-cert"):
        return value
    try:
        certificate = x509.load_pem_x509_certificate(unquote(value).encode())
    except ValueError:
        return value
    return f"the certificate of {subject_text(certificate)}, URL-encoded PEM"
