"""Two CAs at once: who would be lost without one of them, and from when on it can go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from handclasp.certs.dn import subject_text
from handclasp.monitor.callers import Caller, Presence
from handclasp.monitor.overlap import Authorities, lost, standings, still_presented
from tests import pki

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.monitor.overlap import Standing

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
WEEK = 7 * DAY

OLD, NEW = pki.authority("Old CA"), pki.authority("New CA")
OLD_NAME, NEW_NAME = subject_text(OLD.certificate), subject_text(NEW.certificate)


def knows(*trusted: pki.Pair, between: Sequence[pki.Pair] = ()) -> Authorities:
    return Authorities.of(
        [one.certificate for one in trusted], [one.certificate for one in between]
    )


def presence(
    issuer: str, *, seen: timedelta = timedelta(), link: str = "api", name: str = "CN=svc-c"
) -> Presence:
    caller = Caller(link, issuer, "01", name, None, None, NOW - seen, NOW - seen)
    return Presence(link, issuer, NOW - seen, int(seen <= DAY), int(seen <= WEEK), (caller,))


def issuers_lost(before: Authorities, after: Authorities, *issuers: str) -> set[str]:
    return {one.presence.issuer for one in lost(before, after, map(presence, issuers))}


def test_callers_of_the_ca_that_goes_are_lost_and_no_others() -> None:
    assert issuers_lost(knows(OLD, NEW), knows(NEW), OLD_NAME, NEW_NAME) == {OLD_NAME}
    assert issuers_lost(knows(OLD, NEW), knows(OLD, NEW), OLD_NAME, NEW_NAME) == set()
    assert issuers_lost(knows(OLD), knows(OLD, NEW), OLD_NAME, NEW_NAME) == set()


def test_the_way_up_goes_over_intermediates_that_are_known() -> None:
    issuing = pki.authority("Issuing CA", issuer=OLD)
    name = subject_text(issuing.certificate)
    known = knows(OLD, NEW, between=[issuing])
    assert issuers_lost(known, knows(NEW, between=[issuing]), name) == {name}
    assert issuers_lost(known, knows(OLD, between=[issuing]), name) == set()
    assert issuers_lost(knows(OLD, NEW, issuing), knows(OLD, NEW), name) == {name}


def test_the_way_up_goes_by_signatures_and_not_by_names_alone() -> None:
    alike = pki.authority("Old CA", key_label="another key")
    issuing = pki.authority("Issuing CA", issuer=OLD)
    name, between = subject_text(issuing.certificate), [issuing]
    before = knows(OLD, alike, between=between)
    assert issuers_lost(before, knows(OLD, between=between), name) == set()
    assert issuers_lost(before, knows(alike, between=between), name) == {name}


def test_a_ca_that_was_renewed_with_its_key_has_not_gone() -> None:
    again = pki.authority("Old CA", not_after=pki.NOW + timedelta(days=9000))
    assert again.der != OLD.der
    assert issuers_lost(knows(OLD, again), knows(again), OLD_NAME) == set()


def test_two_cas_of_one_name_are_both_held_against_dropping_either() -> None:
    alike = pki.authority("Old CA", key_label="another key")
    for kept in (OLD, alike):
        assert issuers_lost(knows(OLD, alike), knows(kept), OLD_NAME) == {OLD_NAME}


def test_a_cross_signed_issuer_still_has_a_way_up() -> None:
    first = pki.authority("Issuing CA", issuer=OLD)
    second = pki.authority("Issuing CA", issuer=NEW)
    name = subject_text(first.certificate)
    between = [first, second]
    assert (
        issuers_lost(knows(OLD, NEW, between=between), knows(NEW, between=between), name) == set()
    )
    assert issuers_lost(knows(OLD, NEW, between=[first]), knows(NEW, between=[first]), name) == {
        name
    }


def test_an_issuer_that_is_not_known_may_be_below_whichever_goes() -> None:
    (one,) = lost(knows(OLD, NEW), knows(NEW), [presence("CN=Nobody knows")])
    assert not one.known
    assert issuers_lost(knows(OLD, NEW), knows(OLD, NEW), "CN=Nobody knows") == set()
    issuing = pki.authority("Issuing CA", issuer=NEW)
    name = subject_text(issuing.certificate)
    assert issuers_lost(knows(OLD, NEW), knows(NEW, between=[issuing]), name) == set()


def test_names_are_compared_as_openssl_compares_them() -> None:
    assert issuers_lost(knows(OLD, NEW), knows(NEW), "CN=old ca,O=Example  Org") == {
        "CN=old ca,O=Example  Org"
    }


def test_an_issuer_below_no_root_is_lost_with_nobody() -> None:
    """It is not believed now either."""
    stray = pki.authority("Issuing CA", issuer=pki.authority("Third CA"))
    name = subject_text(stray.certificate)
    known = knows(OLD, NEW, between=[stray])
    assert issuers_lost(known, knows(NEW, between=[stray]), name) == set()


def of(
    known: Authorities, *presences: Presence, since: timedelta = 30 * DAY
) -> dict[str, Standing]:
    found = standings({"api": known}, presences, since=NOW - since, overlap=WEEK)
    return {one.subject: one for one in found}


def test_a_ca_is_safe_to_drop_when_nobody_came_under_it_for_the_overlap() -> None:
    found = of(knows(OLD, NEW), presence(OLD_NAME, seen=8 * DAY), presence(NEW_NAME))
    assert found[OLD_NAME].safe_from == NOW - DAY
    assert (found[OLD_NAME].last_day, found[OLD_NAME].within) == (0, 0)
    assert found[OLD_NAME].last_seen == NOW - 8 * DAY
    assert found[NEW_NAME].safe_from == NOW + WEEK
    assert (found[NEW_NAME].last_day, found[NEW_NAME].examples) == (1, ("CN=svc-c",))


def test_a_ca_is_not_safe_to_drop_before_it_was_watched_for_as_long() -> None:
    assert of(knows(OLD, NEW), since=DAY)[OLD_NAME].safe_from == NOW + 6 * DAY
    assert of(knows(OLD, NEW), since=8 * DAY)[OLD_NAME].safe_from == NOW - DAY
    before_the_gap = presence(OLD_NAME, seen=8 * DAY)
    assert of(knows(OLD, NEW), before_the_gap, since=DAY)[OLD_NAME].safe_from == NOW + 6 * DAY


def test_an_issuer_that_is_not_known_keeps_every_ca_from_being_safe() -> None:
    found = of(knows(OLD, NEW), presence("CN=Nobody knows"))
    for one in found.values():
        assert one.unknown == ("CN=Nobody knows",)
        assert one.safe_from == NOW + WEEK
        assert (one.within, one.last_seen) == (0, None)


def test_callers_on_links_of_another_trust_do_not_count() -> None:
    found = of(knows(OLD, NEW), presence(OLD_NAME, link="other"))
    assert found[OLD_NAME].last_seen is None


def test_nothing_is_told_of_a_trust_with_one_ca() -> None:
    again = pki.authority("Old CA", not_after=pki.NOW + timedelta(days=9000))
    assert of(knows(OLD)) == of(knows(OLD, again)) == {}


def test_cas_of_one_name_are_said_to_be() -> None:
    alike = pki.authority("Old CA", key_label="another key")
    assert [
        one.alike for one in standings({"api": knows(OLD, alike, NEW)}, [], since=NOW, overlap=WEEK)
    ] == [
        True,
        True,
        False,
    ]


def refusal(*presences: Presence, whole: bool = False) -> tuple[str, str] | None:
    change = knows(OLD, NEW), knows(NEW), presences
    found = still_presented("company", [change], now=NOW, overlap=WEEK, whole=whole)
    return None if found is None else (found.seen, found.fix)


def test_the_refusal_names_the_ca_its_callers_and_the_command() -> None:
    told = refusal(presence(OLD_NAME), presence(NEW_NAME, name="CN=svc-d"))
    assert told is not None
    seen, fix = told
    assert seen == (
        f"{OLD_NAME} would go from trust 'company', but within the last 7d callers came under it:"
        " CN=svc-c on link api, last on 2026-11-24"
    )
    assert "handclasp take 'trust company' --force" in fix
    told = refusal(presence(OLD_NAME), whole=True)
    assert told is not None
    assert "handclasp take --force" in told[1]


@pytest.mark.parametrize(("days", "refused"), [(6, True), (8, False)])
def test_only_who_came_within_the_overlap_speaks_against_dropping(days: int, refused: bool) -> None:
    assert (refusal(presence(OLD_NAME, seen=days * DAY)) is not None) is refused


def test_the_refusal_says_what_makes_an_issuer_known() -> None:
    told = refusal(presence("CN=Nobody knows"))
    assert told is not None
    assert "'CN=Nobody knows' is not known here: name its file in clients.intermediates" in told[0]


def test_the_refusal_is_short_however_many_come() -> None:
    changes = [
        (knows(OLD, NEW), knows(NEW), [presence(OLD_NAME, link=f"link-{number}")])
        for number in range(40)
    ]
    found = still_presented("company", changes, now=NOW, overlap=WEEK)
    assert found is not None
    assert found.seen.endswith("; callers of 37 more issuers or links")
