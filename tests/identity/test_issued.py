"""Who issued a certificate, and which names are one: OpenSSL is asked whether it agrees."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from handclasp.certs.dn import issuer_text, subject_text
from handclasp.identity.issued import issued, issuer_key, signed, subject_key
from handclasp.identity.names import loose_key
from handclasp.nginx.render.denied import issuer_pattern
from tests import pki
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from pathlib import Path

UNNAMED = x509.ObjectIdentifier("1.2.3.4.5")
Part = tuple[x509.ObjectIdentifier, str, _ASN1Type]


def part(
    value: str,
    kind: _ASN1Type = _ASN1Type.UTF8String,
    oid: x509.ObjectIdentifier = NameOID.COMMON_NAME,
) -> Part:
    return oid, value, kind


def named(*parts: Part | list[Part]) -> x509.Name:
    """RDNs in certificate order, each of one attribute or of several."""
    return x509.Name(
        [
            x509.RelativeDistinguishedName(
                x509.NameAttribute(oid, value, kind)
                for oid, value, kind in (one if isinstance(one, list) else [one])
            )
            for one in parts
        ]
    )


def ca(name: x509.Name, label: str = "ca spelled") -> pki.Pair:
    """A CA of this name."""
    maker = pki.Pair(pki.authority("maker").certificate, pki.key(label))
    certificate = pki.leaf(
        pki.Pair(ca_of(name), maker.private_key),
        subject=name,
        is_ca=True,
        key_label=label,
        usages=None,
        usage=pki.key_usage(cert_sign=True, digital_signature=False),
    ).certificate
    return pki.Pair(certificate, maker.private_key)


def ca_of(name: x509.Name) -> x509.Certificate:
    """Anything whose subject is this."""
    return pki.leaf(pki.authority("maker"), subject=name).certificate


OU = NameOID.ORGANIZATIONAL_UNIT_NAME
PLAIN = named(part("Sub CA"))
SAME = [
    (PLAIN, named(part("Sub CA", _ASN1Type.PrintableString))),
    (PLAIN, named(part("Sub CA", _ASN1Type.BMPString))),
    (PLAIN, named(part("Sub CA", _ASN1Type.UniversalString))),
    (PLAIN, named(part("sub  cA"))),
    (PLAIN, named(part(" Sub CA "))),
    (PLAIN, named(part("\tSub \r\n CA\n"))),
    (named(part("#5 CA")), named(part("  #5 ca"))),
    (named(part('a, "b" + <c>; \\ d')), named(part(' A, "B" +  <C>; \\ D'))),
    (named(part("Zürich")), named(part("zürich", _ASN1Type.BMPString))),
    (named([part("b"), part("c", oid=OU)]), named([part("B  "), part("c ", oid=OU)])),
    (
        named([part("a"), part("bb", oid=OU)]),
        named([part("a  ", _ASN1Type.BMPString), part("BB", oid=OU)]),
    ),
]
UNTELLABLE = [(named(part("x", oid=UNNAMED)), named(part("X", _ASN1Type.PrintableString, UNNAMED)))]
"""One for OpenSSL and for the agent; nginx shows the bytes of a value whose type it has no name for."""
OTHER = [
    (PLAIN, named(part("SubCA"))),
    (PLAIN, named(part("Sub CB"))),
    (PLAIN, named(part("Sub CA", oid=OU))),
    (PLAIN, named(part("Sub CA"), part("Sub CA"))),
    (PLAIN, named([part("Sub CA"), part("Sub CA", oid=OU)])),
    (named(part("a.b")), named(part("a-b"))),
]


def believed(leaf: pki.Pair, authority: pki.Pair, place: Path) -> bool:
    """Whether OpenSSL finds the issuer of a leaf in this one."""
    (place / "leaf.pem").write_bytes(leaf.pem)
    (place / "ca.pem").write_bytes(authority.pem)
    options = ("-partial_chain", "-trusted", place / "ca.pem", place / "leaf.pem")
    return b"OK" in openssl("verify", *options, ok=False)


@needs_openssl
@pytest.mark.parametrize(("subject", "spelled"), [*SAME, *UNTELLABLE])
def test_names_that_openssl_takes_for_one_are_one(
    subject: x509.Name, spelled: x509.Name, tmp_path: Path
) -> None:
    authority, leaf = ca(subject), pki.leaf(ca(spelled), "svc-b")
    assert believed(leaf, authority, tmp_path)
    assert issuer_key(leaf.certificate) == subject_key(authority.certificate)
    assert issued(leaf.certificate, authority.certificate)


@pytest.mark.parametrize(("subject", "spelled"), SAME)
def test_nginx_is_given_a_pattern_for_all_of_them(subject: x509.Name, spelled: x509.Name) -> None:
    for one, other in ((subject, spelled), (spelled, subject), (subject, subject)):
        pattern = issuer_pattern(subject_text(ca(one).certificate))
        shown = issuer_text(pki.leaf(ca(other), "svc-b").certificate)
        assert re.fullmatch(pattern, shown, re.IGNORECASE)


@needs_openssl
@pytest.mark.parametrize(("subject", "spelled"), OTHER)
def test_other_names_stay_apart(subject: x509.Name, spelled: x509.Name, tmp_path: Path) -> None:
    authority, leaf = ca(subject), pki.leaf(ca(spelled), "svc-b")
    assert not believed(leaf, authority, tmp_path)
    assert not issued(leaf.certificate, authority.certificate)
    pattern = issuer_pattern(subject_text(authority.certificate))
    assert not re.fullmatch(pattern, issuer_text(leaf.certificate), re.IGNORECASE)


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_a_signature_is_verified_whatever_the_name(kind: str) -> None:
    key = pki.key("one of a kind", kind=kind)
    certificate = pki.leaf(
        pki.authority("maker"), key_label="one of a kind", key_kind=kind, is_ca=True
    ).certificate
    maker = pki.Pair(pki.authority("Another name").certificate, key)
    leaf = pki.leaf(maker, "svc-b").certificate
    assert signed(leaf, certificate)
    assert not issued(leaf, certificate), "the name is another"
    assert not signed(leaf, pki.authority("maker").certificate)


def test_another_key_identifier_is_another_key() -> None:
    leaf = pki.leaf(ca(PLAIN), "svc-b").certificate
    assert issued(leaf, ca(PLAIN).certificate)
    assert not issued(leaf, ca(PLAIN, "another").certificate)


@pytest.mark.parametrize("text", ["CN=#0C0161FF", "1.2.3.4=#13", "1.2.3.4=#0C02", "CN=#0C02C3"])
def test_bytes_that_are_no_string_keep_their_spelling(text: str) -> None:
    assert loose_key(text)
    assert loose_key(f"{text}00") != loose_key(text)
