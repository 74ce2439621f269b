"""Certificates denied before they expire."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from handclasp.identity.denied import Denied, denied_by, denied_certificate, denied_serial
from tests import pki
from tests.identity.specimens import NOW, caller, issuing, name


def test_a_fingerprint_denies_one_certificate() -> None:
    who, other = caller("a"), caller("a")
    denied = denied_certificate(":".join(who.sha256.upper()[i : i + 2] for i in range(0, 64, 2)))
    assert denied.holds(who)
    assert not denied.holds(other)


@pytest.mark.parametrize("text", ["", "ab", "g" * 64, "a" * 63])
def test_what_is_no_fingerprint_denies_nobody_by_mistake(text: str) -> None:
    with pytest.raises(ValueError, match="64 hex digits"):
        denied_certificate(text)


@pytest.mark.parametrize(
    "issuer",
    [
        "CN=Issuing CA\\, Europe,O=Example Org",
        "cn=issuing ca\\2C  europe , O=EXAMPLE ORG",
    ],
)
def test_a_serial_denies_with_its_issuer_however_spelt(issuer: str) -> None:
    who = caller("a", serial=77)
    assert denied_serial(issuer, 77).holds(who)
    assert not denied_serial(issuer, 78).holds(who)
    assert not denied_serial("CN=Other", 77).holds(who)


def test_a_revocation_list_denies_what_it_names() -> None:
    pair, other = pki.leaf(issuing(), "a"), pki.leaf(issuing(), "b")
    crl = x509.load_pem_x509_crl(pki.crl(issuing(), [pair]))
    denied = denied_by([crl])
    assert denied.holds(caller("a", serial=pair.certificate.serial_number))
    assert not denied.holds(caller("b", serial=other.certificate.serial_number))
    foreign = pki.authority("Foreign CA")
    assert not denied.holds(caller("a", serial=pair.certificate.serial_number, issuer=foreign))


def entry(serial: int, *extensions: x509.ExtensionType) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.build()


def test_entries_may_name_another_issuer_and_take_back_a_hold() -> None:
    """RFC 5280 sections 5.3.3 and 5.3.1."""
    foreign = name((NameOID.COMMON_NAME, "Foreign CA"))
    entries = [
        entry(1),
        entry(2, x509.CRLReason(x509.ReasonFlags.remove_from_crl)),
        entry(3, x509.CertificateIssuer([x509.DirectoryName(foreign)])),
        entry(4),
    ]
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuing().certificate.subject)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=1))
    )
    for one in entries:
        builder = builder.add_revoked_certificate(one)
    denied = denied_by([builder.sign(issuing().private_key, hashes.SHA256())])
    assert {serial for _, serial in denied.serials} == {1, 3, 4}
    assert denied.holds(caller(serial=1))
    assert not denied.holds(caller(serial=2))
    assert not denied.holds(caller(serial=3))
    assert denied == denied | Denied()
    assert denied_serial("CN=Foreign CA", 3).serials <= denied.serials
    assert denied_serial("CN=Foreign CA", 4).serials <= denied.serials
