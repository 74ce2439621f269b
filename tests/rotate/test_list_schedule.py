"""When revocation lists are fetched, and when it is said that they run out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from handclasp.certs.material import TrustMaterial
from handclasp.rotate.list_schedule import Life, next_fetch, running_out, shortest_life
from tests import pki

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CA = pki.authority("Scheduled CA")
OTHER = pki.authority("Scheduled other CA")


def after(life: Life | None = None, *, failures: int = 0, draw: float = 0.0) -> timedelta:
    """From a try now to the next one, every hour if nothing is in the way."""
    due = next_fetch(last=NOW, failures=failures, every=HOUR, life=life, draw=draw)
    return due - NOW


def test_the_pace_is_that_of_the_spec_or_an_hour() -> None:
    assert after() == HOUR
    assert next_fetch(last=NOW, failures=0, every=None, life=None, draw=0) == NOW + HOUR
    assert after(Life(NOW, None)) == HOUR
    assert after(Life(NOW, NOW + timedelta(days=7))) == HOUR


def test_chance_takes_a_tenth_off_at_most() -> None:
    assert after(draw=1.0) == HOUR * 0.9


def test_a_list_is_fetched_again_when_two_thirds_of_it_are_gone() -> None:
    life = Life(NOW, NOW + timedelta(minutes=30))
    assert after(life) == timedelta(minutes=20)
    assert after(Life(NOW - timedelta(minutes=10), NOW + timedelta(minutes=20))) == timedelta(
        minutes=10
    )


def test_in_its_last_third_a_list_is_fetched_ever_more_often() -> None:
    begin = NOW - timedelta(hours=9)
    waits = [after(Life(begin, NOW + left)) for left in (2 * HOUR, HOUR, HOUR / 4, -HOUR)]
    assert waits == sorted(waits, reverse=True)
    assert waits[0] == timedelta(minutes=24)
    assert waits[-1] == timedelta(minutes=1)


def test_what_fails_is_tried_again_soon_and_then_less_often() -> None:
    waits = [after(failures=failures) for failures in (1, 2, 3, 50)]
    assert waits == [
        timedelta(seconds=5),
        timedelta(seconds=10),
        timedelta(seconds=20),
        timedelta(minutes=15),
    ]


spans = st.timedeltas(min_value=timedelta(days=-400), max_value=timedelta(days=400))


@given(
    begin=spans,
    length=st.one_of(
        st.none(), st.timedeltas(min_value=timedelta(), max_value=timedelta(days=400))
    ),
    failures=st.integers(0, 1000),
    every=st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=40)),
    draw=st.floats(0, 1),
)
def test_the_next_try_is_always_ahead_and_never_beyond_the_pace(
    begin: timedelta,
    length: timedelta | None,
    failures: int,
    every: timedelta,
    draw: float,
) -> None:
    start = NOW + begin
    life = Life(start, None if length is None else start + length)
    due = next_fetch(last=NOW, failures=failures, every=every, life=life, draw=draw)
    assert NOW + timedelta(seconds=0.89) <= due <= NOW + every


# What is said


def crl(issuer: pki.Pair, begin: timedelta, end: timedelta, number: int = 1) -> bytes:
    return pki.crl(issuer, number=number, last_update=NOW + begin, next_update=NOW + end)


def told(*lists: bytes, kept: timedelta | None = None) -> list[str]:
    crls = tuple(x509.load_pem_x509_crl(one) for one in lists)
    return list(running_out(TrustMaterial(name="company", crls=crls, lists_kept=kept), NOW))


def test_a_list_is_said_to_run_out_in_its_last_third() -> None:
    assert told(crl(CA, -6 * HOUR, 4 * HOUR)) == []
    (said,) = told(crl(CA, -7 * HOUR, 3 * HOUR))
    assert "the list of 'CN=Scheduled CA,O=Example Org' runs out on 2026-11-24 15:00" in said
    assert told(crl(CA, -7 * HOUR, 3 * HOUR), crl(CA, -HOUR, 9 * HOUR, 2)) == [], "a newer one"
    assert len(told(crl(CA, -7 * HOUR, 3 * HOUR), crl(OTHER, -HOUR, 9 * HOUR))) == 1


def test_what_becomes_of_callers_is_said_when_it_has_run_out() -> None:
    ended = crl(CA, -9 * HOUR, -HOUR)
    assert told(ended)[0].endswith("callers under it are refused")
    assert "is honoured until 2026-11-24 13:00" in told(ended, kept=2 * HOUR)[0]
    assert told(ended, kept=HOUR / 2)[0].endswith("callers under it are refused")


def test_the_life_that_counts_is_that_of_the_list_that_ends_first() -> None:
    crls = [
        x509.load_pem_x509_crl(one)
        for one in (crl(CA, -HOUR, 9 * HOUR), crl(OTHER, -2 * HOUR, 5 * HOUR))
    ]
    assert shortest_life(crls) == Life(NOW - 2 * HOUR, NOW + 5 * HOUR)
    assert shortest_life([]) is None
