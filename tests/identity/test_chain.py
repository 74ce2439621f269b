"""The path to the trust bundle: verified, valid, within the depth, or None."""

from __future__ import annotations

from datetime import timedelta

from cryptography import x509

from handclasp.identity.chain import Authorities, Chain
from tests import pki
from tests.identity.specimens import NOW, issuing, root

ROOT, ISSUING = root().certificate, issuing().certificate
LEAF = pki.leaf(issuing(), "a").certificate


def test_the_path_goes_over_known_intermediates_to_the_anchor() -> None:
    assert Authorities([ROOT], [ISSUING]).chain(LEAF, now=NOW) == Chain(
        intermediates=(ISSUING,), anchor=ROOT
    )
    assert Authorities([ROOT, ISSUING]).chain(LEAF, now=NOW) is not None


def test_a_leaf_of_the_root_has_no_intermediates() -> None:
    direct = pki.leaf(root(), "a").certificate
    chain = Authorities([ROOT], [ISSUING]).chain(direct, now=NOW)
    assert chain == Chain(intermediates=(), anchor=ROOT)
    assert chain.issuer == ROOT


def test_a_pinned_self_signed_certificate_is_its_own_anchor() -> None:
    own = pki.authority("own", is_ca=False).certificate
    assert Authorities([own]).chain(own, now=NOW) == Chain(intermediates=(), anchor=own)


def test_without_the_intermediate_there_is_no_path() -> None:
    assert Authorities([ROOT]).chain(LEAF, now=NOW) is None


def test_an_intermediate_in_the_bundle_does_not_end_the_path() -> None:
    assert Authorities([ISSUING]).chain(LEAF, now=NOW) is None


def test_a_ca_of_the_same_name_with_another_key_is_not_on_the_path() -> None:
    impostor = pki.authority("Issuing CA, Europe", issuer=root(), key_label="impostor")
    forged = pki.leaf(impostor, "a").certificate
    assert Authorities([ROOT], [ISSUING]).chain(forged, now=NOW) is None
    assert Authorities([ROOT], [impostor.certificate]).chain(LEAF, now=NOW) is None


def test_a_leaf_cannot_issue() -> None:
    no_ca = pki.authority("no ca", issuer=root(), is_ca=False, cert_sign=False)
    below = pki.leaf(no_ca, "a").certificate
    assert Authorities([ROOT], [no_ca.certificate]).chain(below, now=NOW) is None


def test_an_expired_intermediate_makes_no_path_but_its_successor_does() -> None:
    old = pki.authority(
        "CA", issuer=root(), key_label="renewed", not_after=NOW - timedelta(minutes=1)
    )
    new = pki.authority("CA", issuer=root(), key_label="renewed")
    leaf = pki.leaf(new, "a").certificate
    assert Authorities([ROOT], [old.certificate]).chain(leaf, now=NOW) is None
    both = Authorities([ROOT], [old.certificate, new.certificate]).chain(leaf, now=NOW)
    assert both == Chain(intermediates=(new.certificate,), anchor=ROOT)


def test_an_expired_short_way_gives_way_to_a_longer_one() -> None:
    """A cross-signed upper CA: its own root has expired, the other way has not."""
    old_root = pki.authority("Old root", not_after=NOW - timedelta(minutes=1))
    short = pki.authority("Upper", issuer=old_root, key_label="upper")
    middle = pki.authority("Middle", issuer=root())
    long = pki.authority("Upper", issuer=middle, key_label="upper")
    lower = pki.authority("Lower", issuer=short)
    leaf = pki.leaf(lower, "a").certificate
    authorities = Authorities(
        [old_root.certificate, ROOT],
        [one.certificate for one in (short, middle, long, lower)],
    )
    chain = authorities.chain(leaf, now=NOW)
    assert chain == Chain(
        intermediates=(lower.certificate, long.certificate, middle.certificate), anchor=ROOT
    )
    assert authorities.chain(leaf, now=NOW + timedelta(days=10_000)) is None


def test_a_path_longer_than_the_links_depth_is_none() -> None:
    assert Authorities([ROOT], [ISSUING], depth=1).chain(LEAF, now=NOW) is not None
    assert Authorities([ROOT], [ISSUING], depth=0).chain(LEAF, now=NOW) is None


def test_a_leaf_whose_extensions_cannot_be_read_has_no_path() -> None:
    broken = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\x82\x05a")
    pair = pki.with_extension(pki.leaf(issuing(), "a"), issuing(), broken)
    assert Authorities([ROOT], [ISSUING]).chain(pair.certificate, now=NOW) is None
