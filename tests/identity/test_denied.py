"""Certificates denied before they expire."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from handclasp.identity.denied import (
    Denied,
    body_digest,
    denied_by,
    denied_certificate,
    denied_serial,
    listed_by,
)
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


def test_lists_are_kept_apart_and_never_copied() -> None:
    pair = pki.leaf(issuing(), "a")
    first, second = (pki.crl(issuing(), [pair], number=number) for number in (1, 2))
    one, other = (listed_by([x509.load_pem_x509_crl(crl)]) for crl in (first, second))
    whole = denied_certificate("aa" * 32) | one
    assert next(iter(whole.listed)) is next(iter(one.listed))
    assert whole.holds(caller("a", serial=pair.certificate.serial_number))
    assert whole.digest() != one.digest()
    assert one.digest() == other.digest(), "a new list of the same certificates is no other policy"
    assert one.digest() != Denied().digest() == (Denied() | Denied()).digest()


@pytest.mark.parametrize(
    "other",
    [
        Denied(bodies=frozenset(["aa" * 32])),
        Denied(authorities=frozenset([issuing().certificate])),
        denied_serial("CN=a", 1),
    ],
)
def test_all_that_is_denied_counts_for_the_policy(other: Denied) -> None:
    told = denied_certificate("aa" * 32)
    assert len({Denied().digest(), told.digest(), other.digest(), (told | other).digest()}) == 4


def test_a_ca_that_a_list_names_is_refused_but_not_denied() -> None:
    authority = pki.authority("Lower", issuer=issuing())
    listed = listed_by([x509.load_pem_x509_crl(pki.crl(issuing(), [authority]))])
    assert listed.holds_authority(authority.certificate)
    assert not listed.denies_authority(authority.certificate)
    digest = Denied(bodies=frozenset([body_digest(authority.certificate)]))
    assert digest.denies_authority(authority.certificate)


def entry(serial: int, *extensions: x509.ExtensionType) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.build()


@pytest.mark.parametrize("indirect", [True, False])
def test_entries_take_back_a_hold_and_of_an_indirect_list_may_name_another_issuer(
    indirect: bool,
) -> None:
    """RFC 5280 sections 5.3.1, 5.3.3 and 5.2.5."""
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
    if indirect:
        point = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
        builder = builder.add_extension(point, critical=True)
    denied = denied_by([builder.sign(issuing().private_key, hashes.SHA256())])
    assert {serial for _, serial in denied.serials} == {1, 3, 4}
    assert denied.holds(caller(serial=1))
    assert not denied.holds(caller(serial=2))
    assert denied == denied | Denied()
    for serial in (3, 4):
        assert (denied_serial("CN=Foreign CA", serial).serials <= denied.serials) == indirect
        assert denied.holds(caller(serial=serial)) != indirect, "a CA speaks for itself alone"
