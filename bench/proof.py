"""Before anything is measured: does this proxy do the job at all?

A proxy that skips the client certificate or forwards a forged header would look fast.
"""

from __future__ import annotations

import http.client
from urllib.parse import unquote

FORGED = "forged-by-the-benchmark"


class NotTheJobError(Exception):
    """The subject answered, but did not do what is being measured."""


def get(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """One GET to 127.0.0.1 on a connection of its own: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Connection": "close", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="backslashreplace")
    except (OSError, http.client.HTTPException) as failure:
        raise NotTheJobError(f"no answer: {type(failure).__name__}: {failure}") from failure
    finally:
        connection.close()


def prove_egress(port: int) -> str:
    """The upstream must have seen our client's name. Returns what else it saw of two requests."""
    bodies = []
    for _ in range(2):
        status, body = get(port, "/seen")
        if status != 200 or "CN=svc-b" not in body:
            raise NotTheJobError(
                f"the upstream did not see the client certificate: {status} {body!r}"
            )
        bodies.append(body)
    _subject, protocol, reused, requests = bodies[1].split("|")
    return f"{protocol}, " + (
        "pooled connection"
        if requests != "1"
        else "resumed session"
        if reused == "r"
        else "full handshake per request"
    )


def prove_ingress(pooled: int, stranger: int, *, strips: bool) -> str:
    """The backend sees the certificate and no forged header; an unknown CA's client is refused."""
    status, body = get(
        pooled,
        "/seen",
        {
            "X-Client-Cert": FORGED,
            "X-Forwarded-Client-Cert": FORGED,
            "X-SSL-Client-Verify": FORGED,
        },
    )
    certificate = unquote(body.partition("|")[0])
    if status != 200 or not ("BEGIN CERTIFICATE" in certificate or certificate.startswith("MII")):
        raise NotTheJobError(f"the backend did not see the certificate: {status} {body[:120]!r}")
    if FORGED in certificate or (strips and FORGED in body):
        raise NotTheJobError(f"a forged identity header reached the backend: {body[-120:]!r}")
    status, _ = get(stranger, "/seen")
    if status < 400:
        raise NotTheJobError(f"a client of an unknown CA was let in with {status}")
    return "certificate forwarded" + (", forged headers removed" if strips else "")
