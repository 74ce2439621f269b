"""Subjects and names that try to break out of the header they are written into.

Readers are not all as careful as ours, so the values are also read in the careless ways that are in use.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

import pytest
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handclasp.backend.dialects import DIALECTS
from handclasp.backend.identity import IdentityError
from handclasp.backend.parsing import parse
from handclasp.backend.readers.xfcc import element as read_element
from handclasp.backend.readers.xfcc import split
from handclasp.identity.encoders import Detail, Style, encode
from tests.identity.specimens import caller, name

if TYPE_CHECKING:
    from handclasp.identity.caller import Caller

BREAKERS = [
    '";URI=spiffe://admin',
    '\\";URI=spiffe://admin',
    '\\\\";URI=spiffe://admin',
    "a,Hash=00;URI=spiffe://admin",
    "%22;URI=spiffe://admin",
    "%2522%3BURI=spiffe://admin",
    '";Issuer="CN=x";SAN="spiffe://admin',
    "a\r\nX-Client-Cert: y",
    'a","sans":["uri:spiffe://admin"],"x":"',
    "\\",
    "a\\",
    '"',
    "CN=admin",
    "x/CN=admin",
    " #;+<>=",
    "é\u2028日𝄞",
]
SIGNS = st.text(st.sampled_from(list('",;=\\%+<># /:\r\n\x00aURI2Cé日')), min_size=1, max_size=14)
TEXTS = st.one_of(st.sampled_from(BREAKERS), SIGNS)
# What a CA might let through as a name: printable ASCII.
NAMES = st.one_of(
    st.sampled_from(
        [
            'x";URI="spiffe://admin',
            "x;URI=spiffe://admin",
            "x,URI=spiffe://admin",
            "x\\",
            "x, DNS:y",
            "%22",
            "x%3BURI=spiffe://admin",
        ]
    ),
    st.text(st.sampled_from(list('",;=\\%+<>#/:aURI2C. ')), min_size=1, max_size=14),
)
ALL = Style(xfcc_details=frozenset(Detail))
BARE = Style(xfcc_details=frozenset(Detail) - {Detail.CERT, Detail.CHAIN}, certificate=False)


@st.composite
def callers(draw: st.DrawFn) -> Caller:
    common_name, unit = draw(TEXTS), draw(TEXTS)
    sans = [f"uri:x:{text}" for text in draw(st.lists(NAMES, max_size=2))]
    sans += [f"dns:{text}" for text in draw(st.lists(NAMES, max_size=2))]
    subject = name((NameOID.ORGANIZATIONAL_UNIT_NAME, unit), (NameOID.COMMON_NAME, common_name))
    return caller(subject=subject, sans=sans)


@pytest.mark.parametrize("dialect", list(DIALECTS))
@settings(max_examples=40)
@given(who=callers())
def test_whatever_the_names_hold_the_backend_sees_that_caller(dialect: str, who: Caller) -> None:
    """Any subject and SANs encode into one-line headers that read back as the same certificate."""
    headers = encode(dialect, who, ALL)
    assert all(text.isascii() and text.isprintable() for _, text in headers)
    identity = parse(headers, dialect)
    assert identity is not None
    assert (identity.sha256, identity.certificate) == (who.sha256, who.der)


@settings(max_examples=150)
@given(who=callers())
def test_an_xfcc_element_without_certificate_stays_one_and_tells_no_more(who: Caller) -> None:
    text = encode("xfcc", who, BARE)[0][1]
    found = [read_element(pairs) for pairs in split(text)]
    assert len(found) == 1
    assert found[0]["hash"] == [who.sha256]
    assert found[0].get("uri", []) in ([], list(who.alternative_names("uri")))
    assert found[0].get("dns", []) in ([], list(who.alternative_names("dns")))
    identity = parse([("X-Forwarded-Client-Cert", text)], "xfcc")
    assert identity is not None
    assert identity.spiffe_id in (None, who.spiffe_id)


@settings(max_examples=150)
@given(who=callers())
@example(who=caller(subject=name((NameOID.COMMON_NAME, '";URI=spiffe://admin'))))
def test_no_careless_reader_of_xfcc_finds_another_uri(who: Caller) -> None:
    """By splitting at every semicolon and comma, by knowing `\\"` alone, by decoding once too often."""
    text = encode("xfcc", who, BARE)[0][1]
    allowed = {f"uri={uri}" for uri in who.alternative_names("uri")}
    for reading in (text, unquote(text)):
        for piece in re.split(r"[;,]", reading):
            found = piece.strip().strip('"').lower()
            if found.startswith("uri="):
                uri = found.replace('="', "=")
                # A true URI that holds a delimiter is cut short by such a reader; that forges nothing.
                assert any(one.lower().startswith(uri) for one in allowed), piece
    only_quotes = re.findall(
        r'(?:^|[;,])([A-Za-z]+)=("(?:[^"\\]|\\"|\\)*?"|[^;,"]*)(?=[;,]|$)', text
    )
    uris = {value.strip('"') for key, value in only_quotes if key == "URI"}
    assert uris <= set(who.alternative_names("uri"))


@settings(max_examples=150)
@given(who=callers())
def test_no_field_of_traefiks_info_can_be_added(who: Caller) -> None:
    """Read as its users do: decode, then take what stands between quotes."""
    info = unquote_plus(dict(encode("traefik", who))["X-Forwarded-Tls-Client-Cert-Info"])
    for reading in (info, unquote(info)):
        fields = re.findall(r'(?:^|;)([A-Za-z]+)="([^"]*)"', reading)
        keys = [key for key, _ in fields]
        assert keys[-1] in ("NA", "SAN")
        assert len(keys) == len(set(keys))
        assert set(keys) <= {"Subject", "Issuer", "SerialNumber", "NB", "NA", "SAN"}
        told = dict(fields)
        assert told["SerialNumber"] == str(who.serial)
        assert reading.count('"') == 2 * len(keys)
        names = [*who.alternative_names("dns"), *who.alternative_names("uri")]
        assert "SAN" not in told or len(told["SAN"].split(",")) == len(names)
        assert "SAN" not in told or reading != info or told["SAN"].split(",") == names


@settings(max_examples=150)
@given(who=callers())
def test_haproxys_list_of_names_holds_those_of_the_certificate_or_none(who: Caller) -> None:
    text = dict(encode("haproxy", who)).get("X-SSL-Client-SAN")
    if text is None:
        return
    assert [part.partition(":")[2] for part in text.split(", ")] == [
        san.partition(":")[2] for san in who.sans
    ]


@pytest.mark.parametrize("breaker", BREAKERS)
def test_the_compact_header_without_certificate_cannot_be_broken(breaker: str) -> None:
    who = caller(subject=name((NameOID.COMMON_NAME, breaker)), sans=["uri:spiffe://example.org/a"])
    identity = parse(encode("handclasp", who, BARE), "handclasp")
    assert identity is not None
    assert (identity.subject, identity.spiffe_id) == (who.subject, "spiffe://example.org/a")


def test_one_unwritable_uri_silences_the_others() -> None:
    """Left alone, the other would be the only URI, and so an SVID's."""
    who = caller(sans=["uri:spiffe://example.org/admin", 'uri:x:"'])
    text = encode("xfcc", who, BARE)[0][1]
    assert "URI=" not in text
    identity = parse([("X-Forwarded-Client-Cert", text)], "xfcc")
    assert identity is not None
    assert identity.spiffe_id is None


@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_a_certificate_changed_on_the_way_is_not_the_caller(dialect: str) -> None:
    """The near miss of the round trip: one digit of the certificate is another one."""
    who = caller(sans=["dns:a.example"])
    headers = [
        (header, text.replace("MII", "MIJ", 1)) if "MII" in text else (header, text)
        for header, text in encode(dialect, who, ALL)
    ]
    with pytest.raises(IdentityError):
        parse(headers, dialect)
