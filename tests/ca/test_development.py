"""A development CA's certificates: extensions as RFC 5280 wants them, and OpenSSL agrees."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from handclasp.ca.development import (
    LEAF_LIFETIME,
    ROOT_LIFETIME,
    Issued,
    Use,
    Validity,
    issue,
    make_root,
)
from tests.openssl import needs_openssl, openssl
from tests.pki import NOW

if TYPE_CHECKING:
    from pathlib import Path

CURRENT = Validity.starting(NOW, LEAF_LIFETIME)


@pytest.fixture(scope="module")
def root() -> Issued:
    return make_root("Test development CA", Validity.starting(NOW, ROOT_LIFETIME))


def _write(folder: Path, name: str, issued: Issued) -> Path:
    path = folder / f"{name}.pem"
    path.write_bytes(issued.certificate_pem())
    return path


def test_the_root_signs_leaves_and_nothing_else(root: Issued) -> None:
    extensions = root.certificate.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (
        True,
        True,
        False,
    )
    root.certificate.verify_directly_issued_by(root.certificate)


@pytest.mark.parametrize(
    ("use", "purposes"),
    [
        (Use.CLIENT, {ExtendedKeyUsageOID.CLIENT_AUTH}),
        (Use.SERVER, {ExtendedKeyUsageOID.SERVER_AUTH}),
        (Use.BOTH, {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}),
    ],
)
def test_a_leaf_serves_its_use_only(
    root: Issued, use: Use, purposes: set[x509.ObjectIdentifier]
) -> None:
    leaf = issue(root, "svc-b", use, CURRENT, names=["svc-b.internal"]).certificate
    found = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(found) == purposes
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign) == (True, False)


def test_a_leaf_names_its_issuer_by_key(root: Issued) -> None:
    leaf = issue(root, "svc-b", Use.CLIENT, CURRENT).certificate
    above = root.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority.key_identifier == above.digest
    leaf.verify_directly_issued_by(root.certificate)


def test_names_become_alternative_names_of_their_kind(root: Issued) -> None:
    names = ["a.example", "192.0.2.1", "2001:db8::1", "spiffe://example.org/a"]
    leaf = issue(root, "a", Use.SERVER, CURRENT, names=names).certificate
    assert list(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == [
        x509.DNSName("a.example"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
        x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
        x509.UniformResourceIdentifier("spiffe://example.org/a"),
    ]


@pytest.mark.parametrize("use", [Use.SERVER, Use.BOTH])
def test_a_server_without_a_name_is_not_issued(root: Issued, use: Use) -> None:
    with pytest.raises(ValueError, match="needs a name"):
        issue(root, "a", use, CURRENT)


def test_certificates_begin_before_now_for_clocks_that_are_behind() -> None:
    assert CURRENT.begin < NOW
    assert CURRENT.end == NOW + LEAF_LIFETIME


def test_keys_are_p256_and_do_not_print(root: Issued) -> None:
    key = root.key.reveal()
    assert isinstance(key.curve, ec.SECP256R1)
    assert "PRIVATE KEY" not in repr(root) + str(root.key_pem())


def test_serials_and_keys_differ(root: Issued) -> None:
    one, other = (issue(root, "svc-b", Use.CLIENT, CURRENT) for _ in range(2))
    assert one.certificate.serial_number != other.certificate.serial_number
    assert one.key.reveal().public_key() != other.key.reveal().public_key()


@needs_openssl
def test_openssl_accepts_a_leaf_for_its_use_and_for_no_other(root: Issued, tmp_path: Path) -> None:
    ca = _write(tmp_path, "ca", root)
    leaf = _write(tmp_path, "leaf", issue(root, "svc-b", Use.CLIENT, CURRENT))
    verify: list[str | Path] = ["verify", "-x509_strict", "-CAfile", ca, "-purpose"]
    assert b": OK" in openssl(*verify, "sslclient", leaf)
    assert b": OK" not in openssl(*verify, "sslserver", leaf, ok=False)


@needs_openssl
def test_openssl_refuses_a_leaf_of_another_root_and_one_past_its_time(
    root: Issued, tmp_path: Path
) -> None:
    ca = _write(tmp_path, "ca", root)
    other = make_root("Test development CA", Validity.starting(NOW, ROOT_LIFETIME))
    past = Validity(begin=NOW - timedelta(days=2), end=NOW - timedelta(days=1))
    stranger = _write(tmp_path, "stranger", issue(other, "svc-b", Use.CLIENT, CURRENT))
    expired = _write(tmp_path, "expired", issue(root, "svc-b", Use.CLIENT, past))
    for leaf in (stranger, expired):
        assert b": OK" not in openssl("verify", "-CAfile", ca, leaf, ok=False)
