"""What the agent tells of callers, and what it holds against a change, from a table and two materials."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from handclasp.agent.overlapping import (
    MOST_ENDING,
    callers_ending,
    callers_report,
    dropping,
    first_to_end,
    trust_standings,
)
from handclasp.certs.dn import subject_text
from handclasp.certs.material import Material, TrustMaterial
from handclasp.monitor.callers import Caller, Callers
from handclasp.spec.events import Expiry
from handclasp.spec.model import Trust
from handclasp.spec.rotation import Rotation
from tests import pki

if TYPE_CHECKING:
    from handclasp.agent.callers_seen import CallersSeen
    from handclasp.agent.prepare import Prepared

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
OLD, NEW = pki.authority("Old CA"), pki.authority("New CA")
OLD_NAME = subject_text(OLD.certificate)


def material(
    *anchors: pki.Pair, between: dict[str, pki.Pair] | None = None, name: str = "company"
) -> Material:
    def trust(name: str, *pairs: pki.Pair) -> TrustMaterial:
        return TrustMaterial(name=name, anchors=tuple(one.certificate for one in pairs))

    return Material(
        trust={name: trust(name, *anchors), "others": trust("others", NEW)},
        intermediates={link: trust(link, pair) for link, pair in (between or {}).items()},
    )


def prepared(*links: tuple[str, str], holding: Material, noted: bool = True) -> Prepared:
    """Links with the trusts they use."""
    ingress = [
        SimpleNamespace(name=name, clients=SimpleNamespace(trust=trust)) for name, trust in links
    ]
    trust = {link.clients.trust: Trust() for link in ingress}
    spec = SimpleNamespace(ingress=ingress, trust=trust, rotation=Rotation(), expiry=Expiry())
    plan = SimpleNamespace(callers_log=noted, ingress=ingress)
    return cast("Prepared", SimpleNamespace(spec=spec, plan=plan, material=holding))


def caller(
    link: str = "api", issuer: str = OLD_NAME, *, serial: str = "01", left: timedelta = DAY
) -> Caller:
    return Caller(link, issuer, serial, f"CN=svc-{serial}", NOW - 90 * DAY, NOW + left, NOW, NOW)


def table(*callers: Caller) -> Callers:
    seen = Callers(NOW - 30 * DAY)
    for one in callers:
        seen.see(one, NOW)
    return seen


def against(before: Prepared, after: Prepared, *callers: Caller) -> list[str]:
    objections = dropping(before, table(*callers), NOW)
    return [one.slug for one in objections(after.spec, after.material)]


REFUSED = ["ca-still-presented"]


def test_a_trust_that_lets_callers_go_is_refused_and_one_that_does_not_is_not() -> None:
    both = prepared(("api", "company"), holding=material(OLD, NEW))
    new = prepared(("api", "company"), holding=material(NEW))
    assert against(both, new, caller()) == REFUSED
    assert against(both, new, caller(link="gone")) == []
    assert against(both, new) == []
    assert against(both, both, caller()) == []
    assert against(new, both, caller()) == []


def test_a_link_that_is_given_another_trust_is_looked_at_as_well() -> None:
    before = prepared(("api", "company"), holding=material(OLD, NEW))
    after = prepared(("api", "others"), holding=material(OLD, NEW))
    assert against(before, after, caller()) == REFUSED
    assert against(before, after, caller(issuer=subject_text(NEW.certificate))) == []


def test_a_link_that_goes_or_comes_is_nobodys_loss() -> None:
    before = prepared(("api", "company"), holding=material(OLD, NEW))
    after = prepared(("other", "company"), holding=material(NEW))
    assert against(before, after, caller(), caller(link="other")) == []


def test_the_way_up_goes_by_what_each_link_knows() -> None:
    issuing = pki.authority("Issuing CA", issuer=NEW)
    name = subject_text(issuing.certificate)
    links = ("api", "company"), ("blind", "company")
    known = {"api": issuing}
    before = prepared(*links, holding=material(OLD, NEW, between=known))
    after = prepared(*links, holding=material(NEW, between=known))
    assert against(before, after, caller("api", name)) == []
    assert against(before, after, caller("blind", name)) == REFUSED


def test_nothing_is_held_against_a_change_where_nobody_is_noted() -> None:
    before = prepared(("api", "company"), holding=material(OLD, NEW), noted=False)
    assert against(before, prepared(("api", "company"), holding=material(NEW)), caller()) == []


def test_what_is_asked_later_was_seen_at_once() -> None:
    """The answer is given in a thread, while others come."""
    before = prepared(("api", "company"), holding=material(OLD, NEW))
    callers = table()
    objections = dropping(before, callers, NOW)
    callers.see(caller(), NOW)
    after = prepared(("api", "company"), holding=material(NEW))
    assert list(objections(after.spec, after.material)) == []


def test_only_trusts_with_several_cas_that_callers_are_held_to_are_told_of() -> None:
    here = prepared(("api", "company"), ("b", "others"), holding=material(OLD, NEW))
    assert list(trust_standings(here, table(), NOW)) == ["company"]
    elsewhere = prepared(("b", "others"), holding=material(OLD, NEW))
    assert trust_standings(elsewhere, table(), NOW) == {}


def report(*callers: Caller) -> dict[str, Any]:
    seen = table(*callers)
    standing = SimpleNamespace(callers=seen, problem=None, current=lambda: seen.current(NOW))
    here = prepared(("api", "company"), holding=material(OLD, NEW))
    told = callers_report(here, cast("CallersSeen", standing), NOW)
    assert told is not None
    return told


def test_the_report_is_short_and_worst_first_however_many_end_soon() -> None:
    told = report(
        *(caller(serial=f"{number}", left=timedelta(hours=number)) for number in range(1, 200)),
        caller(serial="far", left=80 * DAY),
    )
    assert (told["in_use"], told["ending_in_all"], len(told["ending"])) == (200, 199, MOST_ENDING)
    assert told["ending"][0]["subject"] == "CN=svc-1"


def test_no_more_ends_are_warned_of_than_somebody_can_read() -> None:
    ends = first_to_end(
        caller(serial=f"{number}", left=timedelta(hours=number)) for number in range(200, 0, -1)
    )
    assert [one.subject for one in ends] == [f"CN=svc-{number}" for number in range(1, 51)]


def test_the_report_says_who_needs_which_ca() -> None:
    old, new = report(caller())["authorities"]
    assert (old["subject"], old["safe_to_drop"], old["examples"]) == (
        OLD_NAME,
        False,
        ["CN=svc-01"],
    )
    assert (new["callers_last_day"], new["safe_to_drop"]) == (0, True)


def test_there_is_no_report_where_nobody_is_noted() -> None:
    here = prepared(("api", "company"), holding=material(OLD, NEW), noted=False)
    assert callers_report(here, None, NOW) is None


def test_a_sentence_names_the_caller_and_the_link() -> None:
    (one,) = callers_ending([caller()])
    assert one.told == "the certificate of caller 'CN=svc-01' on link api"
