"""Until when lists count for a caller: where nginx has them as well, and where the agent alone decides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from handclasp.agent.policies import make_policies
from handclasp.spec.access import Reason
from tests import pki
from tests.agent.test_policies import FRESH, OUTAGE, Link, caller, company
from tests.nginx import planning
from tests.nginx.planning import Planner, ingress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from handclasp.agent.policies import Policies
    from handclasp.certs.material import Material

NOW, HOUR = pki.NOW, timedelta(hours=1)
END = NOW + HOUR
INT = pki.authority("Issuing", issuer=company())
STRANGE = pki.authority("Not known here", issuer=company())


def crl(issuer: pki.Pair | None = None, *revoked: pki.Pair, **options: Any) -> bytes:
    return pki.crl(issuer or company(), revoked, **{"next_update": END, **options})


@dataclass
class Listing(Link):
    """A link whose trust has the root, an intermediate and these lists."""

    lists: Sequence[bytes] = ()
    kept: timedelta | None = None

    @property
    def material(self) -> Material:
        known = super().material
        trust = replace(
            known.trust["company"],
            anchors=(company().certificate, INT.certificate),
            crls=tuple(x509.load_pem_x509_crl(one) for one in self.lists),
            lists_kept=self.kept,
        )
        return replace(known, trust={**known.trust, "company": trust})


def reason(link: Link, at: datetime, pair: pki.Pair | None = None) -> Reason:
    return link.ask(pair or caller(), now=at).decision.reason


ALL = (crl(), crl(INT))


def test_past_the_end_of_a_list_nobody_under_its_ca_gets_in() -> None:
    link = Listing(lists=ALL)
    assert reason(link, END) is Reason.ALLOWED
    assert reason(link, END + timedelta(seconds=1)) is Reason.LIST_EXPIRED
    told = link.ask(caller(), now=END + HOUR).decision.sentence
    assert "CN=Plan CA,O=Example Org" in told
    assert reason(Listing(), END + HOUR) is Reason.ALLOWED, "without lists none is asked for"


def test_a_list_is_honoured_for_as_long_as_the_spec_says() -> None:
    link = Listing(lists=ALL, kept=2 * HOUR)
    assert reason(link, END + 2 * HOUR) is Reason.ALLOWED
    assert reason(link, END + 2 * HOUR + timedelta(seconds=1)) is Reason.LIST_EXPIRED
    revoking = Listing(lists=(crl(None, caller()), crl(INT)), kept=2 * HOUR)
    assert reason(revoking, END + HOUR) is Reason.ALLOWED, "another serial"
    bad = caller()
    revoking = Listing(lists=(crl(None, bad), crl(INT)), kept=2 * HOUR)
    assert reason(revoking, END + HOUR, bad) is Reason.DENIED


def test_the_lists_of_all_cas_above_a_caller_count() -> None:
    below = caller(issuer=INT)
    shorter = (crl(next_update=END + HOUR), crl(INT))
    assert reason(Listing(lists=shorter), END + timedelta(seconds=1), below) is Reason.LIST_EXPIRED
    assert reason(Listing(lists=shorter), END + timedelta(seconds=1)) is Reason.ALLOWED
    root_ends = (crl(), crl(INT, next_update=END + HOUR))
    assert (
        reason(Listing(lists=root_ends), END + timedelta(seconds=1), below) is Reason.LIST_EXPIRED
    )


def test_of_several_lists_of_a_ca_the_one_that_ends_last_counts() -> None:
    link = Listing(lists=(*ALL, crl(number=2, next_update=END + HOUR)))
    assert reason(link, END + HOUR) is Reason.ALLOWED


LACKING = {
    "no list of the root": (crl(INT),),
    "of a namesake": (
        crl(pki.authority("Plan CA", key_label="of a namesake")),
        crl(INT),
    ),
    "a delta": (crl(extensions=[x509.DeltaCRLIndicator(1)]), crl(INT)),
    "for a part of the reasons": (
        crl(
            extensions=[
                x509.IssuingDistributionPoint(
                    None,
                    None,
                    False,
                    False,
                    frozenset([x509.ReasonFlags.key_compromise]),
                    False,
                    False,
                )
            ]
        ),
        crl(INT),
    ),
    "for who names its place": (
        crl(
            extensions=[
                x509.IssuingDistributionPoint(
                    [x509.UniformResourceIdentifier("http://pki.example/1.crl")],
                    None,
                    False,
                    False,
                    None,
                    False,
                    False,
                )
            ]
        ),
        crl(INT),
    ),
}


@pytest.mark.parametrize("what", LACKING)
def test_where_the_agent_alone_decides_a_list_that_does_not_cover_a_caller_is_none(
    what: str,
) -> None:
    assert reason(Listing(lists=LACKING[what], kept=HOUR), NOW) is Reason.LIST_MISSING
    assert reason(Listing(lists=LACKING[what]), NOW) is Reason.ALLOWED, "nginx decides there"


def test_where_the_agent_alone_decides_a_caller_of_an_unknown_ca_is_not_covered() -> None:
    hidden = caller(issuer=STRANGE)
    assert reason(Listing(lists=ALL, kept=HOUR), NOW, hidden) is Reason.LIST_MISSING
    assert reason(Listing(lists=ALL), NOW, hidden) is Reason.ALLOWED


def test_an_answer_is_kept_no_longer_than_the_lists_count() -> None:
    link = Listing(lists=ALL)
    assert (link.ask(caller()).fresh, link.ask(caller()).outage) == (FRESH, OUTAGE)
    late = link.ask(caller(), now=END - timedelta(minutes=2))
    assert late.fresh == timedelta(minutes=2, seconds=-3)
    assert late.outage == timedelta()
    refused = link.ask(caller(), now=END + HOUR)
    assert (refused.fresh, refused.outage) == (timedelta(), timedelta())


def test_rules_of_before_are_judged_by_the_lists_of_now() -> None:
    former: Policies = Listing(lists=ALL).policies
    link = Listing(lists=(crl(number=2, next_update=END + HOUR), ALL[1]), former=former)
    link.clients["depth"] = 3  # another rule
    old = Listing(lists=ALL)
    assert old.rule != link.rule
    policies = make_policies(link.plan, link.material, link.denied, former)
    question = {"rule": old.rule}
    assert link.ask(caller(), now=END + HOUR, **question).decision.reason is Reason.ALLOWED
    assert policies.rules.keys() >= {old.rule, link.rule}


# What the plan makes of it


@pytest.mark.parametrize(
    ("kept", "listed", "crl", "asks"),
    [(HOUR, True, False, True), (None, True, True, False), (HOUR, False, False, False)],
)
def test_nginx_gets_no_lists_and_asks_where_they_are_honoured_past_their_end(
    monkeypatch: pytest.MonkeyPatch, kept: timedelta | None, listed: bool, crl: bool, asks: bool
) -> None:
    known = Listing(lists=ALL if listed else (), kept=kept).material
    monkeypatch.setattr(planning, "material", lambda: known)
    (server,) = Planner().plan(ingress=[ingress()]).ingress
    assert (server.crl, server.authorizer is not None) == (crl, asks)
