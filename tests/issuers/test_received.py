"""What comes from an issuer, before it is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.issuers.protocol import IssuerError
from handclasp.issuers.received import MOST_CERTIFICATES, chain_from_pem, one_line
from tests import pki

PAIR = pki.leaf(pki.authority("Below", issuer=pki.authority()))


def test_a_chain_is_read_in_its_order_with_what_stands_between() -> None:
    text = f"subject=leaf\n{PAIR.chain_pem.decode()}\n# the end\n"
    leaf, below = chain_from_pem(text, issuer="X")
    assert (leaf, below) == (PAIR.certificate, PAIR.issuers[0].certificate)


@pytest.mark.parametrize("text", ["", "garbage", "-----BEGIN CERTIFICATE-----\n!\n", "\ud800"])
def test_what_holds_no_certificate_is_told_by_the_issuers_name(text: str) -> None:
    with pytest.raises(IssuerError, match="X answered without a certificate"):
        chain_from_pem(text, issuer="X")


def test_a_whole_bundle_is_no_chain() -> None:
    text = PAIR.pem.decode() * (MOST_CERTIFICATES + 1)
    with pytest.raises(IssuerError, match="17 certificates"):
        chain_from_pem(text, issuer="X")


@given(st.text())
def test_foreign_text_becomes_one_printable_bounded_line(text: str) -> None:
    line = one_line(text, most=20)
    assert line.isprintable()
    assert len(line) <= 20
    assert not line.endswith(".")


@given(st.text())
def test_reading_a_chain_ends_in_one_or_in_our_error(text: str) -> None:
    with pytest.raises(IssuerError):
        chain_from_pem(text, issuer="X")
