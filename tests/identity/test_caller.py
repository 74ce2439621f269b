"""What is read of a certificate, and what is refused as none."""

from __future__ import annotations

import base64
from dataclasses import replace
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from handclasp.identity.caller import (
    UnreadableCertificateError,
    certificate_from_escaped,
    read_caller,
)
from handclasp.identity.encoders import encode
from handclasp.identity.names import read_name
from tests import pki
from tests.identity.specimens import holds, issuing

PAIR = pki.leaf(issuing(), "a", sans=["dns:a.example", "uri:spiffe://example.org/a"])
ESCAPED = quote(PAIR.pem, safe="")


def test_what_nginx_hands_on_is_read() -> None:
    assert certificate_from_escaped(ESCAPED) == PAIR.certificate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NONE",
        PAIR.pem.decode(),
        ESCAPED + "%0A" + ESCAPED,
        ESCAPED + ESCAPED,
        "x" + ESCAPED,
        ESCAPED.replace("%20", "+"),
        quote(ESCAPED, safe=""),
        ESCAPED[:200],
        quote("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", safe=""),
        quote(PAIR.key_pem, safe=""),
        quote(issuing().pem + PAIR.pem, safe=""),
    ],
)
def test_anything_but_one_escaped_certificate_is_refused(text: str) -> None:
    with pytest.raises(UnreadableCertificateError):
        certificate_from_escaped(text)


@given(
    text=st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda b: quote(b, safe="")))
)
def test_nothing_else_is_ever_raised(text: str) -> None:
    """Any text is a certificate or UnreadableCertificateError."""
    with pytest.raises(UnreadableCertificateError):
        certificate_from_escaped(text)


def test_the_facts_are_the_certificates() -> None:
    who = read_caller(PAIR.certificate)
    assert who.subject == "CN=a,O=Example Org"
    assert who.alternative_names("dns") == ("a.example",)
    assert who.spiffe_id == "spiffe://example.org/a"
    assert (who.serial, who.is_ca, who.chain) == (PAIR.certificate.serial_number, False, None)


def test_a_certificate_whose_extensions_cannot_be_read_is_refused() -> None:
    """Taken as one without SANs it could pass for an ordinary one."""
    broken = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\x82\x05a")
    pair = pki.with_extension(pki.leaf(issuing(), "a"), issuing(), broken)
    with pytest.raises(UnreadableCertificateError):
        read_caller(pair.certificate)


def test_a_name_that_is_no_text_has_no_structure_and_no_rule_on_the_subject_holds() -> None:
    """Half of a surrogate pair in a BMPString: OpenSSL prints it, as bytes that are not UTF-8."""
    attribute = x509.NameAttribute(NameOID.COMMON_NAME, "a𝄞", _type=_ASN1Type.BMPString)
    who = read_caller(pki.leaf(issuing(), subject=x509.Name([attribute])).certificate)
    assert who.name is None
    for rule in ("cn:a𝄞", "ou:a", "dn:CN=a𝄞"):
        assert not holds(rule, who)
    assert holds(f"sha256:{who.sha256}", who)


def test_a_second_cn_in_a_type_that_is_no_string_still_counts() -> None:
    who = replace(read_caller(PAIR.certificate), name=read_name("CN=a,CN=#0401AA"))
    assert not holds("cn:a", who)


def test_a_serial_that_rfc_5280_forbids_is_read_without_a_warning() -> None:
    """nginx lets such certificates in; the library warns of them."""
    der = pki.leaf(issuing(), "a", serial=1).der
    zero = der.replace(b"\xa0\x03\x02\x01\x02\x02\x01\x01", b"\xa0\x03\x02\x01\x02\x02\x01\x00", 1)
    assert zero != der
    armoured = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(zero).decode()}-----END CERTIFICATE-----\n"
    who = read_caller(certificate_from_escaped(quote(armoured, safe="")))
    assert who.serial == 0
    assert dict(encode("x-client-cert", who))["X-Client-Serial"] == "00"
