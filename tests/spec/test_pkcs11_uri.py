"""PKCS#11 URIs as RFC 7512 writes them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.spec.pkcs11_uri import Pkcs11Uri, Pkcs11UriError, is_pkcs11, parse_pkcs11_uri

names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)


@given(
    st.builds(
        Pkcs11Uri,
        token=st.none() | names,
        manufacturer=st.none() | names,
        serial=st.none() | names,
        model=st.none() | names,
        object=names,
        id=st.none() | st.binary(min_size=1, max_size=8),
        slot_id=st.none() | st.integers(0, 2**32 - 1),
    )
)
def test_what_is_written_is_read_back_the_same(uri: Pkcs11Uri) -> None:
    assert parse_pkcs11_uri(str(uri)) == uri
    told = replace(uri, object=None) if uri.id is not None else uri
    assert parse_pkcs11_uri(uri.for_openssl()) == told
    assert not set(str(uri)) & set(' "\\\n\t#{}$')


def test_the_examples_of_the_rfc_are_understood() -> None:
    uri = parse_pkcs11_uri(
        "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;"
        "model=1.0;object=my-certificate;id=%69%95%3E%5C%F4%BD%EC%91?module-path=/lib/p11.so"
    )
    assert uri.token == "The Software PKCS#11 Softtoken"
    assert uri.manufacturer == "Snake Oil, Inc."
    assert uri.id == bytes.fromhex("69953e5cf4bdec91")
    assert uri.module_path == "/lib/p11.so"
    assert is_pkcs11("PKCS11:token=a")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("certs/a.key", "does not begin"),
        ("pkcs11:token=a", "names no key"),
        ("pkcs11:", "names no key"),
        ("pkcs11:token=a;object=b?pin-value=1234", "a PIN is not given in the URI"),
        ("pkcs11:token=a;object=b?pin-source=file:/p", "a PIN is not given in the URI"),
        ("pkcs11:token=a;object=b;type=public", "is no private key"),
        ("pkcs11:token=a;object=b;object=c", "stands twice"),
        ("pkcs11:token=a;colour=b", "'colour' is not known"),
        ("pkcs11:token=a;object", "is not NAME=VALUE"),
        ("pkcs11:token=a;object=", "is empty"),
        ("pkcs11:token=a b;object=c", "percent-encoded"),
        ("pkcs11:token=a;object=%FF", "not UTF-8"),
        ("pkcs11:token=a;object=%0A", "control character"),
        ("pkcs11:slot-id=x;object=a", "is no number"),
        ("pkcs11:token=a;object=b?module-name=x", "module-path"),
    ],
)
def test_what_names_no_key_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(Pkcs11UriError, match=words.replace(".", r"\.")):
        parse_pkcs11_uri(text)


def test_a_token_alone_is_enough_where_a_token_is_meant() -> None:
    assert parse_pkcs11_uri("pkcs11:token=a", key=False).token == "a"
    with pytest.raises(Pkcs11UriError, match="names no token"):
        parse_pkcs11_uri("pkcs11:", key=False)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_pkcs11_uri(f"pkcs11:{text}")
    except Pkcs11UriError:
        return
