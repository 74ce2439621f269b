"""Chains out of bags of certificates."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.certs.bundles import bundle, fitting_key
from handclasp.certs.private_keys import FoundKey
from handclasp.certs.secret import Secret
from tests import pki

ROOT = pki.authority("Root")
UPPER = pki.authority("Upper", issuer=ROOT)
LOWER = pki.authority("Lower", issuer=UPPER)
LEAF = pki.leaf(LOWER, "svc-b")
CHAIN = tuple(one.certificate for one in (LEAF, LOWER, UPPER))
STRANGERS = tuple(
    one.certificate for one in (pki.leaf(ROOT, "stranger"), pki.authority("Strange CA"))
)

OLD_ROOT, NEW_ROOT = pki.authority("Old root"), pki.authority("New root")
BY_OLD = pki.authority("Crossed", issuer=OLD_ROOT, key_label="crossed")
BY_NEW = pki.authority("Crossed", issuer=NEW_ROOT, key_label="crossed")
CROSSED = pki.leaf(BY_OLD, "crossed leaf").certificate


def found(pair: pki.Pair) -> FoundKey:
    return FoundKey(form="pkcs8", encrypted=False, key=Secret(pair.private_key))


KEY = found(LEAF)


@given(st.permutations([*CHAIN, ROOT.certificate, *STRANGERS, LEAF.certificate, UPPER.certificate]))
def test_a_bag_in_any_order_and_with_doubles_makes_the_same_chain(bag: list[object]) -> None:
    made = bundle(bag, key=KEY)  # type: ignore[arg-type]
    assert made is not None
    assert made.links == CHAIN
    assert made.root == ROOT.certificate
    assert set(made.left_out) == set(STRANGERS)
    assert not made.gap


@given(st.permutations([LEAF.certificate, UPPER.certificate, ROOT.certificate]))
def test_a_missing_intermediate_is_a_gap_in_any_order(bag: list[object]) -> None:
    made = bundle(bag, key=KEY)  # type: ignore[arg-type]
    assert made is not None
    assert made.gap
    assert made.links == (LEAF.certificate,)


@given(
    st.permutations(
        [one.certificate for one in (BY_OLD, BY_NEW, OLD_ROOT, NEW_ROOT)] + [CROSSED, CROSSED]
    )
)
def test_of_a_cross_signed_issuer_that_is_taken_which_leads_to_the_trust(bag: list[object]) -> None:
    for middle, root in ((BY_OLD, OLD_ROOT), (BY_NEW, NEW_ROOT)):
        made = bundle(bag, anchors=[root.certificate])  # type: ignore[arg-type]
        assert made is not None
        assert made.links == (CROSSED, middle.certificate)
        assert made.root == root.certificate


@pytest.mark.parametrize(("middle", "root"), [(BY_OLD, OLD_ROOT), (BY_NEW, NEW_ROOT)])
def test_without_trust_the_way_to_a_root_of_the_bag_is_taken(
    middle: pki.Pair, root: pki.Pair
) -> None:
    bag = [CROSSED, BY_OLD.certificate, BY_NEW.certificate, root.certificate]
    made = bundle(bag)
    assert made is not None
    assert made.links == (CROSSED, middle.certificate)
    assert not made.gap


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_ways_of_one_length_the_longer_valid_is_taken(turned: bool) -> None:
    ended = pki.authority(
        "Crossed", issuer=OLD_ROOT, key_label="crossed", not_after=pki.NOW - timedelta(minutes=1)
    )
    ways = [ended.certificate, BY_NEW.certificate]
    bag = [CROSSED, *(reversed(ways) if turned else ways)]
    made = bundle([*bag, OLD_ROOT.certificate, NEW_ROOT.certificate])
    assert made is not None
    assert made.links == (CROSSED, BY_NEW.certificate)


def test_a_root_that_is_not_trusted_is_no_part_of_the_chain() -> None:
    made = bundle([*CHAIN, ROOT.certificate], anchors=[NEW_ROOT.certificate])
    assert made is not None
    assert made.gap
    assert made.links == CHAIN


def test_a_self_signed_leaf_is_a_chain_by_itself() -> None:
    made = bundle([ROOT.certificate])
    assert made is not None
    assert (made.links, made.root, made.gap) == ((ROOT.certificate,), None, False)


def test_an_empty_bag_has_no_chain() -> None:
    assert bundle([]) is None


def test_the_key_that_fits_is_found_behind_one_that_does_not() -> None:
    assert fitting_key([found(ROOT), KEY], [LEAF.certificate]) is KEY
    assert fitting_key([found(ROOT)], [LEAF.certificate]) is None


def test_the_key_of_a_ca_among_the_files_does_not_make_the_ca_the_leaf() -> None:
    certificates = [one.certificate for one in (ROOT, LEAF, LOWER, UPPER)]
    assert fitting_key([found(ROOT), found(LOWER), KEY], certificates) is KEY
    root = found(ROOT)
    assert fitting_key([root], certificates) is root
