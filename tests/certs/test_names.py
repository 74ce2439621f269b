"""Which names a certificate covers, compared with OpenSSL's own answer."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from handclasp.certs.names import Coverage, coverage, covers, matches, subject_alt_names
from tests import pki
from tests.openssl import needs_openssl, openssl

ROOT = pki.authority("Root")

CASES = [
    ("a.example.com", "a.example.com", True),
    ("a.example.com", "A.Example.COM", True),
    ("*.example.com", "a.example.com", True),
    ("*.example.com", "a.b.example.com", False),
    ("*.example.com", "example.com", False),
    ("*.example.com", ".example.com", False),
    ("*.com", "example.com", False),
    ("a.*.com", "a.example.com", False),
    ("*", "example", False),
    ("*.example.com", "xn--a.example.com", True),
    ("a.example.com", "b.example.com", False),
    ("a.example.com", "xa.example.com", False),
]


@needs_openssl
@pytest.mark.parametrize(("pattern", "name", "covered"), CASES)
def test_dns_names_match_as_in_openssl(pattern: str, name: str, covered: bool) -> None:
    cert = pki.leaf(ROOT, "cn", sans=[f"dns:{pattern}"])
    assert matches(pattern, name) is covered
    assert covers(cert.certificate, name) is covered
    if not name.startswith("."):  # OpenSSL takes a leading dot as "any subdomain"
        answer = openssl("x509", "-noout", "-checkhost", name, stdin=cert.pem, ok=False)
        assert (b"does match" in answer) is covered


def test_a_partial_wildcard_is_refused_although_openssl_alone_takes_it() -> None:
    assert not matches("f*.example.com", "foo.example.com")


def test_a_trailing_dot_of_the_name_is_ignored() -> None:
    assert matches("a.example.com", "a.example.com.")


def test_a_wildcard_server_name_is_covered_by_the_same_wildcard_only() -> None:
    assert matches("*.example.com", "*.example.com")
    assert not matches("a.example.com", "*.example.com")
    assert not matches("*.b.example.com", "*.a.b.example.com")


@needs_openssl
@pytest.mark.parametrize("sans", [[], ["ip:192.0.2.1"], ["uri:spiffe://x/y"], ["dns:other"]])
def test_the_common_name_counts_only_without_dns_sans_as_in_openssl(sans: list[str]) -> None:
    cert = pki.leaf(ROOT, "a.example.com", sans=sans)
    answer = openssl("x509", "-noout", "-checkhost", "a.example.com", stdin=cert.pem, ok=False)
    accepted = b"does match" in answer
    assert accepted is (sans != ["dns:other"])
    expected = Coverage.COMMON_NAME if accepted else Coverage.NONE
    assert coverage(cert.certificate, "a.example.com") is expected


def test_addresses_match_ip_sans_only_and_an_address_as_dns_name_is_told() -> None:
    good = pki.leaf(ROOT, "x", sans=["ip:192.0.2.1", "ip:2001:db8::1"]).certificate
    assert covers(good, "192.0.2.1")
    assert covers(good, "[2001:db8:0::1]")
    assert not covers(good, "192.0.2.2")
    wrong = pki.leaf(ROOT, "x", sans=["dns:192.0.2.1"]).certificate
    assert coverage(wrong, "192.0.2.1") is Coverage.IP_AS_DNS
    assert coverage(wrong, "192.0.2.2") is Coverage.NONE
    assert coverage(pki.leaf(ROOT, "192.0.2.1").certificate, "192.0.2.1") is Coverage.NONE


def test_alternative_names_come_as_typed_text_in_order() -> None:
    sans = ("uri:spiffe://example.org/svc", "dns:a.b", "ip:::1", "email:a@b.c")
    assert subject_alt_names(pki.leaf(ROOT, sans=sans).certificate) == sans
    assert subject_alt_names(pki.leaf(ROOT).certificate) == ()


def test_rarer_alternative_names_are_typed_too() -> None:
    names = [
        x509.DirectoryName(pki.dn("x", None)),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
        x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01a"),
    ]
    key = pki.key("names")
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(pki.dn("x"))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    assert subject_alt_names(request) == (
        "dirname:CN=x",
        "rid:1.2.3",
        "other:1.3.6.1.4.1.311.20.2.3",
    )
