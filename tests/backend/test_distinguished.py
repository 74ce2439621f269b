"""Names as text: ours against the openssl command's, and compared by structure."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from handclasp.backend import IdentityError
from handclasp.backend.distinguished import SHORT_NAMES, name_of, name_text, parse_name, same_name
from tests import pki
from tests.openssl import needs_openssl, openssl

# What X.509 can hold: no half characters.
VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
TYPES = st.sampled_from([oid for oid in SHORT_NAMES if oid != "2.5.4.6"])
NAMES = st.lists(st.lists(st.tuples(TYPES, VALUES), min_size=1, max_size=3), max_size=4)


def name(parts: list[list[tuple[str, str]]]) -> x509.Name:
    rdns = []
    for rdn in parts:
        attributes = {
            (oid, text): x509.NameAttribute(ObjectIdentifier(oid), text, _validate=False)
            for oid, text in rdn
        }
        rdns.append(x509.RelativeDistinguishedName(attributes.values()))
    return x509.Name(rdns)


@given(NAMES)
@settings(max_examples=150, deadline=None)
def test_the_text_of_any_name_is_ascii_and_parses_back_to_it(
    parts: list[list[tuple[str, str]]],
) -> None:
    made = name(parts)
    text = name_text(made)
    assert text.isascii()
    assert text == "" or text.isprintable()
    assert same_name(parse_name(text), name_of(made))


@given(NAMES, NAMES)
@settings(max_examples=100, deadline=None)
def test_names_are_the_same_only_if_their_texts_are(
    one: list[list[tuple[str, str]]], other: list[list[tuple[str, str]]]
) -> None:
    """Texts list the attributes of one relative name in a fixed order, so one way only."""
    if name_text(name(one)) == name_text(name(other)):
        assert same_name(name_of(name(one)), name_of(name(other)))
    elif all(len(rdn) == 1 for rdn in (*one, *other)):
        assert not same_name(name_of(name(one)), name_of(name(other)))


@given(st.text(max_size=60) | st.text('CN=,+;"\\# a1F', max_size=40))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        parse_name(text)
    except IdentityError as error:
        said = str(error)
        assert said.isascii()


@needs_openssl
@pytest.mark.parametrize(
    "value",
    [
        "plain",
        " blanks at both ends ",
        "#hash",
        "#",
        'all of ,+"\\<>;= in one',
        "Jürgen 東京 \U0001f600",
        "line\nbreak\x7f",
        "x" * 64,
    ],
)
def test_the_text_is_the_one_that_openssl_prints(value: str) -> None:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Org"),
            x509.NameAttribute(NameOID.COMMON_NAME, value),
            x509.NameAttribute(ObjectIdentifier("1.2.3.4.5"), "unknown type"),
        ]
    )
    pair = pki.leaf(pki.authority(), subject=subject)
    shown = openssl("x509", "-noout", "-nameopt", "RFC2253", "-subject", stdin=pair.pem)
    text = shown.decode().removeprefix("subject=").removesuffix("\n")
    assert name_text(pair.certificate.subject) == text
    assert same_name(parse_name(text), name_of(pair.certificate.subject))


@pytest.mark.parametrize(
    "text",
    [
        "CN=svc-b,O=Example Org",
        "cn=svc-b, o=Example Org",
        'CN="svc-b",O="Example Org"',
        "2.5.4.3=svc-b,OID.2.5.4.10=Example Org",
        "CN=#0C057376632D62,O=Example Org",
        "CN=\\73vc-b;O=Example\\ Org",
        "unheard-of=svc-b,O=Example Org",
    ],
)
def test_other_spellings_of_one_name_are_the_same(text: str) -> None:
    subject = pki.leaf(pki.authority()).certificate.subject
    assert same_name(parse_name(text), name_of(subject))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CN=svc-b",
        "O=Example Org,CN=svc-b",
        "CN=svc-b,O=Example Org,C=DE",
        "CN=svc-b+O=Example Org",
        "CN=Svc-b,O=Example Org",
        "OU=svc-b,O=Example Org",
        "2.5.4.4=svc-b,O=Example Org",
        "CN=svc-b\\,O=Example Org",
        "CN=svc-b\\ ,O=Example Org",
        "CN=#0C057376632D63,O=Example Org",
    ],
)
def test_other_names_are_others(text: str) -> None:
    subject = pki.leaf(pki.authority()).certificate.subject
    assert not same_name(parse_name(text), name_of(subject))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("admin", "has a part without '='"),
        ("CN=x,admin", "has a part without '='"),
        ("CN=a,", "has a part without '='"),
        ("=x", "has a part without a type"),
        ("C N=x", "has a part without a type"),
        ('CN="x', "has an open quote"),
        ('CN="x"y', "goes on after a closing quote"),
    ],
)
def test_what_is_no_name_is_refused(text: str, why: str) -> None:
    with pytest.raises(IdentityError, match=f"malformed: the distinguished name .* {why}"):
        parse_name(text)


def test_a_name_without_end_is_refused() -> None:
    with pytest.raises(IdentityError, match="oversized"):
        parse_name("CN=x," * 10000)


def test_a_blank_at_the_end_that_http_cut_off_is_put_back() -> None:
    subject = pki.leaf(pki.authority(), subject=pki.dn("x ", None)).certificate.subject
    assert same_name(parse_name(name_text(subject).rstrip(" ")), name_of(subject))
