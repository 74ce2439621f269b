"""Identities and trust bundles as values, made from the test PKI without touching files."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.certs.chain import order
from handclasp.certs.material import IdentityMaterial, TrustMaterial
from handclasp.certs.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.findings import Finding, Severity
    from tests import pki


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


def slugs(findings: Sequence[Finding], severity: Severity | None = None) -> list[str]:
    return [f.slug for f in findings if severity is None or f.severity is severity]


def only(findings: Sequence[Finding]) -> Finding:
    assert len(findings) == 1, slugs(findings)
    return findings[0]
