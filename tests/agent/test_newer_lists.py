"""Which of several lists count: the newest, whatever their order; both where number and date disagree."""

from __future__ import annotations

import functools
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from handclasp.agent.newer_lists import held, joined, news, take
from handclasp.certs.material import TrustMaterial
from handclasp.identity.denied import denied_by
from tests import pki

CA = pki.authority("Order CA")
BELOW = pki.authority("Order issuing", issuer=CA)
KNOWN = (CA.certificate, BELOW.certificate)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
_LEAVES = tuple(pki.leaf(CA, f"leaf {number}") for number in range(4))


@functools.cache
def listed(number: int, hours: float, leaf: int = 0, authority: pki.Pair = CA) -> bytes:
    """A list of this number, made so many hours from now, which names one leaf."""
    made, end = pki.NOW + hours * HOUR, pki.NOW + timedelta(days=30)
    return pki.crl(authority, [_LEAVES[leaf]], number=number, last_update=made, next_update=end)


def trust(*lists: bytes, file: str = "ca.crl") -> TrustMaterial:
    crls = tuple(x509.load_pem_x509_crl(one) for one in lists)
    files = (Path(file),) * len(crls)
    return TrustMaterial(name="company", anchors=KNOWN, crls=crls, crl_files=files)


def of(material: TrustMaterial) -> set[tuple[int, float]]:
    """Number and hours of the lists."""
    return {
        (
            crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number,
            (crl.last_update_utc - pki.NOW) / HOUR,
        )
        for crl in material.crls
    }


def names(material: TrustMaterial) -> set[int]:
    found = {serial for _, serial in denied_by(material.crls).serials}
    return {_LEAVES.index(one) for one in _LEAVES if one.certificate.serial_number in found}


# (number, hours, leaf)
_SOME = st.lists(
    st.tuples(st.integers(1, 4), st.integers(-4, -1), st.integers(0, 3)), min_size=1, max_size=6
)


@settings(max_examples=60, deadline=None)
@given(several=_SOME, data=st.data())
def test_what_is_in_force_does_not_depend_on_the_order_in_which_lists_come(
    several: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    def after(order: list[tuple[int, int, int]]) -> set[bytes]:
        state = trust(listed(*order[0]))
        for one in order[1:]:
            state = joined(state, trust(listed(*one)), KNOWN, now=pki.NOW)
        return {crl.signature for crl in state.crls}

    expected = after(several)
    assert after(data.draw(st.permutations(several))) == expected
    cut = data.draw(st.integers(1, len(several)))
    both = joined(
        trust(*(listed(*one) for one in several[:cut])),
        trust(*(listed(*one) for one in several[cut:])),
        KNOWN,
        now=pki.NOW,
    )
    assert {crl.signature for crl in both.crls} == expected, "nor on what comes together"


@settings(max_examples=60, deadline=None)
@given(several=_SOME)
def test_nobody_is_let_in_again_but_by_a_list_that_is_newer_in_both(
    several: list[tuple[int, int, int]],
) -> None:
    state = trust(listed(*several[0]))
    for one in several[1:]:
        state = joined(state, trust(listed(*one)), KNOWN, now=pki.NOW)
    for number, hours, leaf in several:
        newer = [other for other in several if other[0] >= number and other[1] >= hours]
        if all(other[:2] == (number, hours) for other in newer):
            assert leaf in names(state)


def test_a_list_of_the_right_time_follows_one_from_the_future_that_was_taken() -> None:
    """The number decides that it counts, the date that the other one does too."""
    found = take(trust(listed(40, 5, 0)), trust(listed(41, -1, 1)), KNOWN, now=pki.NOW)
    assert found.newer is not None
    assert names(found.newer.trust) == {0, 1}
    assert found.newer.names_more
    (problem,) = found.problems
    assert "stays in force beside that in ca.crl: number 40 of " in problem
    assert "what either names is refused" in problem
    later = take(found.newer.trust, trust(listed(42, 6, 2)), KNOWN, now=pki.NOW + 7 * HOUR)
    assert later.newer is not None
    assert (names(later.newer.trust), later.problems) == ({2}, ())


@pytest.mark.parametrize("known", [(), (listed(5, -1),)])
def test_a_list_from_the_future_is_taken_when_its_time_has_come(known: tuple[bytes, ...]) -> None:
    before, fresh = trust(*known), trust(listed(40, 5, 1))
    found = take(before, fresh, KNOWN, now=pki.NOW)
    assert found.newer is None
    assert found.again == pki.NOW + 5 * HOUR
    assert f"in ca.crl is valid from {pki.NOW + 5 * HOUR:%Y-%m-%d %H:%M}" in "".join(found.problems)
    then = take(before, fresh, KNOWN, now=pki.NOW + 5 * HOUR)
    assert then.newer is not None
    assert (names(then.newer.trust), then.again) == ({1}, None)


def test_a_clock_that_is_a_little_ahead_keeps_no_list_away_nor_its_ca_from_nginx() -> None:
    """What it names counts, and nginx has one that has begun."""
    early = listed(6, 2 / 60, 1)
    found = take(trust(listed(5, -1, 0)), trust(early), KNOWN, now=pki.NOW)
    assert found.newer is not None
    assert of(found.newer.trust) == {(5, -1), (6, 2 / 60)}
    assert "beside that in ca.crl: that begins " in "".join(found.problems)
    begun = take(found.newer.trust, trust(early), KNOWN, now=pki.NOW + 3 * MINUTE)
    assert begun.newer is not None
    assert (names(begun.newer.trust), begun.problems) == ({1}, ())


def test_two_lists_of_one_number_and_time_count_both() -> None:
    found = take(trust(listed(5, -1, 0)), trust(listed(5, -1, 1)), KNOWN, now=pki.NOW)
    assert found.newer is not None
    assert names(found.newer.trust) == {0, 1}


def test_what_is_not_taken_is_told_with_its_file_and_its_part() -> None:
    point = x509.IssuingDistributionPoint(
        [x509.UniformResourceIdentifier("http://pki/3.crl")], None, False, False, None, False, False
    )
    part = pki.crl(CA, number=7, extensions=[point])
    older = pki.crl(CA, number=6, extensions=[point])
    found = take(
        trust(part, listed(5, -1)), trust(older, listed(5, -1), file="b.crl"), KNOWN, now=pki.NOW
    )
    (problem,) = found.problems
    assert "for http://pki/3.crl stays in force: that in b.crl is older" in problem
    gone = take(trust(part, listed(5, -1)), trust(listed(5, -1), file="b.crl"), KNOWN, now=pki.NOW)
    (problem,) = gone.problems
    assert "for http://pki/3.crl stays in force: no other one that it signed" in problem
    assert "is there among b.crl" in problem


def test_a_spec_read_anew_goes_back_to_no_older_list() -> None:
    kept, fresh = trust(listed(9, -1, 1), file="kept"), trust(listed(8, -2, 0))
    material, problems = held(kept, fresh, KNOWN, now=pki.NOW)
    assert names(material) == {1}
    assert material.crl_files == (Path("kept"),)
    assert "that in ca.crl is older (number 8 after 9)" in problems[0]
    newer = trust(listed(10, -1, 2))
    assert held(kept, newer, KNOWN, now=pki.NOW) == (newer, ())


def test_what_is_wrong_with_other_lists_is_left_for_the_checks() -> None:
    """A list of a stranger, and one of a CA that had none."""
    strange, first = pki.crl(pki.authority("Stranger"), number=1), listed(1, 9, 2, BELOW)
    kept, fresh = trust(listed(9, -1, 1)), trust(listed(8, -1, 0), strange, first)
    material, _ = held(kept, fresh, KNOWN, now=pki.NOW)
    told = {crl.signature for crl in material.crls}
    wanted = {x509.load_pem_x509_crl(one).signature for one in (listed(9, -1, 1), strange, first)}
    assert told == wanted
    assert len(material.crl_files) == len(material.crls)


def test_the_same_lists_are_no_news() -> None:
    assert news(trust(listed(5, -1)), trust(listed(5, -1)), KNOWN) is None
    assert news(trust(listed(5, -1)), trust(listed(6, -1, 1)), KNOWN) is not None
