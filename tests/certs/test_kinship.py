"""Who issued whom among certificates from anywhere."""

from __future__ import annotations

from cryptography import x509  # noqa: TC002  hypothesis looks at the annotations
from hypothesis import given
from hypothesis import strategies as st

from handclasp.certs.kinship import Family, Line
from tests import pki

ROOT = pki.authority("Root")
MIDDLE = pki.authority("Middle", issuer=ROOT)
LOWER = pki.authority("Lower", issuer=MIDDLE)
LEAVES = [pki.leaf(LOWER, f"leaf {n}") for n in range(2)]
ALL = [one.certificate for one in (ROOT, MIDDLE, LOWER, *LEAVES)]


@given(st.permutations(ALL))
def test_the_order_in_which_certificates_come_changes_no_chain(
    certificates: list[x509.Certificate],
) -> None:
    lines = list(Family(certificates).lines())
    assert {line.links for line in lines} == {
        (leaf.certificate, LOWER.certificate, MIDDLE.certificate, ROOT.certificate)
        for leaf in LEAVES
    }
    assert all(line.missing is None for line in lines)


@given(st.permutations(ALL))
def test_every_certificate_is_drawn_once_below_its_issuer(
    certificates: list[x509.Certificate],
) -> None:
    drawn = Family(certificates).drawing()
    assert [member for _, member in drawn][:3] == ALL[:3]
    assert {member for _, member in drawn} == set(ALL)
    assert [len(branch) for branch, _ in drawn] == [0, 3, 6, 9, 9]


def test_a_missing_issuer_stands_above_what_it_issued() -> None:
    family = Family([LEAVES[0].certificate, MIDDLE.certificate])
    drawn = family.drawing()
    gaps = [member.missing for _, member in drawn if isinstance(member, Line)]
    assert gaps == ["CN=Lower,O=Example Org", "CN=Root,O=Example Org"]


def test_authorities_that_signed_each_other_make_no_ring() -> None:
    one = pki.authority("One")
    two = pki.authority("Two")
    crossed_one = pki.authority("One", issuer=two)
    crossed_two = pki.authority("Two", issuer=one)
    family = Family([crossed_one.certificate, crossed_two.certificate])
    assert len(family.drawing()) == 3  # a gap, and one below the other
    assert len(list(family.lines())) == 1


def test_a_namesake_that_did_not_sign_is_no_issuer() -> None:
    fake = pki.authority("Lower", issuer=MIDDLE, key_label="another key")
    (line, _) = Family([LEAVES[0].certificate, fake.certificate]).lines()
    assert line.missing == "CN=Lower,O=Example Org"
