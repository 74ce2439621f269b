"""A signature is verified whatever its digest: how weak that is, is a finding of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from handclasp.certs import bundles
from handclasp.certs.chain import issued_by, self_signed
from handclasp.certs.checks import Role, check_identity
from handclasp.certs.signatures import list_signed_by, signed_by_itself
from handclasp.certs.trust_checks import signed_crl
from tests import pki
from tests.certs.identities import identity, slugs, trust
from tests.certs.rewritten import MD5_RSA, SHA1_ECDSA, SHA1_RSA, SHA256_ECDSA, signed_anew
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from pathlib import Path

ROOT = pki.authority("Root")
LEAF = pki.leaf(ROOT)
FORGER = pki.key("somebody else")
RSA = pki.key("of an RSA CA", kind="rsa2048")
RSA_FORGER = pki.key("another RSA key", kind="rsa2048")


def of_root(key: object) -> x509.Certificate:
    """A certificate of the issuer's name for this key; only name and key are looked at."""
    return x509.load_der_x509_certificate(
        signed_anew(ROOT.der, key, SHA1_RSA, info=_info(key))
        if key in (RSA, RSA_FORGER)
        else ROOT.der
    )


def _info(key: object) -> bytes:
    from handclasp.certs.private_keys import spki

    return spki(key.public_key())  # type: ignore[attr-defined]


WEAK = pytest.mark.parametrize(
    ("algorithm", "key", "forger"),
    [
        (SHA1_ECDSA, ROOT.private_key, FORGER),
        (SHA1_RSA, RSA, RSA_FORGER),
        (MD5_RSA, RSA, RSA_FORGER),
    ],
    ids=["ecdsa-sha1", "rsa-sha1", "rsa-md5"],
)


@WEAK
def test_a_certificate_under_a_weak_digest_is_that_of_the_key_that_signed_it(
    algorithm, key, forger
) -> None:
    bare = _without_identifiers()
    issuer = of_root(key)
    made = x509.load_der_x509_certificate(signed_anew(bare, key, algorithm))
    assert issued_by(made, issuer)
    forged = x509.load_der_x509_certificate(signed_anew(bare, forger, algorithm))
    assert not issued_by(forged, issuer)
    mixed = x509.load_der_x509_certificate(signed_anew(bare, key, algorithm, inside=SHA256_ECDSA))
    assert not issued_by(mixed, issuer)


@WEAK
def test_a_list_and_a_request_under_a_weak_digest_too(algorithm, key, forger) -> None:
    crl = pki.der_from_pem(pki.crl(ROOT))
    public = key.public_key()
    assert list_signed_by(x509.load_der_x509_crl(signed_anew(crl, key, algorithm)), public)
    assert not list_signed_by(x509.load_der_x509_crl(signed_anew(crl, forger, algorithm)), public)
    request = pki.der_from_pem(pki.request(pki.Pair(ROOT.certificate, key)))
    made = signed_anew(request, key, algorithm)
    assert signed_by_itself(x509.load_der_x509_csr(made)) is True
    forged = signed_anew(request, forger, algorithm)
    assert signed_by_itself(x509.load_der_x509_csr(forged)) is False


def test_a_key_that_cannot_sign_has_signed_nothing() -> None:
    from cryptography.hazmat.primitives.asymmetric import x25519

    crl = signed_anew(pki.der_from_pem(pki.crl(ROOT)), ROOT.private_key, SHA1_ECDSA)
    public = x25519.X25519PrivateKey.generate().public_key()
    assert not list_signed_by(x509.load_der_x509_crl(crl), public)


def test_a_root_that_signed_itself_with_sha_1_is_a_root() -> None:
    root = x509.load_der_x509_certificate(signed_anew(ROOT.der, ROOT.private_key, SHA1_ECDSA))
    assert self_signed(root)
    forged = x509.load_der_x509_certificate(signed_anew(ROOT.der, FORGER, SHA1_ECDSA))
    assert not self_signed(forged)


@needs_openssl
def test_a_weak_digest_is_the_one_thing_said_of_a_chain_as_openssl_has_it(tmp_path: Path) -> None:
    weak = pki.Pair(
        x509.load_der_x509_certificate(signed_anew(LEAF.der, ROOT.private_key, SHA1_ECDSA)),
        LEAF.private_key,
        LEAF.issuers,
    )
    for name, pair in (("root.pem", ROOT), ("leaf.pem", weak)):
        (tmp_path / name).write_bytes(pair.pem)
    verify = ("verify", "-CAfile", tmp_path / "root.pem", tmp_path / "leaf.pem")
    assert b"OK" in openssl(*verify[:1], "-auth_level", "0", *verify[1:])
    assert b"OK" not in openssl(*verify[:1], "-auth_level", "1", *verify[1:], ok=False)
    findings = check_identity(identity(weak), role=Role.CLIENT, now=pki.NOW, trust=trust(ROOT))
    assert slugs(findings) == ["digest-too-weak"]
    made = bundles.bundle([weak.certificate, ROOT.certificate])
    assert made is not None
    assert (made.root, made.gap) == (ROOT.certificate, False)


def test_a_list_signed_with_sha_1_is_its_cas() -> None:
    crl = signed_anew(pki.der_from_pem(pki.crl(ROOT)), ROOT.private_key, SHA1_ECDSA)
    assert signed_crl(ROOT.certificate, x509.load_der_x509_crl(crl))


def _without_identifiers() -> bytes:
    """A leaf whose authority key identifier says nothing of the key, so that any may have signed it."""
    pem = pki.certificate_for(LEAF.private_key.public_key(), "svc", issuer=ROOT)
    return pki.der_from_pem(pem)
