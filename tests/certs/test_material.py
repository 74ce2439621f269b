"""What is staged is canonical PEM, and the same material has the same fingerprint."""

from __future__ import annotations

import ssl
from pathlib import PurePath
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from handclasp.certs.material import IdentityMaterial, Material, TrustMaterial
from handclasp.certs.private_keys import spki
from handclasp.errors import InternalFault
from tests import pki
from tests.certs.identities import identity, trust
from tests.certs.plain_nginx import refusal, serving, status
from tests.certs.rewritten import for_pss_alone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROOT = pki.authority("Root")
MIDDLE = pki.authority("Middle", issuer=ROOT)
LEAF = pki.leaf(MIDDLE)


def test_an_identity_stages_leaf_intermediates_and_a_plain_key() -> None:
    ours = identity(LEAF)
    assert ours.usable
    assert ours.certificate_pem() == LEAF.pem + MIDDLE.pem
    staged = load_pem_private_key(ours.key_pem().reveal(), None)
    assert spki(staged.public_key()) == spki(LEAF.private_key.public_key())
    assert ours.key_pem().reveal().startswith(b"-----BEGIN PRIVATE KEY-----")


def test_the_fingerprint_is_of_what_is_staged_and_nothing_else() -> None:
    ours = identity(LEAF)
    assert ours.fingerprint() == identity(LEAF, chain=[ROOT, MIDDLE]).fingerprint()
    others = [
        identity(LEAF, chain=[]),
        identity(LEAF, key=pki.leaf(MIDDLE, "other")),
        identity(pki.leaf(MIDDLE)),
    ]
    assert ours.fingerprint() not in {other.fingerprint() for other in others}
    assert len(ours.fingerprint()) == 64


def test_the_fingerprint_of_trust_covers_anchors_and_crls() -> None:
    crl = pki.crl(ROOT)
    bundles = [trust(ROOT), trust(ROOT, MIDDLE), trust(ROOT, crls=[crl])]
    assert len({bundle.fingerprint() for bundle in bundles}) == 3
    assert trust(ROOT, crls=[crl]).fingerprint() == trust(ROOT, crls=[crl]).fingerprint()


def test_trust_stages_its_anchors_and_no_crl_file_when_it_has_none() -> None:
    assert trust(ROOT, MIDDLE).bundle_pem() == ROOT.pem + MIDDLE.pem
    assert trust(ROOT).crl_pem() is None
    assert trust(ROOT, crls=[pki.crl(ROOT)]).crl_pem().startswith(b"-----BEGIN X509 CRL-----")  # type: ignore[union-attr]


def test_a_public_bundle_keeps_its_bytes_and_parses_them_for_who_asks() -> None:
    public = TrustMaterial(name="web", public=True, raw=ROOT.pem + MIDDLE.pem)
    assert public.anchors == ()
    assert public.bundle_pem() == ROOT.pem + MIDDLE.pem
    assert public.all_anchors() == (ROOT.certificate, MIDDLE.certificate)


def test_nothing_usable_is_not_staged() -> None:
    empty = IdentityMaterial(name="x", certificate_file=PurePath("c"), key_file=PurePath("k"))
    assert not empty.usable
    for stage in (empty.certificate_pem, empty.key_pem, empty.fingerprint, trust().bundle_pem):
        with pytest.raises(InternalFault, match="to stage"):
            stage()


def test_material_lists_the_findings_of_all_it_holds() -> None:
    from handclasp.findings import found

    finding = found("trust-bundle-empty", "nothing in it")
    broken = TrustMaterial(name="t", findings=(finding,))
    material = Material(identities={"a": identity(LEAF)}, trust={"t": broken})
    assert material.findings() == (finding,)


def test_no_repr_shows_a_key() -> None:
    shown = repr(Material(identities={"a": identity(LEAF)}))
    assert "***" in shown
    for line in LEAF.key_pem.splitlines()[1:-1]:
        assert line.decode() not in shown


RSA = pki.leaf(MIDDLE, "rsa", key_kind="rsa2048", sans=["localhost"], usages=(pki.SERVER,))


def test_the_key_of_an_rsa_pss_certificate_is_staged_as_openssl_wants_it_and_nginx_serves_it(
    tmp_path: Path, nginx_build: Path, free_port: Callable[[], int]
) -> None:
    ours = identity(for_pss_alone(RSA, MIDDLE))
    certificate, key = tmp_path / "staged.pem", tmp_path / "staged.key"
    certificate.write_bytes(ours.certificate_pem())
    key.touch(mode=0o600)
    key.write_bytes(ours.key_pem().reveal())
    (tmp_path / "root.pem").write_bytes(ROOT.pem)
    directives = f"ssl_certificate {certificate}; ssl_certificate_key {key};"
    port = free_port()
    with serving(nginx_build, tmp_path, port, directives):
        for version in ("TLSv1_2", "TLSv1_3"):
            assert status(port, root=tmp_path / "root.pem", version=version) == 200
    key.write_bytes(
        RSA.key_pem
    )  # the same numbers, as a plain RSA key: nginx starts, and that is all
    assert refusal(nginx_build, tmp_path, directives) == ""
    with (
        serving(nginx_build, tmp_path, port := free_port(), directives),
        pytest.raises(ssl.SSLError, match="alert"),
    ):
        status(port, root=tmp_path / "root.pem")


def test_a_key_that_says_rsa_pss_is_staged_plain_for_a_plain_certificate() -> None:
    """And an RSA-PSS one keeps its numbers: what is staged is read back."""
    plain = load_pem_private_key(identity(RSA).key_pem().reveal(), None)
    pss = load_pem_private_key(identity(for_pss_alone(RSA, MIDDLE)).key_pem().reveal(), None)
    assert spki(plain.public_key()) == spki(pss.public_key())
    assert identity(RSA).key_pem().reveal() == RSA.key_pem
    assert identity(for_pss_alone(RSA, MIDDLE)).key_pem().reveal() != RSA.key_pem
