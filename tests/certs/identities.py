"""Identities and trust bundles as values, made from the test PKI without touching files."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from handclasp.certs.chain import order
from handclasp.certs.der import BIT_STRING, CONTEXT_0, SEQUENCE, children, read_element
from handclasp.certs.material import IdentityMaterial, TrustMaterial
from handclasp.certs.secret import Secret
from tests import pki

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.findings import Finding, Severity


def identity(
    pair: pki.Pair,
    *,
    chain: Sequence[pki.Pair] | None = None,
    key: pki.Pair | None = None,
    encrypted: bool = False,
) -> IdentityMaterial:
    """`pair` with its intermediates, or with exactly `chain` (in any order) beside the leaf."""
    above = pair.issuers[:-1] if chain is None else chain
    bag = [pair.certificate, *(issuer.certificate for issuer in above)]
    owner = (key or pair).private_key
    ordered = order(bag, key=pair.private_key.public_key())
    assert ordered is not None
    return IdentityMaterial(
        name="svc-b",
        certificate_file=PurePath("svc-b.pem"),
        key_file=PurePath("svc-b.key"),
        leaf=ordered.leaf,
        chain=ordered.chain,
        root=ordered.root,
        unlinked=ordered.unlinked,
        key=Secret(owner),
        encrypted=encrypted,
    )


def trust(*anchors: pki.Pair, crls: Sequence[bytes] = ()) -> TrustMaterial:
    """A bundle whose n-th anchor came from `n.pem` and n-th CRL from `n.crl`."""
    return TrustMaterial(
        name="company",
        files=tuple(PurePath(f"{n}.pem") for n in range(len(anchors))),
        anchors=tuple(anchor.certificate for anchor in anchors),
        anchor_files=tuple(PurePath(f"{n}.pem") for n in range(len(anchors))),
        crls=tuple(x509.load_pem_x509_crl(crl) for crl in crls),
        crl_files=tuple(PurePath(f"{n}.crl") for n in range(len(crls))),
    )


def version_1(pair: pki.Pair) -> pki.Pair:
    """`pair` without version and extensions, signed anew by its issuer.

    Neither cryptography nor, from 3.4 on, the openssl command makes version 1 certificates.
    """
    signer = pair.issuers[0] if pair.issuers else pair
    assert isinstance(signer.private_key, ec.EllipticCurvePrivateKey)
    body = pair.certificate.tbs_certificate_bytes
    # RFC 5280 section 4.1: [0] is the version (absent: 1), [3] the extensions.
    kept = [
        element.whole(body)
        for element in children(body, read_element(body))
        if element.tag not in (CONTEXT_0, CONTEXT_0 + 3)
    ]
    body = _der(SEQUENCE, b"".join(kept))
    algorithm = kept[1]  # after the serial number; the outer one must equal it
    signature = signer.private_key.sign(body, ec.ECDSA(hashes.SHA256()))
    whole = _der(SEQUENCE, body + algorithm + _der(BIT_STRING, b"\0" + signature))
    certificate = x509.load_der_x509_certificate(whole)
    return pki.Pair(certificate, pair.private_key, pair.issuers)


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def slugs(findings: Sequence[Finding], severity: Severity | None = None) -> list[str]:
    return [f.slug for f in findings if severity is None or f.severity is severity]


def only(findings: Sequence[Finding]) -> Finding:
    assert len(findings) == 1, slugs(findings)
    return findings[0]
