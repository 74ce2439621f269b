"""What `deny` says of each link is so."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type

from handclasp.agent.denials import Denial
from handclasp.agent.reach import Reach, reaches
from handclasp.certs.dn import subject_text
from handclasp.certs.material import TrustMaterial
from handclasp.identity.caller import read_caller
from handclasp.identity.denied import body_digest
from tests import pki
from tests.agent.test_policies import BESIDE, BETWEEN, caller, company
from tests.nginx.planning import Planner, ingress, material

SINCE = "2026-01-01T00:00:00+00:00"
ELSEWHERE = pki.Pair(material().trust["others"].anchors[0], pki.key("ca Other Plan CA"))
PARTNER = pki.authority("Partner", issuer=ELSEWHERE)
ASKING = {"trust": "company", "allow": ["dns:svc-b.internal"]}
HOP: dict[str, Any] = {"original_certificate": {"from": "x-client-cert", "trusted": ["cn:edge"]}}


def of_file(pair: pki.Pair) -> Denial:
    who = read_caller(pair.certificate)
    return Denial(
        since=SINCE,
        sha256=who.sha256,
        issuer=who.issuer,
        serial=who.serial,
        subject=who.subject,
        body=body_digest(pair.certificate),
        authority=who.is_ca,
        certificate=b64encode(pair.der).decode() if who.is_ca else None,
    )


def of_serial(pair: pki.Pair) -> Denial:
    return replace(of_file(pair), sha256=None, body=None, authority=False, certificate=None)


def told(denial: Denial, *between: pki.Pair, **more: Any) -> dict[str, Reach]:
    """By link: one that asks and one that nginx decides alone under the company's trust, and the like under
    another, which knows `PARTNER` as an intermediate."""
    others = {"trust": "others", "allow": ["dns:svc-b.internal"]}
    links = [
        ingress(name="asking", clients=ASKING, **more),
        ingress(name="native", **more),
        ingress(name="far", clients=others),
        ingress(name="far-native", clients={**others, "allow": "any"}),
    ]
    here = TrustMaterial(name="here", anchors=tuple(one.certificate for one in between))
    there = TrustMaterial(name="there", anchors=(PARTNER.certificate,))
    intermediates = {"asking": here, "native": here, "far": there, "far-native": there}
    known = replace(material(), intermediates=intermediates)
    plan = Planner().plan(ingress=links)
    servers = (
        replace(one, issuers=tuple(map(subject_text, known.authorities(one.trust, one.link))))
        for one in plan.ingress
    )
    plan = replace(plan, ingress=tuple(servers))
    return {one.link: one for one in reaches(plan, known, denial)}


def at_once(found: dict[str, Reach]) -> set[str]:
    return {name for name, one in found.items() if one.at_once}


def concerned(found: dict[str, Reach]) -> set[str]:
    return {name for name, one in found.items() if one.concerned}


@pytest.mark.parametrize("denial", [of_file, of_serial])
def test_a_leaf_of_one_trust_is_no_concern_of_another(denial: Any) -> None:
    found = told(denial(caller()))
    assert at_once(found) >= {"asking", "native"}
    assert "far-native" not in concerned(found)
    there = told(denial(pki.leaf(PARTNER, "svc-b")))
    assert at_once(there) >= {"far", "far-native"}
    assert "native" not in concerned(there)


def test_a_leaf_whose_issuer_nobody_knows_may_enter_anywhere() -> None:
    found = told(of_file(caller(issuer=BESIDE)))
    assert at_once(found) == {"asking", "far"}, "a fingerprint is enough where the agent decides"
    assert concerned(found) == set(found)
    assert "clients.intermediates" in str(found["native"].why_not)


def test_a_fingerprint_alone_may_be_anybodys() -> None:
    digest = of_file(caller()).sha256
    found = told(Denial(since=SINCE, sha256=digest))
    assert at_once(found) == {"asking", "far"}
    assert concerned(found) == set(found)


def test_a_ca_is_refused_where_it_or_its_issuer_is_known() -> None:
    for known in ((BETWEEN,), ()):
        found = told(of_file(BETWEEN), *known)
        assert at_once(found) == {"asking"}
        assert concerned(found) == {"asking", "native"}
        assert "whose way to the trust is not known" in str(found["asking"].beside)
    lower = pki.authority("Lower", issuer=BETWEEN)
    assert at_once(told(of_file(lower), BETWEEN)) == {"asking"}


def test_a_ca_below_one_that_nobody_knows_is_not_said_to_be_refused() -> None:
    found = told(of_file(pki.authority("Lower", issuer=BETWEEN)))
    assert at_once(found) == set()
    assert concerned(found) == set(), "no way leads from it to a trust, as far as is known"


@pytest.mark.parametrize("label", ["another", "ca Plan CA"])
def test_a_ca_of_the_name_of_a_known_one_is_it_only_by_its_key(label: str) -> None:
    twin = pki.authority("Plan CA", key_label=label)
    assert read_caller(twin.certificate).subject == read_caller(company().certificate).subject
    assert at_once(told(of_file(twin))) == ({"asking"} if label == "ca Plan CA" else set())


def test_a_root_over_cas_that_only_callers_send_takes_all_of_them_with_it() -> None:
    found = told(of_file(company()))
    assert found["asking"].at_once
    assert found["asking"].beside is not None


def test_the_serial_of_a_known_ca_is_a_cas() -> None:
    found = told(of_serial(BETWEEN), BETWEEN)
    assert at_once(found) == {"asking"}
    assert "nginx decides there by itself" in str(found["native"].why_not)


def test_what_nginx_cannot_compare_is_not_said_to_be_refused() -> None:
    """It shows the bytes of a value whose type it has no name for; OpenSSL compares what they stand for."""
    unnamed = x509.ObjectIdentifier("1.2.3.4.5")

    def authority(value: str, kind: _ASN1Type) -> pki.Pair:
        subject = x509.Name([x509.NameAttribute(unnamed, value, kind)])
        certificate = pki.leaf(company(), subject=subject, is_ca=True, key_label="unnamed")
        return pki.Pair(certificate.certificate, pki.key("unnamed"))

    known = authority("a", _ASN1Type.UTF8String)
    found = told(of_file(caller(issuer=known)), known)
    assert at_once(found) >= {"asking", "native"}
    other = authority("A", _ASN1Type.PrintableString)
    found = told(of_file(caller(issuer=other)), known)
    assert "nginx cannot tell there" in str(found["native"].why_not)
    assert found["native"].concerned


def test_whom_a_trusted_hop_passes_on_is_not_said_to_be_refused() -> None:
    for denial in (of_file(caller()), of_file(pki.leaf(PARTNER, "svc-b"))):
        found = told(denial, **HOP)
        for name in ("asking", "native"):
            assert not found[name].at_once
            assert found[name].concerned
    assert "by that hop" in str(told(of_file(caller()), **HOP)["asking"].why_not)
