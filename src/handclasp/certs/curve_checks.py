"""Elliptic curves that peers do not take: not among those they offer, or written out in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from handclasp.certs import algorithms, facts
from handclasp.certs.chain import self_signed
from handclasp.certs.security_level import UNKNOWN_PEER, Peer
from handclasp.findings import Finding, Severity, Where, found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509

# For what is named in a certificate: supported_groups_default of OpenSSL (ssl/t1_lib.c), 1.1.1 to 3.5.
_OFFERED = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_OFFERED_BY_ALL = frozenset({"secp256r1", "secp384r1"})
_OPENSSL_NAMES = {"secp256r1": {"prime256v1", "P-256"}, "secp521r1": {"P-521"}}
_BRAINPOOL = frozenset({"brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"})
_OPENSSL_3, _BRAINPOOL_IN_TLS13 = (3, 0), (3, 2)


def check_curve(
    certificate: x509.Certificate,
    *,
    where: Where,
    groups: Sequence[str] = (),
    peer: Peer = UNKNOWN_PEER,
) -> list[Finding]:
    """The curve of a leaf, in either role. TLS 1.3 has no signature for any but three (RFC 8446, 4.2.3), and
    those of RFC 8734 for brainpool; in TLS 1.2 it must be among the peer's groups (RFC 8422, 5.1), of which
    `groups` are known.
    """
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return []
    curve = key.curve.name
    if curve in _OFFERED_BY_ALL or {curve, *_OPENSSL_NAMES.get(curve, ())} & set(groups):
        return []
    name = f"the certificate {facts.label(certificate)}"
    if curve in _OFFERED:
        seen = (
            f"the key of {name} is on {curve}, which peers with the groups X25519, P-256 and P-384 alone, "
            "as those of handclasp's profiles, take in TLS 1.3 but not in TLS 1.2"
        )
        return [found("curve-not-offered", seen, where=where, severity=Severity.INFO)]
    if curve in _BRAINPOOL:
        seen = (
            f"the key of {name} is on {curve}, which works in TLS 1.3 between OpenSSL 3.2 and newer, and in "
            "TLS 1.2 only with a peer that was told to offer this curve"
        )
        old = peer.release is not None and peer.release < _BRAINPOOL_IN_TLS13
        severity = Severity.ERROR if old else Severity.WARNING
        return [found("curve-not-offered", seen, where=where, severity=severity)]
    seen = (
        f"the key of {name} is on {curve}: OpenSSL has no signature of TLS 1.3 for it, and in TLS 1.2 only "
        "a peer takes it that was told to offer this curve"
    )
    return [found("curve-not-offered", seen, where=where)]


def check_parameters(
    certificate: x509.Certificate,
    *,
    where: Where,
    what: str,
    peer: Peer = UNKNOWN_PEER,
    severity: Severity | None = None,
) -> list[Finding]:
    """A curve that is written out: OpenSSL refuses it from 3.0 on, in leaf and CA (error 94, check_curve in
    crypto/x509/x509_vfy.c), but not where a self-signed certificate is the whole chain.

    `what` is "certificate", "intermediate" or "CA".
    """
    if not algorithms.explicit_curve(certificate):
        return []
    alone = what == "certificate" and self_signed(certificate)
    old = peer.release is not None and peer.release < _OPENSSL_3
    told = (
        "Go and Java refuse it, OpenSSL takes it because it is self-signed"
        if alone
        else "Go, Java and OpenSSL from 3.0 on refuse it"
    )
    seen = (
        f"the curve of the {what} {facts.label(certificate)} is written out (explicit parameters), not "
        f"named: {told}"
    )
    severity = Severity.WARNING if alone or old else severity
    return [found("explicit-ec-parameters", seen, where=where, severity=severity)]
