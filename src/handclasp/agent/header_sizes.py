"""Whether the identity headers of a usual caller fit where they have to go. Pure.

A certificate is made for it, once: 1,500 bytes of DER, as many as a company's RSA-2048 certificate with its
URLs and a few names has; larger keys take more, P-256 less. The chain is the longest that is known.
"""

from __future__ import annotations

import functools
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from handclasp.backend.dialects import DIALECTS
from handclasp.certs.counting import counted
from handclasp.findings import Finding, found
from handclasp.identity.caller import read_caller
from handclasp.identity.chain import Chain
from handclasp.identity.encoders.encode import encode, line_size
from handclasp.identity.encoders.escaping import nginx_escaped
from handclasp.identity.limits import ORDINARY_HEADERS, too_large

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handclasp.identity.limits import Excess
    from handclasp.nginx.parts import Authorizer, IngressServer
    from handclasp.spec.links import IngressLink
    from handclasp.spec.load import LoadedSpec

SAMPLE_BYTES: Final = 1500


def size_findings(
    loaded: LoadedSpec,
    link: IngressLink,
    index: int,
    server: IngressServer,
    above: Sequence[x509.Certificate],
) -> Iterator[Finding]:
    """identity-header-too-large for the agent's own bound and for backends. `above` are the intermediates."""
    if not link.forward:
        return
    caller = read_caller(sample(), chain=Chain(intermediates=tuple(above), anchor=sample()))
    by_dialect = {one.dialect: encode(one.dialect, caller) for one in link.forward}
    headers = [line for lines in by_dialect.values() for line in lines]
    usual = f"a certificate of {SAMPLE_BYTES:,} bytes"
    if above and any(name == "Client-Cert-Chain" or "Tls-Client" in name for name, _ in headers):
        usual += f" and {counted(len(above), 'CA')} above it"
    if server.authorizer is not None:
        composed = [
            line
            for dialect, lines in by_dialect.items()
            if not DIALECTS[dialect].native
            for line in lines
        ]
        told = _too_small(composed, server.authorizer, usual)
        if told is not None:
            where = loaded.where("ingress", index, "clients", "certificate_size")
            fix = "Raise `clients.certificate_size`, or forward fewer dialects."
            yield found("identity-header-too-large", told, where=where, fix=fix)
            return
    if (hop := link.original_certificate) is not None:
        headers.append((hop.to, nginx_escaped([sample()])))
        headers += [
            line for one in link.forward if one.append for line in encode(one.dialect, caller)
        ]
    excesses = too_large(headers)
    if excesses:
        total = sum(line_size(name, value) for name, value in headers)
        yield found(
            "identity-header-too-large",
            f"with {usual} the identity headers of link {link.name} have {total:,} bytes; with"
            f" {ORDINARY_HEADERS:,} for the rest of a request that is too much for the defaults of"
            f" {_servers(excesses)}",
            where=loaded.key("ingress", index, "forward"),
        )


def _too_small(composed: Sequence[tuple[str, str]], asked: Authorizer, usual: str) -> str | None:
    escaped, kept = len(nginx_escaped([sample()])), asked.certificate_size
    if escaped > kept:
        return (
            f"a certificate of {SAMPLE_BYTES:,} bytes has {escaped:,} as percent-encoded PEM, and"
            f" `certificate_size` admits {kept:,}"
        )
    size = sum(line_size(name, value) for name, value in composed)
    if size > asked.header_room:
        return (
            f"with {usual} the identity headers have {size:,} bytes, and no more than {asked.header_room:,},"
            " twice `certificate_size`, are kept: such callers would be refused"
        )
    return None


def _servers(excesses: Sequence[Excess]) -> str:
    told = []
    for one in excesses:
        bound = one.limit.line if one.header else one.limit.total
        what = f"{bound:,} a line" if one.header else f"{bound:,} in all"
        told.append(f"{one.limit.server} ({what}; {one.limit.option})")
    return ", ".join(told)


@functools.cache
def sample() -> x509.Certificate:
    """The usual certificate: always the same bytes."""
    filling = SAMPLE_BYTES
    for _ in range(4):
        made = _made(filling)
        excess = len(made.public_bytes(Encoding.DER)) - SAMPLE_BYTES
        if excess == 0:
            break
        filling -= excess
    return made


def _made(filling: int) -> x509.Certificate:
    # Ed25519 signs the same text with the same bytes each time, and costs nothing.
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Organisation"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Payments"),
            x509.NameAttribute(NameOID.COMMON_NAME, "service.payments.example.org"),
        ]
    )
    names = [
        x509.DNSName("service.payments.example.org"),
        x509.UniformResourceIdentifier("spiffe://example.org/ns/payments/sa/service"),
    ]
    noise = b"".join(
        hashlib.sha256(at.to_bytes(2, "big")).digest() for at in range(SAMPLE_BYTES // 32 + 1)
    )
    other = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.4.1.32473.1"), noise[: max(filling, 0)]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(noise[:15], "big"))
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(other, critical=False)
        .sign(key, None)
    )
