"""What the agent answers about a caller, and for how long that may be believed."""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from handclasp.agent.policies import Answer, Policies, Question, genuine_lists, make_policies
from handclasp.backend import parse
from handclasp.certs.material import Material, TrustMaterial
from handclasp.identity.caller import read_caller
from handclasp.identity.chain import Authorities
from handclasp.identity.denied import Denied, denied_certificate
from handclasp.spec.access import Reason
from tests import pki
from tests.identity.specimens import name
from tests.nginx.planning import Planner, ingress, material

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = pki.NOW
ZERO = timedelta()
FRESH, OUTAGE = timedelta(minutes=5), timedelta(minutes=10)
SVC_B = ["dns:svc-b.internal"]


@functools.cache
def company() -> pki.Pair:
    """The CA of the planner's trust `company`."""
    (anchor,) = material().trust["company"].anchors
    return pki.Pair(anchor, pki.key("ca Plan CA"))


def caller(common_name: str = "svc-b", *, issuer: pki.Pair | None = None, **leaf: Any) -> pki.Pair:
    sans = leaf.pop("sans", [f"{common_name}.internal"])
    return pki.leaf(issuer or company(), common_name, sans=sans, key_label="same", **leaf)


def escaped(pair: pki.Pair) -> str:
    """As `$ssl_client_escaped_cert`."""
    return quote(pair.pem.decode(), safe="")


@dataclass
class Link:
    """One ingress link that asks, with everything around it."""

    clients: dict[str, Any] = field(default_factory=dict)
    forward: list[Any] = field(default_factory=list)
    denied: Denied = field(default_factory=Denied)
    intermediates: tuple[pki.Pair, ...] = ()
    former: Policies | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def policies(self) -> Policies:
        return make_policies(self.plan, self.material, self.denied, self.former)

    @functools.cached_property
    def plan(self) -> Any:
        clients = {"trust": "company", "allow": SVC_B, **self.clients}
        return Planner().plan(ingress=[ingress(clients=clients, forward=self.forward, **self.more)])

    @property
    def material(self) -> Material:
        known = tuple(pair.certificate for pair in self.intermediates)
        return replace(material(), intermediates={"api": TrustMaterial(name="api", anchors=known)})

    @property
    def rule(self) -> str:
        (server,) = self.plan.ingress
        (rule,) = server.rules
        identifier: str = rule.id
        return identifier

    def ask(self, pair: pki.Pair | None = None, *, now: datetime = NOW, **other: str) -> Answer:
        question = Question(
            rule=self.rule,
            policy=self.policies.digest,
            verify="SUCCESS" if pair else "NONE",
            certificate=escaped(pair) if pair else "",
        )
        return self.policies.answer(replace(question, **other), now=now)


def reason(answer: Answer) -> Reason:
    assert answer.decision.allowed == (answer.decision.reason is Reason.ALLOWED)
    assert answer.decision.allowed or not (answer.headers or answer.hop)
    return answer.decision.reason


# Who gets in


def test_whom_a_rule_names_gets_in_and_nobody_else() -> None:
    link = Link(forward=["handclasp"])
    known = caller()
    answer = link.ask(known)
    assert reason(answer) is Reason.ALLOWED
    identity = parse(answer.headers, "handclasp")
    assert identity is not None
    assert identity.certificate == known.der
    assert reason(link.ask(caller("svc-x"))) is Reason.NO_RULE_HOLDS
    assert (answer.fresh, answer.outage) == (FRESH, OUTAGE)


@pytest.mark.parametrize(
    "verify", ["NONE", "FAILED", "FAILED:certificate has expired", "", "success"]
)
def test_a_certificate_that_was_not_verified_is_nobodys(verify: str) -> None:
    for link in (Link(), Link({"verify": "optional"}), Link({"allow": "any"}, ["handclasp"])):
        assert reason(link.ask(caller(), verify=verify)) is Reason.NO_CERTIFICATE


def test_a_caller_without_certificate_gets_in_where_that_is_written() -> None:
    optional = Link({"verify": "optional"}, ["handclasp", "haproxy"])
    answer = optional.ask()
    assert reason(answer) is Reason.ALLOWED
    assert answer.fresh == FRESH
    assert parse(answer.headers, "handclasp") is None
    assert reason(Link().ask()) is Reason.NO_CERTIFICATE
    assert reason(optional.ask(verify="SUCCESS")) is Reason.CERTIFICATE_UNREADABLE


@pytest.mark.parametrize(
    "certificate",
    ["", "x", "%", "%00", "-----BEGIN", "twice", "beside", "cut", "der"],
)
def test_what_cannot_be_read_as_one_certificate_is_refused_for_good(certificate: str) -> None:
    whole = escaped(caller())
    text = {
        "twice": whole * 2,
        "beside": f"{whole}x",
        "cut": whole[: len(whole) // 2],
        "der": quote(caller().der, safe=""),
    }.get(certificate, certificate)
    answer = Link({"allow": "any"}, ["handclasp"]).ask(caller(), certificate=text)
    assert reason(answer) is Reason.CERTIFICATE_UNREADABLE
    assert answer.fresh == FRESH, "nor is it asked about again and again"


@given(parts=st.lists(st.text(max_size=40), min_size=4, max_size=4))
def test_no_question_whatever_is_answered_by_an_exception_or_a_yes(parts: list[str]) -> None:
    assert not ASKED.policies.answer(Question(*parts), now=NOW).decision.allowed
    known = Question(ASKED.rule, ASKED.policies.digest, "SUCCESS", parts[0])
    assert not ASKED.policies.answer(known, now=NOW).decision.allowed


ASKED = Link({"allow": "any"}, ["handclasp"])


def test_the_dates_of_the_certificate_are_looked_at_again() -> None:
    """nginx looked when the connection was opened, and never for a session that is resumed."""
    link, day = Link(), timedelta(days=1)
    pair = caller(not_before=NOW - day, not_after=NOW + day)
    assert reason(link.ask(pair, now=NOW + day)) is Reason.ALLOWED
    assert reason(link.ask(pair, now=NOW + day + timedelta(seconds=1))) is Reason.EXPIRED
    assert reason(link.ask(pair, now=NOW - 2 * day)) is Reason.NOT_YET_VALID


def test_a_denied_certificate_is_refused_and_its_like_is_not() -> None:
    one, other = caller(), caller()
    link = Link(denied=denied_certificate(read_caller(one.certificate).sha256))
    assert reason(link.ask(one)) is Reason.DENIED
    assert reason(link.ask(other)) is Reason.ALLOWED


# How long it holds


@pytest.mark.parametrize(
    ("left", "fresh", "outage"),
    [
        (timedelta(hours=1), FRESH, OUTAGE),
        (timedelta(minutes=15, seconds=3), FRESH, OUTAGE),
        (timedelta(minutes=15), FRESH, OUTAGE - timedelta(seconds=3)),
        (timedelta(minutes=6, seconds=3), FRESH, timedelta(minutes=1)),
        (timedelta(minutes=3, seconds=3), timedelta(minutes=3), ZERO),
        (timedelta(seconds=3), ZERO, ZERO),
        (timedelta(seconds=1), ZERO, ZERO),
        (ZERO, ZERO, ZERO),
    ],
)
def test_no_answer_outlives_the_certificate(
    left: timedelta, fresh: timedelta, outage: timedelta
) -> None:
    """nginx waits two seconds for an answer and counts whole ones: three are kept free."""
    answer = Link().ask(caller(not_after=NOW + left))
    assert reason(answer) is Reason.ALLOWED
    assert (answer.fresh, answer.outage) == (fresh, outage)


def test_a_refusal_does_not_outlive_the_day_from_which_the_certificate_is_good() -> None:
    soon = caller(not_before=NOW + timedelta(seconds=63))
    answer = Link().ask(soon)
    assert reason(answer) is Reason.NOT_YET_VALID
    assert (answer.fresh, answer.outage) == (timedelta(seconds=60), ZERO)


def test_an_answer_about_the_chain_does_not_outlive_a_certificate_of_the_chain() -> None:
    between = pki.authority("Between", issuer=company(), not_after=NOW + timedelta(seconds=63))
    pair = caller(issuer=between)
    chained = Link(forward=["rfc9440"], intermediates=(between,)).ask(pair)
    assert reason(chained) is Reason.ALLOWED
    assert "Client-Cert-Chain" in dict(chained.headers)
    assert chained.fresh == timedelta(seconds=60)
    assert Link(forward=["handclasp"], intermediates=(between,)).ask(pair).fresh == FRESH
    unknown = Link(forward=["rfc9440"]).ask(pair)
    assert reason(unknown) is Reason.ALLOWED
    assert "Client-Cert-Chain" not in dict(unknown.headers), "never a guessed chain"


def test_a_rule_on_the_issuer_holds_while_the_chain_does() -> None:
    between = pki.authority("Between", issuer=company(), not_after=NOW + timedelta(seconds=63))
    allow = ["issuer:CN=Between,O=Example Org"]
    pair = caller(issuer=between)
    link = Link({"allow": allow}, intermediates=(between,))
    assert (reason(link.ask(pair)), link.ask(pair).fresh) == (Reason.ALLOWED, timedelta(seconds=60))
    late = link.ask(pair, now=NOW + timedelta(seconds=64))
    assert reason(late) is Reason.NO_RULE_HOLDS
    assert reason(Link({"allow": allow}).ask(pair)) is Reason.NO_RULE_HOLDS


def test_an_answer_under_another_policy_than_the_one_asked_about_is_not_kept() -> None:
    """nginx would keep it under the name of the policy it asked about."""
    link = Link()
    for pair, expected in ((caller(), Reason.ALLOWED), (caller("x"), Reason.NO_RULE_HOLDS)):
        answer = link.ask(pair, policy="e" * 32)
        assert reason(answer) is expected
        assert (answer.fresh, answer.outage) == (ZERO, ZERO)


def test_a_denial_makes_another_policy_and_its_end_the_one_before() -> None:
    one = denied_certificate("aa" * 32)
    before, during = Link(), Link(denied=one)
    after = Link(former=during.policies)
    assert before.policies.digest == after.policies.digest != during.policies.digest
    assert before.rule == during.rule, (
        "the rules are the same, and their answers move with the policy"
    )


# Rules of before


def test_rules_of_the_configuration_before_are_still_known() -> None:
    """Workers that drain ask by the ids they were started with."""
    before = Link()
    after = Link({"allow": ["dns:svc-x.internal"]}, former=before.policies)
    assert before.rule != after.rule
    assert reason(after.ask(caller(), rule=before.rule)) is Reason.ALLOWED
    assert reason(after.ask(caller())) is Reason.NO_RULE_HOLDS
    assert reason(after.ask(caller("svc-x"))) is Reason.ALLOWED


def test_rules_of_before_refuse_who_is_denied_since() -> None:
    pair, before = caller(), Link()
    denied = denied_certificate(read_caller(pair.certificate).sha256)
    after = Link({"allow": ["dns:svc-x.internal"]}, denied=denied, former=before.policies)
    assert reason(after.ask(pair, rule=before.rule)) is Reason.DENIED


def test_rules_that_nobody_knows_are_no_refusal_to_remember() -> None:
    for rule in ("", "0" * 16, "path-not-covered"):
        answer = Link().ask(caller(), rule=rule)
        assert reason(answer) is Reason.AUTHORIZER_UNAVAILABLE
        assert (answer.fresh, answer.outage) == (ZERO, ZERO)


# Hops and room


def test_a_hop_is_told_from_other_callers() -> None:
    more = {"original_certificate": {"trusted": ["dns:gateway.internal"]}}
    link = Link({"allow": [*SVC_B, "dns:gateway.internal"]}, more=more)
    assert link.ask(caller("gateway")).hop
    assert reason(link.ask(caller())) is Reason.ALLOWED
    assert not link.ask(caller()).hop
    assert not Link(more=more).ask(caller("gateway")).hop, "one that may not enter is none"


def test_headers_that_nginx_has_no_room_for_are_a_refusal() -> None:
    room = {"certificate_size": "2k"}
    wide = name((NameOID.ORGANIZATIONAL_UNIT_NAME, "u" * 600), (NameOID.COMMON_NAME, "svc-b"))
    many = ["rfc9440", "traefik", "aws-alb", "azure-arr", "ingress-nginx"]
    pair = caller(subject=wide)
    answer = Link(room, many).ask(pair)
    assert reason(answer) is Reason.HEADERS_TOO_LARGE
    assert answer.fresh == FRESH
    assert reason(Link(room, ["handclasp"]).ask(pair)) is Reason.ALLOWED
    assert reason(Link({}, many).ask(pair)) is Reason.ALLOWED


# Revocation lists


def test_a_list_counts_only_when_a_ca_known_here_signed_it() -> None:
    pair, other = caller(), pki.authority("Somebody else")
    genuine = x509.load_pem_x509_crl(pki.crl(company(), [pair]))
    forged = x509.load_pem_x509_crl(pki.crl(company(), [pair], signer=other))
    trust = material().trust["company"]
    assert genuine_lists(replace(trust, crls=(genuine, forged))) == (genuine,)
    between = pki.authority("Between", issuer=company())
    lower = x509.load_pem_x509_crl(pki.crl(between, [pair]))
    assert genuine_lists(replace(trust, crls=(lower,))) == ()
    assert genuine_lists(replace(trust, crls=(lower,)), [between.certificate]) == (lower,)


def test_a_revoked_certificate_is_refused_by_issuer_and_serial() -> None:
    link, pair = Link(), caller()
    trusted = link.material
    crl = x509.load_pem_x509_crl(pki.crl(company(), [pair]))
    trust = {**trusted.trust, "company": replace(trusted.trust["company"], crls=(crl,))}
    revoking = make_policies(link.plan, replace(trusted, trust=trust), Denied())
    question = Question(link.rule, revoking.digest, "SUCCESS", escaped(pair))
    assert reason(revoking.answer(question, now=NOW)) is Reason.DENIED
    other = replace(question, certificate=escaped(caller()))
    assert reason(revoking.answer(other, now=NOW)) is Reason.ALLOWED
    assert revoking.digest != link.policies.digest


# CAs above the caller

BETWEEN, BESIDE = (pki.authority(one, issuer=company()) for one in ("Between", "Beside"))


def revoking(link: Link, *lists: bytes) -> Policies:
    """The policies of a link with these lists."""
    known = link.material
    crls = tuple(x509.load_pem_x509_crl(one) for one in lists)
    trust = {**known.trust, "company": replace(known.trust["company"], crls=crls)}
    return make_policies(link.plan, replace(known, trust=trust), link.denied, link.former)


def asked(policies: Policies, link: Link, pair: pki.Pair, now: datetime = NOW) -> Reason:
    question = Question(link.rule, policies.digest, "SUCCESS", escaped(pair))
    return reason(policies.answer(question, now=now))


def denied_ca(pair: pki.Pair) -> Denied:
    return denied_certificate(read_caller(pair.certificate).sha256)


def test_whoever_a_revoked_ca_has_issued_is_refused() -> None:
    link = Link(intermediates=(BETWEEN, BESIDE))
    policies = revoking(link, pki.crl(company(), [BETWEEN]))
    assert asked(policies, link, caller(issuer=BETWEEN)) is Reason.DENIED
    assert asked(policies, link, caller(issuer=BESIDE)) is Reason.ALLOWED
    assert asked(policies, link, caller()) is Reason.ALLOWED
    assert asked(link.policies, link, caller(issuer=BETWEEN)) is Reason.ALLOWED
    forged = revoking(link, pki.crl(company(), [BETWEEN], signer=BESIDE))
    assert asked(forged, link, caller(issuer=BETWEEN)) is Reason.ALLOWED


@pytest.mark.parametrize("above", ["parent", "grandparent", "root"])
def test_a_denied_ca_anywhere_above_is_one_too_many(above: str) -> None:
    lower = pki.authority("Lower", issuer=BETWEEN)
    denied = {"parent": lower, "grandparent": BETWEEN, "root": company()}[above]
    link = Link(intermediates=(BETWEEN, BESIDE, lower), denied=denied_ca(denied))
    assert reason(link.ask(caller(issuer=lower))) is Reason.DENIED
    others = Reason.DENIED if above == "root" else Reason.ALLOWED
    assert reason(link.ask(caller(issuer=BESIDE))) is others


def ca_file(pair: pki.Pair) -> Denied:
    """What `deny` makes of a CA's file."""
    return denied_ca(pair) | Denied(authorities=frozenset([pair.certificate]))


@pytest.mark.parametrize("denial", [denied_ca, ca_file])
def test_a_leaf_of_an_unknown_ca_is_refused_once_a_ca_is_denied(
    denial: Callable[[pki.Pair], Denied],
) -> None:
    """nginx verified it with a CA that only the caller sent, which may stand below the one denied."""
    assert reason(Link(intermediates=(BETWEEN,)).ask(caller(issuer=BESIDE))) is Reason.ALLOWED
    link = Link(intermediates=(BETWEEN,), denied=denial(BETWEEN))
    assert reason(link.ask(caller(issuer=BESIDE))) is Reason.DENIED
    below = pki.authority("Below", issuer=BETWEEN)
    assert reason(link.ask(caller(issuer=below))) is Reason.DENIED
    namesake = pki.authority("Between", issuer=company(), key_label="renewed")
    assert reason(link.ask(caller(issuer=namesake))) is Reason.DENIED
    known = Link(intermediates=(BETWEEN, namesake), denied=denial(BETWEEN))
    assert reason(known.ask(caller(issuer=namesake))) is Reason.ALLOWED, "its key is another"
    assert reason(known.ask(caller(issuer=BETWEEN))) is Reason.DENIED
    assert reason(known.ask(caller())) is Reason.ALLOWED


def test_a_leaf_of_an_unknown_ca_is_judged_as_before_where_a_list_revokes_another() -> None:
    """nginx wants a list of every CA above a caller, and so finds the revoked one."""
    link = Link(intermediates=(BETWEEN,))
    policies = revoking(link, pki.crl(company(), [BETWEEN]))
    assert asked(policies, link, caller(issuer=BESIDE)) is Reason.ALLOWED


def test_rules_of_before_are_closed_by_the_denial_of_a_ca_that_a_list_has_revoked() -> None:
    before = Link(intermediates=(BETWEEN,))
    former = revoking(before, pki.crl(company(), [BETWEEN]))
    allow = {"allow": ["dns:svc-x.internal"]}
    after = Link(allow, intermediates=(BETWEEN,), former=former, denied=denied_ca(BETWEEN))
    stranger = caller(issuer=BESIDE)
    assert asked(former, before, stranger) is Reason.ALLOWED
    assert asked(after.policies, before, stranger) is Reason.DENIED


def test_a_denied_ca_that_only_callers_send_is_refused_by_its_key() -> None:
    link = Link(denied=ca_file(BETWEEN))
    assert reason(link.ask(caller(issuer=BETWEEN))) is Reason.DENIED
    below = pki.authority("Below", issuer=BETWEEN)
    assert reason(link.ask(caller(issuer=below))) is Reason.DENIED, "the trust has issued that CA"
    assert reason(link.ask(caller())) is Reason.ALLOWED


def test_a_denied_ca_of_another_trust_concerns_nobody_here() -> None:
    stranger = pki.authority("Stranger")
    link = Link(denied=ca_file(stranger))
    assert reason(link.ask(caller(issuer=BESIDE))) is Reason.ALLOWED
    assert reason(link.ask(caller())) is Reason.ALLOWED
    assert reason(link.ask(caller(issuer=stranger))) is Reason.DENIED
    renamed = pki.authority("Renamed", key_label="ca Stranger")
    assert reason(link.ask(caller(issuer=renamed))) is Reason.DENIED, "the key is known as denied"


def test_a_denied_root_bars_everybody_below_known_or_not() -> None:
    link = Link(denied=ca_file(company()))
    for issuer in (None, BETWEEN, pki.authority("Below", issuer=BETWEEN)):
        assert reason(link.ask(caller(issuer=issuer))) is Reason.DENIED


def respelled(pair: pki.Pair, common_name: x509.NameAttribute[str]) -> pki.Pair:
    """The CA under another spelling of its CN, to issue with."""
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Org")
    subject = x509.Name([organisation, common_name])
    certificate = pki.leaf(company(), subject=subject, is_ca=True).certificate
    return pki.Pair(certificate, pair.private_key, pair.issuers)


SPELLINGS = [
    x509.NameAttribute(NameOID.COMMON_NAME, "Between", _ASN1Type.PrintableString),
    x509.NameAttribute(NameOID.COMMON_NAME, "Between", _ASN1Type.BMPString),
    x509.NameAttribute(NameOID.COMMON_NAME, "BETWEEN"),
    x509.NameAttribute(NameOID.COMMON_NAME, "\tBetween \n"),
]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=repr)
def test_a_ca_is_denied_however_a_leaf_spells_its_name(spelling: x509.NameAttribute[str]) -> None:
    pair = caller(issuer=respelled(BETWEEN, spelling))
    known = (BETWEEN, BESIDE)
    assert reason(Link(intermediates=known).ask(pair)) is Reason.ALLOWED
    assert reason(Link(intermediates=known, denied=denied_ca(BETWEEN)).ask(pair)) is Reason.DENIED
    assert reason(Link(intermediates=known, denied=ca_file(BETWEEN)).ask(pair)) is Reason.DENIED
    assert reason(Link(denied=ca_file(BETWEEN)).ask(pair)) is Reason.DENIED
    others = Link(intermediates=known, denied=ca_file(BESIDE))
    assert reason(others.ask(pair)) is Reason.ALLOWED
    revoking_it = revoking(Link(intermediates=known), pki.crl(company(), [BETWEEN]))
    assert asked(revoking_it, Link(intermediates=known), pair) is Reason.DENIED


def test_a_ca_that_spells_its_issuer_otherwise_has_a_way_up() -> None:
    upper = respelled(BETWEEN, SPELLINGS[2])
    lower = pki.authority("Lower", issuer=upper)
    known = (BETWEEN, BESIDE, lower)
    pair = caller(issuer=lower)
    link = Link(intermediates=known, denied=denied_ca(BESIDE), forward=["rfc9440"])
    answer = link.ask(pair)
    assert reason(answer) is Reason.ALLOWED
    assert "Client-Cert-Chain" in dict(answer.headers)
    assert reason(Link(intermediates=known, denied=denied_ca(BETWEEN)).ask(pair)) is Reason.DENIED


def test_a_pinned_certificate_is_no_leaf_of_an_unknown_ca() -> None:
    own = pki.authority("own", is_ca=False)
    authorities = Authorities(
        [company().certificate, own.certificate],
        [BETWEEN.certificate],
        refused=ca_file(BETWEEN),
    )
    assert authorities.closed
    assert not authorities.bars(own.certificate, now=NOW)


def test_a_leaf_whose_signature_cannot_be_told_here_has_no_known_way() -> None:
    """nginx verifies more algorithms than the library. By name and key identifier any leaf is a CA's."""
    good = caller(issuer=BETWEEN)
    other = x509.load_der_x509_certificate(good.der[:-1] + bytes([good.der[-1] ^ 1]))
    pair = replace(good, certificate=other)
    link = Link(intermediates=(BETWEEN, BESIDE))
    assert reason(link.ask(pair)) is Reason.ALLOWED
    for denied in (BETWEEN, BESIDE):
        closed = replace(link, denied=denied_ca(denied))
        assert reason(closed.ask(pair)) is Reason.DENIED
    for revoked, expected in ((BETWEEN, Reason.DENIED), (BESIDE, Reason.ALLOWED)):
        policies = revoking(link, pki.crl(company(), [revoked]))
        assert asked(policies, link, pair) is expected


def test_another_way_up_is_open_where_a_list_revoked_one_certificate_of_a_ca() -> None:
    """A CA that was issued again: the same name and key under another serial."""
    again = pki.authority("Between", issuer=company())
    for known in ((BETWEEN, again), (again, BETWEEN)):
        link = Link(intermediates=known, forward=["rfc9440"])
        policies = revoking(link, pki.crl(company(), [BETWEEN]))
        question = Question(link.rule, policies.digest, "SUCCESS", escaped(caller(issuer=BETWEEN)))
        answer = policies.answer(question, now=NOW)
        assert reason(answer) is Reason.ALLOWED
        chain = dict(answer.headers)["Client-Cert-Chain"]
        assert base64.b64encode(again.der).decode() in chain, "that of the way that is open"
        assert base64.b64encode(BETWEEN.der).decode() not in chain
        both = revoking(link, pki.crl(company(), [BETWEEN, again]))
        assert asked(both, link, caller(issuer=BETWEEN)) is Reason.DENIED


@pytest.mark.parametrize("name", ["Between", "Between under another name"])
def test_who_denies_a_ca_denies_its_key_in_every_certificate(name: str) -> None:
    again = pki.authority(name, issuer=company(), key_label="ca Between")
    known = (BETWEEN, again)
    for denial in (denied_ca, ca_file):
        link = Link(intermediates=known, denied=denial(BETWEEN))
        assert reason(link.ask(caller(issuer=again))) is Reason.DENIED
    assert reason(
        Link(intermediates=(again,), denied=ca_file(BETWEEN)).ask(caller(issuer=again))
    ) is (Reason.DENIED)


def test_a_way_that_is_open_but_expired_is_none() -> None:
    day = timedelta(days=1)
    short = pki.authority("Between", issuer=company(), not_after=NOW + day)
    link = Link(intermediates=(BETWEEN, short))
    policies = revoking(link, pki.crl(company(), [BETWEEN]))
    pair = caller(issuer=BETWEEN)
    assert asked(policies, link, pair) is Reason.ALLOWED
    late = NOW + day + timedelta(seconds=1)
    assert asked(policies, link, pair, late) is Reason.DENIED


def test_an_expired_ca_is_no_denied_one() -> None:
    short = pki.authority("Short", issuer=company(), not_after=NOW + timedelta(hours=1))
    link = Link(intermediates=(BETWEEN, short), denied=denied_ca(BETWEEN))
    late = NOW + timedelta(hours=1, seconds=1)
    assert reason(link.ask(caller(issuer=short), now=late)) is Reason.ALLOWED


def test_rules_of_before_know_of_lists_and_cas_since() -> None:
    before = Link(intermediates=(BETWEEN,))
    allow = {"allow": ["dns:svc-x.internal"]}
    after = Link(allow, intermediates=(BETWEEN,), former=before.policies)
    leaf = caller()
    policies = revoking(after, pki.crl(company(), [BETWEEN, leaf]))
    assert asked(policies, before, caller(issuer=BETWEEN)) is Reason.DENIED
    assert asked(policies, before, leaf) is Reason.DENIED
    assert asked(policies, before, caller()) is Reason.ALLOWED
