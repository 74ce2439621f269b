"""Who issued whom among certificates from anywhere."""

from __future__ import annotations

import time
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from handclasp.certs.kinship import Family, Line, signers
from handclasp.certs.read import read_objects
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


def named(subject: str, issuer: str, serial: int) -> x509.Certificate:
    """One key signs all of them, so that making thousands takes no time."""
    signer = pki.key("everybody")
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in (subject, issuer)]
    return (
        x509.CertificateBuilder(names[1], names[0], signer.public_key(), serial)
        .not_valid_before(pki.NOW)
        .not_valid_after(pki.NOW + timedelta(days=1))
        .sign(signer, SHA256())
    )


def test_a_thousand_self_signed_certificates_of_one_name_take_no_square() -> None:
    certificates = [named("localhost", "localhost", serial) for serial in range(1, 1001)]
    began = time.process_time()
    assert len(Family(certificates).drawing()) == 1000
    assert time.process_time() - began < 5  # 0.3 s; comparing each with each took a minute


def test_a_chain_longer_than_the_stack_of_python_is_drawn() -> None:
    chain = [named(f"c{n}", f"c{max(n - 1, 0)}", n + 1) for n in range(1200)]
    family = Family(chain[::-1])
    assert [member for _, member in family.drawing()] == chain
    (line,) = family.lines()
    assert (len(line.links), line.missing) == (1200, None)


def test_a_revocation_list_is_signed_by_the_key_and_not_by_the_name() -> None:
    (crl,) = read_objects(pki.crl(ROOT), source="x").crls
    impostor = pki.authority("Root", key_label="another key").certificate
    assert signers(crl, [impostor, MIDDLE.certificate]) == ()
    assert signers(crl, [impostor, ROOT.certificate]) == (ROOT.certificate,)
