"""Certificates in any order become a chain, and paths end where OpenSSL's end."""

from __future__ import annotations

import itertools

from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from handclasp.certs.chain import build_path, issued_by, issuer_urls, order, self_signed
from tests import pki

ROOT = pki.authority("Root")
UPPER = pki.authority("Upper", issuer=ROOT)
LOWER = pki.authority("Lower", issuer=UPPER)
LEAF = pki.leaf(LOWER)
OTHER = pki.authority("Other root")
BAG = [LEAF.certificate, LOWER.certificate, UPPER.certificate, ROOT.certificate]
KEY = LEAF.private_key.public_key()


@given(st.permutations([*BAG, OTHER.certificate]))
def test_any_order_becomes_leaf_intermediates_and_root(bag: list[x509.Certificate]) -> None:
    ordered = order(bag, key=KEY)
    assert ordered is not None
    assert ordered.leaf == LEAF.certificate
    assert ordered.chain == (LOWER.certificate, UPPER.certificate)
    assert ordered.root == ROOT.certificate
    assert ordered.unlinked == (OTHER.certificate,)
    assert ordered.in_order is (bag[:4] == BAG)


def test_without_a_key_the_leaf_is_who_issued_nobody() -> None:
    for bag in itertools.permutations(BAG):
        ordered = order(bag)
        assert ordered is not None
        assert ordered.leaf == LEAF.certificate


def test_the_key_decides_between_two_leaves() -> None:
    second = pki.leaf(LOWER, "second")
    bag = [LEAF.certificate, second.certificate, LOWER.certificate]
    ordered = order(bag, key=second.private_key.public_key())
    assert ordered is not None
    assert ordered.leaf == second.certificate
    assert ordered.unlinked == (LEAF.certificate,)


def test_a_missing_link_leaves_the_upper_part_unlinked() -> None:
    ordered = order([LEAF.certificate, UPPER.certificate], key=KEY)
    assert ordered is not None
    assert (ordered.chain, ordered.unlinked) == ((), (UPPER.certificate,))
    assert ordered.top == LEAF.certificate


def test_an_empty_bag_has_no_order_and_doubles_are_dropped() -> None:
    assert order([]) is None
    ordered = order([LEAF.certificate, LEAF.certificate])
    assert ordered is not None
    assert ordered.unlinked == ()


def test_an_issuer_of_the_same_name_with_another_key_is_not_the_issuer() -> None:
    impostor = pki.authority("Lower", issuer=UPPER, key_label="impostor")
    assert issued_by(LEAF.certificate, LOWER.certificate)
    assert not issued_by(LEAF.certificate, impostor.certificate)
    ordered = order([LEAF.certificate, impostor.certificate, LOWER.certificate], key=KEY)
    assert ordered is not None
    assert ordered.chain == (LOWER.certificate,)


def test_a_forged_signature_does_not_make_an_issuer_even_with_the_right_identifiers() -> None:
    # Same name and same key identifier, but the certificate was signed by another key.
    der = bytearray(LEAF.der)
    der[-1] ^= 1
    forged = x509.load_der_x509_certificate(bytes(der))
    assert not issued_by(forged, LOWER.certificate)


def test_the_path_counts_intermediates_and_may_use_those_of_the_bundle() -> None:
    given_by_peer = build_path(
        LEAF.certificate, [LOWER.certificate, UPPER.certificate], [ROOT.certificate]
    )
    assert given_by_peer.anchor == ROOT.certificate
    assert given_by_peer.intermediates == 2
    in_bundle = build_path(LEAF.certificate, [], BAG[1:])
    assert in_bundle.anchor == ROOT.certificate
    assert in_bundle.intermediates == 2


def test_an_intermediate_as_trust_does_not_end_a_path_without_its_root() -> None:
    path = build_path(LEAF.certificate, [], [LOWER.certificate, UPPER.certificate])
    assert path.anchor is None
    assert path.links[-1] == UPPER.certificate


def test_a_cross_signed_intermediate_is_climbed_by_the_side_that_is_trusted() -> None:
    crossed = pki.authority("Upper", issuer=OTHER)  # same name and key, other issuer
    for bag in ([UPPER, crossed], [crossed, UPPER]):
        helpers = [LOWER.certificate, *(pair.certificate for pair in bag)]
        path = build_path(LEAF.certificate, helpers, [OTHER.certificate])
        assert path.anchor == OTHER.certificate


def test_two_roots_that_sign_each_other_do_not_loop() -> None:
    first = pki.authority("First", issuer=pki.authority("Second"), key_label="first")
    second = pki.authority("Second", issuer=pki.authority("First", key_label="first"))
    leaf = pki.leaf(first)
    path = build_path(leaf.certificate, [first.certificate, second.certificate], [])
    assert path.anchor is None


def test_a_self_signed_leaf_in_the_bundle_is_its_own_path() -> None:
    own = pki.authority("alone", is_ca=False)
    path = build_path(own.certificate, [], [own.certificate])
    assert path.anchor == own.certificate
    assert path.intermediates == 0
    assert self_signed(own.certificate)
    assert not self_signed(LEAF.certificate)


def test_where_the_issuer_can_be_had_is_read_from_the_certificate() -> None:
    leaf = pki.leaf(LOWER, ca_issuers="http://ca.example/lower.der")
    assert issuer_urls(leaf.certificate) == ("http://ca.example/lower.der",)
    assert issuer_urls(LEAF.certificate) == ()
