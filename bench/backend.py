"""`python -m bench.backend`: what the middlewares of handclasp.backend cost a request.

Median of rounds of CPU time, with the same application called without middleware taken off, as
microseconds and as a share of what is allowed: 30 µs with a certificate seen before, 300 µs with a
new one. Exit code 1 when something costs more.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import functools
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from handclasp.backend import asgi, wsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ALLOWED: Final = {"seen before": 30.0, "new": 300.0}
KEYS: Final = ("P-256", "RSA-4096")
OTHERS: Final = [(f"x-other-{number}", "value") for number in range(12)]


@functools.cache
def certificate(kind: str) -> x509.Certificate:
    """With a SPIFFE ID and four DNS names, as callers have."""
    key: Any = (
        ec.generate_private_key(ec.SECP256R1())
        if kind == "P-256"
        else rsa.generate_private_key(public_exponent=65537, key_size=4096)
    )
    name = x509.Name.from_rfc4514_string("CN=svc-b,O=Example Org")
    names = [x509.DNSName(f"svc-b-{number}.internal") for number in range(4)]
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [*names, x509.UniformResourceIdentifier("spiffe://example.org/svc-b")]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )


def headers(dialect: str, of: x509.Certificate) -> list[tuple[str, str]]:
    """The headers of one caller in `x-client-cert` or `rfc9440`."""
    if dialect == "rfc9440":
        der = of.public_bytes(serialization.Encoding.DER)
        return [("client-cert", f":{base64.b64encode(der).decode()}:")]
    pem = of.public_bytes(serialization.Encoding.PEM).decode()
    return [
        ("x-client-cert", quote(pem, safe="")),
        ("x-client-verify", "SUCCESS"),
        ("x-client-subject", of.subject.rfc4514_string()),
        ("x-client-issuer", of.issuer.rfc4514_string()),
        ("x-client-serial", f"{of.serial_number:X}"),
        ("x-client-fingerprint", of.fingerprint(hashes.SHA1()).hex()),
    ]


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    """Does nothing, so that the middleware is what is measured."""


def _wsgi(_: dict[str, Any], __: Any) -> Iterable[bytes]:
    return ()


def asgi_calls(
    told: list[tuple[str, str]], dialect: str, remembered: int | None
) -> Callable[[int], float]:
    """CPU seconds of so many calls; `remembered` None is the application alone."""
    application: Any = _asgi
    if remembered is not None:
        application = asgi.ClientIdentityMiddleware(
            _asgi, dialect=dialect, trusted_peers=["unix"], remembered=remembered
        )
    scope = {
        "type": "http",
        "client": None,
        "server": ("/run/app.sock", None),
        "headers": [(name.encode(), value.encode()) for name, value in (*OTHERS, *told)],
    }

    async def call(count: int) -> float:
        start = time.thread_time()
        for _ in range(count):
            await application(scope, None, None)
        return time.thread_time() - start

    return lambda count: asyncio.run(call(count))


def wsgi_calls(
    told: list[tuple[str, str]], dialect: str, remembered: int | None
) -> Callable[[int], float]:
    """As `asgi_calls`."""
    application: Any = _wsgi
    if remembered is not None:
        application = wsgi.ClientIdentityMiddleware(
            _wsgi, dialect=dialect, trusted_peers=["unix"], remembered=remembered
        )
    environ = {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (*OTHERS, *told)
    } | {"REMOTE_ADDR": ""}

    def call(count: int) -> float:
        start = time.thread_time()
        for _ in range(count):
            application(environ, None)
        return time.thread_time() - start

    return call


def overhead(
    make: Callable[..., Callable[[int], float]],
    dialect: str,
    key: str,
    remembered: int,
    rounds: int,
) -> float:
    """Microseconds a request, the median of rounds; both sides in turn, so that noise hits both."""
    told = headers(dialect, certificate(key))
    with_it, without = make(told, dialect, remembered), make(told, dialect, None)
    count = (2000 if remembered else 200) if rounds > 1 else 10
    with_it(10)
    return 1e6 * statistics.median((with_it(count) - without(count)) / count for _ in range(rounds))


def main(argv: Sequence[str] | None = None) -> int:
    """The table on stdout."""
    parser = argparse.ArgumentParser(prog="python -m bench.backend", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="with 1: does it work?")
    rounds = parser.parse_args(argv).rounds
    worst = 0.0
    print("| middleware | dialect | key | certificate | µs a request | of what is allowed |")
    print("|---|---|---|---|---|---|")
    for name, make in (("ASGI", asgi_calls), ("WSGI", wsgi_calls)):
        for dialect in ("x-client-cert", "rfc9440"):
            for key in KEYS:
                for state, remembered in (("seen before", 512), ("new", 0)):
                    cost = overhead(make, dialect, key, remembered, rounds)
                    share = cost / ALLOWED[state]
                    worst = max(worst, share)
                    print(f"| {name} | {dialect} | {key} | {state} | {cost:.1f} | {share:.2f} |")
    return 1 if worst > 1 else 0


if __name__ == "__main__":
    sys.exit(main())
