"""The table of callers: what a line says, what is kept, what is asked of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.monitor.callers import (
    MOST_EXAMPLES,
    MOST_FORGOTTEN,
    Caller,
    Callers,
    read_line,
    soonest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
WEEK = 7 * DAY


def line(**changed: object) -> str:
    """As nginx writes it."""
    fields: dict[str, object] = {
        "link": "api",
        "issuer": "CN=Test CA,O=Example Org",
        "serial": "4239F3420BFC",
        "subject": "CN=svc-b,O=Example Org",
        "begin": "Nov  4 15:34:34 2026 GMT",
        "end": "Feb 22 16:34:34 2027 GMT",
        "sha1": "06603978e1a0484b2b1f51cddf332c84b60ae1ac",
        "at": "1795538077.214",
    }
    return json.dumps({**fields, **changed})


def caller(
    serial: str = "01",
    *,
    seen: timedelta = timedelta(),
    first: timedelta | None = None,
    left: timedelta = 60 * DAY,
    subject: str = "CN=svc-b",
    issuer: str = "CN=CA",
    link: str = "api",
) -> Caller:
    """Seen `seen` before NOW for the last time; `first` before NOW for the first."""
    return Caller(
        link,
        issuer,
        serial,
        subject,
        NOW - 30 * DAY,
        NOW + left,
        NOW - (seen if first is None else first),
        NOW - seen,
    )


def table(*callers: Caller, most: int = 100) -> Callers:
    callers_seen = Callers(NOW - 30 * DAY, most)
    for one in callers:
        callers_seen.see(one, NOW)
    return callers_seen


def test_a_line_says_who_came_with_which_certificate() -> None:
    at = datetime(2026, 11, 24, 16, 34, 37, 214000, tzinfo=UTC)
    assert read_line(line()) == Caller(
        link="api",
        issuer="CN=Test CA,O=Example Org",
        serial="4239F3420BFC",
        subject="CN=svc-b,O=Example Org",
        not_before=datetime(2026, 11, 4, 15, 34, 34, tzinfo=UTC),
        not_after=datetime(2027, 2, 22, 16, 34, 34, tzinfo=UTC),
        first_seen=at,
        last_seen=at,
    )


def test_dates_that_cannot_be_read_hide_no_caller() -> None:
    """OpenSSL writes fractions of seconds, and certificates may end in the year 9999 or never."""
    seen = read_line(line(end="Bad time value", begin="Nov 24 15:34:34.5 2026 GMT"))
    assert seen is not None
    assert seen.not_after is None
    assert table(replace(seen, first_seen=NOW, last_seen=NOW)).current(NOW) == ()


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"link"',
        line()[:-20],
        line(at="soon"),
        line(at="1e400"),
        line(at="nan"),
        line(at="99999999999999"),
        line(link=""),
        line(link=["api"]),
        line(serial=""),
        line(issuer=None),
        line(end=None),
        line(end=[]),
        "[" * 100_000,
    ],
)
def test_a_line_that_is_not_whole_is_nobody(garbage: str) -> None:
    assert read_line(garbage) is None


@given(st.text() | st.builds(lambda text, cut: line(subject=text)[:cut], st.text(), st.integers()))
def test_no_line_breaks_the_reader(text: str) -> None:
    seen = read_line(text)
    assert seen is None or seen.link == "api"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), max_size=20))
def test_lines_read_twice_change_nothing(sightings: list[tuple[str, int]]) -> None:
    once = table(*(caller(serial, seen=hours * HOUR) for serial, hours in sightings))
    twice = table(*(caller(serial, seen=hours * HOUR) for serial, hours in sightings * 2))
    assert set(once) == set(twice)


def test_first_and_last_time_are_kept_whichever_is_read_first() -> None:
    for order in ((1, 5), (5, 1)):
        (one,) = table(*(caller(seen=hours * HOUR) for hours in order))
        assert (one.first_seen, one.last_seen) == (NOW - 5 * HOUR, NOW - HOUR)


def test_a_time_ahead_of_the_clock_counts_as_now() -> None:
    (one,) = table(caller(seen=-DAY))
    assert one.last_seen == NOW


def test_a_flood_of_callers_does_not_grow_the_table() -> None:
    seen = Callers(NOW, most=50)
    for number in range(5000):
        seen.see(caller(f"{number:X}", issuer=f"CN=CA {number}"), NOW)
    assert len(seen) == 50
    assert {one.serial for one in seen} == {f"{number:X}" for number in range(4950, 5000)}
    assert len(seen.presences(NOW, WEEK)) == 50 + MOST_FORGOTTEN


def test_who_comes_again_is_not_the_one_that_goes() -> None:
    seen = table(caller("01"), caller("02"), caller("01"), caller("03"), most=2)
    assert {one.serial for one in seen} == {"01", "03"}


def test_a_name_of_any_length_takes_little_room() -> None:
    seen = read_line(line(subject="CN=" + "x" * 100_000))
    assert seen is not None
    assert len(seen.subject) < 1000


def test_the_last_time_of_an_issuer_outlives_its_callers() -> None:
    """Else a flood of one CA's callers would make another one look unused."""
    seen = table(caller("01", issuer="CN=Old", seen=HOUR), caller("02"), caller("03"), most=2)
    old = next(one for one in seen.presences(NOW, WEEK) if one.issuer == "CN=Old")
    assert (old.last_seen, old.within, old.examples) == (NOW - HOUR, 0, ())


def test_presences_count_the_day_and_the_time_asked_for() -> None:
    seen = table(
        caller("01", seen=HOUR),
        caller("02", seen=3 * DAY),
        caller("03", seen=20 * DAY),
        caller("04", issuer="CN=Other", seen=2 * DAY),
    )
    ours, other = seen.presences(NOW, WEEK)
    assert (ours.issuer, ours.last_day, ours.within) == ("CN=CA", 1, 2)
    assert ours.last_seen == NOW - HOUR
    assert {one.serial for one in ours.examples} == {"01", "02"}
    assert (other.issuer, other.last_day, other.within) == ("CN=Other", 0, 1)


def test_the_examples_stay_the_same_while_others_come() -> None:
    """A refusal that names them is said again whenever it changes."""
    usual = [
        caller(str(number), first=(9 - number) * HOUR, subject=f"CN={number}")
        for number in range(5)
    ]
    seen = table(*usual)
    before = seen.presences(NOW, WEEK)[0].examples
    seen.see(caller("4", subject="CN=4"), NOW)
    assert [one.serial for one in seen.presences(NOW, WEEK)[0].examples] == ["0", "1", "2"]
    assert len(before) == MOST_EXAMPLES


def test_who_was_not_seen_for_long_is_forgotten() -> None:
    seen = table(caller("01", seen=40 * DAY), caller("02"), caller("03"), most=2)
    seen.forget_before(NOW - 30 * DAY)
    assert [one.issuer for one in seen.presences(NOW, WEEK)] == ["CN=CA"]
    assert seen.presences(NOW, WEEK)[0].last_seen == NOW
    seen.forget_before(NOW + DAY)
    assert seen.presences(NOW, WEEK) == ()


def current(*callers: Caller) -> set[str]:
    return {one.serial for one in table(*callers).current(NOW)}


def test_in_use_is_what_came_in_the_last_day_and_has_not_ended() -> None:
    assert current(
        caller("01"),
        caller("02", seen=25 * HOUR, subject="CN=b"),
        caller("03", left=-HOUR, subject="CN=c"),
    ) == {"01"}


def test_a_certificate_that_a_later_one_took_the_place_of_is_not_in_use() -> None:
    old = caller("01", seen=5 * HOUR, left=6 * DAY)
    new = caller("02", first=4 * HOUR, seen=HOUR, left=90 * DAY)
    assert current(old, new) == {"02"}
    assert current(old, replace(new, link="other")) == {"01", "02"}
    assert current(old, replace(new, subject="CN=svc-c")) == {"01", "02"}


def test_of_two_replicas_the_one_that_still_has_the_old_certificate_is_seen() -> None:
    old = caller("01", first=9 * HOUR, seen=HOUR, left=6 * DAY)
    new = caller("02", first=4 * HOUR, seen=2 * HOUR, left=90 * DAY)
    assert current(old, new) == {"01", "02"}


def test_callers_without_a_name_do_not_take_each_others_place() -> None:
    old = caller("01", seen=5 * HOUR, left=6 * DAY, subject="")
    assert current(old, caller("02", seen=HOUR, left=90 * DAY, subject="")) == {"01", "02"}


@given(
    st.lists(
        st.builds(
            lambda first, last, left: (max(first, last), min(first, last), left),
            st.integers(0, 20),
            st.integers(0, 20),
            st.integers(1, 20),
        ),
        max_size=12,
    )
)
def test_replacement_is_what_its_sentence_says(rows: list[tuple[int, int, int]]) -> None:
    """Not in use: another one came first after this one came last, and ends later."""
    callers = [
        caller(str(number), first=first * HOUR, seen=last * HOUR, left=left * DAY)
        for number, (first, last, left) in enumerate(rows)
    ]

    def replaced(one: Caller) -> bool:
        return any(
            other.first_seen > one.last_seen and (other.not_after or NOW) > (one.not_after or NOW)
            for other in callers
        )

    assert current(*callers) == {one.serial for one in callers if not replaced(one)}


def test_what_is_kept_comes_back() -> None:
    seen = table(caller("01", issuer="CN=Gone"), caller("02"), caller("03"), most=2)
    seen.watching(NOW - HOUR)
    again = Callers.from_json(seen.as_json(), NOW, most=2)
    assert list(again) == list(seen)
    assert again.presences(NOW, WEEK) == seen.presences(NOW, WEEK)


def watched(*looks: timedelta, start: timedelta = 30 * DAY) -> datetime:
    """From when on; looked at so long before NOW."""
    seen = Callers(NOW - start)
    for ago in looks:
        seen.watching(NOW - ago)
    return seen.since


def test_watching_begins_anew_after_a_gap_and_after_a_clock_that_was_wrong() -> None:
    days = [number * DAY for number in range(29, -1, -1)]
    assert watched(*days) == NOW - 30 * DAY
    assert watched(*days[:20], timedelta()) == NOW
    assert watched(-400 * DAY, timedelta()) == NOW


def test_an_agent_that_was_away_for_long_has_not_watched() -> None:
    kept = Callers(NOW - 30 * DAY).as_json()
    assert Callers.from_json(kept, NOW - 30 * DAY + HOUR).since == NOW - 30 * DAY
    assert Callers.from_json(kept, NOW).since == NOW


def garbled() -> Iterable[str]:
    kept = json.loads(table(caller()).as_json())
    yield from ("", "{}", "[]", "null", "[" * 100_000, '{"since": "x"}')
    changes: list[dict[str, object]] = [
        {"since": None},
        {"looked": 1e300},
        {"callers": [[]]},
        {"callers": [[1, 2, 3, 4, 5, 6, 7, 8]]},
        {"callers": 7},
        {"forgotten": [["a"]]},
    ]
    for change in changes:
        yield json.dumps({**kept, **change})


@pytest.mark.parametrize("text", list(garbled()))
def test_a_file_that_is_damaged_is_an_empty_table(text: str) -> None:
    seen = Callers.from_json(text, NOW)
    assert (len(seen), seen.since) == (0, NOW)


def test_the_soonest_end_is_told_by_link() -> None:
    ends = soonest([caller("01"), caller("02", left=DAY), caller("03", link="other", left=HOUR)])
    assert ends == {"api": NOW + DAY, "other": NOW + HOUR}
