"""What an issuer gives is used only when it is what was asked for; each way of being wrong has a twin."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.ca.profile import Use
from handclasp.certs.secret import Secret
from handclasp.issuers.judge import SKEW, in_order, judge, sentence
from handclasp.spec.pkcs11_uri import parse_pkcs11_uri
from tests import pki
from tests.issuers.asking import wanted
from tests.pki import NOW

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

KEY = "asked"
CA = pki.authority("Judged CA")
BETWEEN = pki.authority("Judged intermediate", issuer=CA)
NAMES = ("dns:svc-b.internal", "uri:spiffe://example.org/svc-b")


def leaf(*names: str, issuer: pki.Pair = BETWEEN, **options: Any) -> pki.Pair:
    return pki.leaf(issuer, "svc-b", sans=names or NAMES, **{"key_label": KEY, **options})


def slugs(
    pair: pki.Pair,
    *above: pki.Pair,
    use: Use = Use.CLIENT,
    current: x509.Certificate | None = None,
    now: datetime = NOW,
    asked: tuple[str, ...] = NAMES,
) -> list[str]:
    """What is found wrong with the leaf and those above it."""
    key = pki.key(KEY)
    chain = [pair.certificate, *(one.certificate for one in above or (BETWEEN,))]
    given = in_order(chain, Secret(key), key.public_key())
    assert given is not None
    question = wanted(*asked, use=use, key_label=KEY, current=current)
    found = judge(question, given, issuer="dev-ca", public=key.public_key(), now=now)
    assert all(one.where.path == "issuers.dev-ca" for one in found)
    return [one.slug for one in found]


def test_what_was_asked_for_is_taken() -> None:
    assert slugs(leaf()) == []
    assert slugs(leaf(usages=(pki.SERVER,)), use=Use.SERVER) == []
    assert slugs(leaf(usages=(pki.SERVER, pki.CLIENT)), use=Use.BOTH) == []


def test_more_names_than_asked_for_and_other_case_do_no_harm() -> None:
    assert slugs(leaf("dns:SVC-b.internal", NAMES[1], "dns:more.internal")) == []
    asked = ("email:ops@example.com", "ip:10.0.0.7")
    assert slugs(leaf("email:ops@EXAMPLE.com", "ip:10.0.0.7"), asked=asked) == []


def test_a_certificate_for_another_key_is_refused() -> None:
    assert slugs(leaf(key_label="of somebody else")) == ["issued-for-another-key"]


@pytest.mark.parametrize(
    "names",
    [
        ("dns:svc-b.internal",),
        (NAMES[1],),
        ("dns:svc-b.internal", "uri:spiffe://example.org/Svc-b"),
    ],
)
def test_a_certificate_without_one_of_the_names_is_refused(names: tuple[str, ...]) -> None:
    assert slugs(leaf(*names)) == ["issued-names-missing"]


@pytest.mark.parametrize("name", ["dns:10.0.0.7", "dns:svc-b.internal"])
def test_a_name_of_another_kind_is_not_the_name(name: str) -> None:
    assert slugs(leaf(name), asked=("ip:10.0.0.7",)) == ["issued-names-missing"]


@pytest.mark.parametrize(
    ("use", "usages"),
    [
        (Use.CLIENT, (pki.SERVER,)),
        (Use.SERVER, (pki.CLIENT,)),
        (Use.BOTH, (pki.CLIENT,)),
        (Use.BOTH, (pki.SERVER,)),
    ],
)
def test_a_certificate_for_another_purpose_is_refused(use: Use, usages: tuple[Any, ...]) -> None:
    """As public CAs give it, which issue for servers alone."""
    assert slugs(leaf(usages=usages), use=use) == ["wrong-eku-or-purpose"]


def test_a_certificate_that_has_ended_is_refused() -> None:
    assert slugs(leaf(not_after=NOW - timedelta(minutes=1))) == ["cert-expired"]


def test_one_that_ends_within_seconds_is_refused() -> None:
    assert slugs(leaf(not_after=NOW + timedelta(seconds=4))) == ["issued-lifetime-too-short"]
    assert slugs(leaf(not_after=NOW + timedelta(seconds=6))) == []


def test_one_below_a_ca_that_has_ended_is_refused() -> None:
    ended = pki.authority("Ended", issuer=CA, not_after=NOW - timedelta(minutes=1))
    assert slugs(leaf(issuer=ended), ended) == ["cert-expired"]


def test_a_clock_that_is_ahead_by_little_is_waited_for_and_one_by_much_is_not() -> None:
    assert slugs(leaf(not_before=NOW + SKEW)) == []
    assert slugs(leaf(not_before=NOW + SKEW + timedelta(seconds=1))) == ["cert-not-yet-valid"]


@pytest.mark.parametrize("use", list(Use))
def test_a_ca_certificate_in_the_place_of_a_leaf_is_refused(use: Use) -> None:
    asked = (pki.SERVER, pki.CLIENT)
    assert slugs(leaf(usages=asked), use=use) == []
    assert slugs(leaf(usages=asked, is_ca=True), use=use)[0] == "issued-ca-certificate"


def test_cas_of_which_none_issued_the_leaf_are_no_chain() -> None:
    strange = pki.authority("Strange")
    namesake = pki.authority("Judged intermediate", issuer=CA, key_label="of a namesake")
    for other in (strange, pki.authority("Strange between", issuer=strange), namesake):
        assert slugs(leaf(), other) == ["issued-chain-wrong"]
        assert slugs(leaf(), other, BETWEEN) == []
    assert slugs(leaf(issuer=CA), CA) == []


def test_the_begin_and_end_are_those_of_the_whole_chain() -> None:
    ca = pki.authority("Short", issuer=CA, not_after=NOW + timedelta(days=2))
    key = pki.key(KEY)
    given = in_order([leaf(issuer=ca).certificate, ca.certificate], Secret(key), key.public_key())
    assert given is not None
    assert given.ends == NOW + timedelta(days=2)


def test_the_same_certificate_once_more_is_refused() -> None:
    same = leaf()
    assert slugs(same, current=same.certificate) == ["issued-older-than-current"]


def test_an_older_one_of_the_same_ca_is_refused_and_of_another_ca_it_is_not() -> None:
    current = leaf(not_before=NOW - timedelta(minutes=1)).certificate
    older = leaf(not_before=NOW - timedelta(hours=2))
    assert slugs(older, current=current) == ["issued-older-than-current"]
    other = leaf(issuer=CA, not_before=NOW - timedelta(hours=2))
    assert slugs(other, CA, current=current) == []


def test_a_shorter_lifetime_than_before_is_no_reason_to_refuse() -> None:
    current = leaf(not_before=NOW - timedelta(hours=1), not_after=NOW + timedelta(days=90))
    newer = leaf(not_before=NOW, not_after=NOW + timedelta(hours=1))
    assert slugs(newer, current=current.certificate) == []


def test_the_leaf_is_found_by_its_key_wherever_it_stands() -> None:
    key = pki.key(KEY)
    ours = leaf()
    bag = [CA.certificate, BETWEEN.certificate, ours.certificate]
    given = in_order(bag, Secret(key), key.public_key())
    assert given is not None
    assert (given.leaf, given.chain) == (ours.certificate, (BETWEEN.certificate,))
    assert given.root == CA.certificate


def test_nothing_given_is_nothing() -> None:
    key = pki.key(KEY)
    assert in_order([], Secret(key), key.public_key()) is None


def test_a_key_in_a_token_is_judged_by_its_public_half() -> None:
    uri, key = parse_pkcs11_uri("pkcs11:token=dev;object=svc-b"), pki.key(KEY)
    for label, expected in ((KEY, []), ("of somebody else", ["issued-for-another-key"])):
        chain = [leaf(key_label=label).certificate, BETWEEN.certificate]
        given = in_order(chain, uri, key.public_key())
        assert given is not None
        found = judge(wanted(*NAMES), given, issuer="dev-ca", public=key.public_key(), now=NOW)
        assert [one.slug for one in found] == expected


def test_a_refusal_is_one_sentence_that_says_what_is_wrong() -> None:
    key = pki.key(KEY)
    wrong = leaf("dns:other.internal", usages=(pki.SERVER,))
    given = in_order([wrong.certificate], Secret(key), key.public_key())
    assert given is not None
    found = judge(wanted(*NAMES), given, issuer="dev-ca", public=key.public_key(), now=NOW)
    told = sentence(found)
    assert "lacks dns:svc-b.internal, uri:spiffe://example.org/svc-b" in told
    assert told.endswith("(and 1 more)")
