"""Names print as OpenSSL prints them; what is printed parses back."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handclasp.certs import dn
from tests import pki
from tests.openssl import needs_openssl, openssl

# A type without length limits, so that the library does not warn of long values.
DESCRIPTION = x509.ObjectIdentifier("2.5.4.13")
# What breaks escaping: separators, edges, controls, beyond ASCII, beyond the BMP.
NASTY = st.text(
    alphabet=st.one_of(
        st.sampled_from(' #,+"\\<>;=/\t\n\x7f\x01éß日𝄞'),
        st.characters(exclude_categories=["Cs"], exclude_characters="\x00"),
    ),
    min_size=1,
    max_size=40,
)


def certificate(name: x509.Name) -> x509.Certificate:
    key = pki.key("dn")
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(pki.dn("issuer"))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(pki.NOW)
        .not_valid_after(pki.NOW)
        .sign(key, hashes.SHA256())
    )


def as_openssl(cert: x509.Certificate) -> str:
    pem = cert.public_bytes(serialization.Encoding.PEM)
    text = openssl("x509", "-noout", "-subject", "-nameopt", "RFC2253", stdin=pem)
    return text.decode("ascii").removeprefix("subject=").rstrip("\n")


def attribute(value: str, kind: _ASN1Type = _ASN1Type.UTF8String) -> x509.NameAttribute[str]:
    return x509.NameAttribute(DESCRIPTION, value, kind, _validate=False)


@needs_openssl
@settings(max_examples=60, deadline=None)
@given(NASTY)
@example("#")
@example("# x")
@example(" ")
@example(" a ")
@example("a\\")
@example("Müller, Söhne + Co <x@y>")
def test_any_value_prints_as_openssl_prints_it(value: str) -> None:
    cert = certificate(x509.Name([attribute(value)]))
    expected = as_openssl(cert)
    assert dn.subject_text(cert) == expected
    assert f"description={dn.escape_value(value)}" == expected
    assert dn.name_text(cert.subject) == expected


@needs_openssl
@settings(max_examples=20, deadline=None)
@given(st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\x00"), min_size=1))
def test_bmp_and_universal_strings_print_as_openssl_prints_them(value: str) -> None:
    for kind in (_ASN1Type.BMPString, _ASN1Type.UniversalString):
        cert = certificate(x509.Name([attribute(value, kind)]))
        assert dn.subject_text(cert) == as_openssl(cert)


@needs_openssl
def test_t61_text_is_read_as_latin_1_as_openssl_does() -> None:
    der = certificate(x509.Name([attribute("Mxller")])).public_bytes(serialization.Encoding.DER)
    # UTF8String becomes T61String (tag 20), and one letter a Latin-1 umlaut.
    cert = x509.load_der_x509_certificate(der.replace(b"\x0c\x06Mxller", b"\x14\x06M\xfcller"))
    assert dn.subject_text(cert) == as_openssl(cert) == "description=M\\C3\\BCller"


@needs_openssl
def test_several_attributes_come_most_specific_first_and_sets_are_reversed_too() -> None:
    name = x509.Name(
        [
            x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COUNTRY_NAME, "DE")]),
            x509.RelativeDistinguishedName(
                [attribute("svc"), x509.NameAttribute(NameOID.USER_ID, "7")]
            ),
            x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@b.c")]),
        ]
    )
    cert = certificate(name)
    assert dn.subject_text(cert) == as_openssl(cert)
    assert dn.subject_text(cert).endswith(",C=DE")


@needs_openssl
@pytest.mark.parametrize(
    "oid",
    ["2.5.4.5", "2.5.4.97", "0.9.2342.19200300.100.1.25", "1.3.6.1.4.1.311.60.2.1.3", "1.2.3.4.5"],
)
def test_attribute_types_are_named_as_openssl_names_them(oid: str) -> None:
    cert = certificate(x509.Name([x509.NameAttribute(x509.ObjectIdentifier(oid), "DE")]))
    assert dn.subject_text(cert) == as_openssl(cert)


def test_an_empty_name_is_empty_text() -> None:
    assert dn.subject_text(certificate(x509.Name([]))) == ""


@given(st.lists(st.lists(NASTY, min_size=1, max_size=3), min_size=1, max_size=4))
def test_text_of_a_name_parses_back_to_the_same_text(rdns: list[list[str]]) -> None:
    name = dn.DistinguishedName(
        tuple(tuple(dn.Attribute("2.5.4.11", value) for value in rdn) for rdn in rdns)
    )
    assert dn.parse(str(name)) == name


@given(st.text(max_size=60))
def test_parsing_anything_gives_a_name_or_our_error(text: str) -> None:
    try:
        name = dn.parse(text)
    except dn.DistinguishedNameError:
        return
    assert dn.parse(str(name)) == name


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("CN=svc-b,O=Example Org", "CN=svc-b,O=Example Org"),
        ("cn = svc-b , o = Example Org", "CN=svc-b,O=Example Org"),
        ("commonName=a;OU=b", "CN=a,OU=b"),
        ("CN=Müller\\, Söhne", "CN=M\\C3\\BCller\\, S\\C3\\B6hne"),
        ('CN="a, b"', "CN=a\\, b"),
        ("2.5.4.3=x", "CN=x"),
        ("OID.2.5.4.3=x", "CN=x"),
        ("CN=a+OU=b,O=c", "CN=a+OU=b,O=c"),
        ("E=a@b.c,S=Bayern", "emailAddress=a@b.c,ST=Bayern"),
        ("CN=x\\ ", "CN=x\\ "),
        ("CN=#0C0161", "CN=#0C0161"),
        ("uid=bob", "UID=bob"),
        ("CN=", "CN="),
    ],
)
def test_names_as_people_write_them_become_the_text_nginx_shows(
    written: str, canonical: str
) -> None:
    assert str(dn.parse(written)) == canonical


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("svc-b", "no '='"),
        ("XX=a", "unknown attribute type 'XX'"),
        ("CN=a,", "no '='"),
        ("CN=a\\", "ends in a backslash"),
        ('CN="a', "no closing quote"),
        ('CN="a"b', "after a closing quote"),
        ("CN=\\FF", "not UTF-8"),
        ("2.05=a", "unknown attribute type"),
    ],
)
def test_a_broken_name_is_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(dn.DistinguishedNameError, match=complaint):
        dn.parse(text)


@needs_openssl
@pytest.mark.parametrize("value", ["svc", "x" * 200])
def test_a_rule_on_an_unnamed_type_becomes_the_hex_openssl_prints(value: str) -> None:
    oid = x509.ObjectIdentifier("1.2.3.4.5")
    cert = certificate(x509.Name([x509.NameAttribute(oid, value, _ASN1Type.UTF8String)]))
    written = str(dn.parse(f"1.2.3.4.5={value}"))
    assert written == as_openssl(cert) == dn.subject_text(cert)
    assert str(dn.parse(written)) == written


def test_quoted_values_may_hold_escapes_and_blanks_around() -> None:
    assert str(dn.parse('CN= "a\\"b, " ,O="c"')) == r"CN=a\"b\,\ ,O=c"
